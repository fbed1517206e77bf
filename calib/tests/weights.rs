//! Quantized weights and biases.

use cardinal_calib::{
    BIAS_LIMIT, CalibError, MIN_SCALE, Treatment, quantize_bias, quantize_layer, quantize_layer_with,
    quantize_per_channel,
};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn weights_are_within_half_a_step(
        row in 1usize..20,
        values in vec(prop_oneof![-1f32..1.0, -1e-20f32..1e-20, -1e20f32..1e20, Just(0.0)], 1..200),
    ) {
        let channels = values.len() / row;
        prop_assume!(channels > 0);
        let values = &values[..channels * row];
        let q = quantize_per_channel(values, channels).unwrap();
        for (channel, scale) in q.scales.iter().enumerate() {
            let codes = &q.values[channel * row..][..row];
            let weights = &values[channel * row..][..row];
            prop_assert!(*scale >= MIN_SCALE && codes.iter().all(|&c| c >= -127));
            for (&code, &w) in codes.iter().zip(weights) {
                let back = f64::from(code) * f64::from(*scale);
                prop_assert!((back - f64::from(w)).abs() <= 0.5 * f64::from(*scale));
            }
            if *scale > MIN_SCALE && weights.iter().any(|&w| w != 0.0) {
                prop_assert!(codes.iter().any(|c| c.abs() == 127));
            }
        }
    }

    #[test]
    fn every_bias_fits(
        channels in vec((-1f32..1.0, 0i32..120, prop_oneof![-10f64..10.0, -1e6f64..1e6, Just(0.0)]), 1..20),
        s_x in prop_oneof![1e-3f32..1.0, 1e-12f32..1e-9],
    ) {
        let weights: Vec<f32> = channels.iter().flat_map(|&(w, e, _)| [w * 0.5f32.powi(e), 0.0]).collect();
        let biases: Vec<f64> = channels.iter().map(|c| c.2).collect();
        let q = quantize_layer(&weights, &biases, s_x).unwrap();
        for (channel, &bias) in biases.iter().enumerate() {
            let step = f64::from(s_x) * f64::from(q.weights.scales[channel]);
            prop_assert!(q.biases[channel].abs() <= BIAS_LIMIT);
            prop_assert!((f64::from(q.biases[channel]) * step - bias).abs() <= 0.5 * step * (1.0 + 1e-6));
        }
    }
}

#[test]
fn rounds_half_to_even() {
    let q = quantize_per_channel(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5], 1).unwrap();
    assert_eq!((q.scales, q.values), (vec![1.0], vec![127, 0, 2, 2, 0, -2]));
    assert_eq!(quantize_bias(&[0.5, 1.5, -2.5], 1.0, &[1.0; 3]), Ok(vec![0, 2, -2]));
}

#[test]
fn scales_are_left_alone_where_the_bias_fits() {
    let weights = [0.5, -1.0, 0.25, 0.125];
    let layer = quantize_layer(&weights, &[0.1, -0.2], 0.02).unwrap();
    assert_eq!(layer.weights, quantize_per_channel(&weights, 2).unwrap());
}

#[test]
fn dead_channels_keep_their_bias() {
    let layer = quantize_layer(&[0.0, 0.0, 1e-14, -1e-14, 0.0, 0.0], &[0.3, -0.3, 0.0], 0.02).unwrap();
    assert_eq!(layer.weights.values, [0; 6]);
    for (bias, expected) in layer.biases.iter().zip([BIAS_LIMIT, -BIAS_LIMIT]) {
        assert!(bias.abs_diff(expected) < 200, "{bias}");
    }
    assert_eq!((layer.weights.scales[2], layer.biases[2]), (1.0, 0));
}

#[test]
fn errors_name_the_channel() {
    let error = quantize_per_channel(&[1.0, 2.0, 3.0, f32::NAN], 2).unwrap_err();
    assert_eq!(error.to_string(), "channel 1: a weight is NaN");
    for (biases, channel) in [([f64::NAN, 0.0], 0), ([0.0, f64::INFINITY], 1), ([0.0, -1e80], 1)] {
        let errors = [
            quantize_layer(&[1.0, 1.0], &biases, 0.1).unwrap_err(),
            quantize_bias(&biases, 0.1, &[0.1; 2]).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, CalibError::BiasOutOfRange { channel: c, .. } if c == channel), "{error}");
        }
    }
    assert!(quantize_bias(&[1.0], 1e-6, &[1e-6]).is_err());
}

#[test]
fn shapes_and_scales_are_checked() {
    for (weights, channels) in [(&[1.0, 2.0, 3.0][..], 2), (&[1.0], 0), (&[], 2)] {
        assert!(matches!(quantize_per_channel(weights, channels), Err(CalibError::Shape { .. })));
    }
    assert!(matches!(quantize_bias(&[1.0], 1.0, &[1.0; 2]), Err(CalibError::Shape { .. })));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(quantize_bias(&[1.0], 1.0, &[scale]), Err(CalibError::InvalidScale(_))));
        assert!(matches!(quantize_layer(&[1.0], &[1.0], scale), Err(CalibError::InvalidScale(_))));
    }
}

#[test]
fn one_great_weight_is_clipped_where_it_hardly_matters() {
    let mut row: Vec<f32> = (0..600).map(|i| (i as f32 * 0.7).sin()).collect();
    row.push(1.3);
    let widest = 1.3 / 127.0;
    assert_eq!(cardinal_calib::clipped_scale(&row[600..], None, widest), widest);
    let mut power = vec![1.0; 601];
    assert!(cardinal_calib::clipped_scale(&row, Some(&power), widest) > 0.9 * widest);
    power[600] = 0.0;
    let clipped = cardinal_calib::clipped_scale(&row, Some(&power), widest);
    assert!((0.7..0.85).contains(&(clipped / widest)), "{}", clipped / widest);
}

proptest! {
    #[test]
    fn clipping_is_never_worse(row in vec(-1f32..1.0, 1..60), bias in -10f64..10.0) {
        let error = |treatment| {
            let layer = quantize_layer_with(&row, &[bias], 0.1, treatment).unwrap();
            let scale = layer.weights.scales[0];
            row.iter().zip(&layer.weights.values).map(|(w, &c)| f64::from(w - scale * f32::from(c)).powi(2)).sum::<f64>()
        };
        let clipped = error(Treatment { clipping: true, ..Treatment::default() });
        prop_assert!(clipped <= error(Treatment::default()) * 1.000_001);
    }
}
