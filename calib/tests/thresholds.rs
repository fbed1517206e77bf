//! Calibrated parameters: their error, and where they clip.

mod common;

use cardinal_calib::{CalibError, Calibrated, Distortion, Histogram, MIN_SCALE, Method, Observer, QParams, spanning};
use common::Random;
use proptest::{collection::vec, prelude::*};

fn observer(values: &[f32]) -> Observer {
    let mut observer = Observer::new();
    observer.observe(values);
    observer
}

fn calibrate(values: &[f32], method: Method) -> Calibrated {
    observer(values).qparams(method).unwrap()
}

fn measured_mse(values: &[f32], q: QParams) -> f64 {
    let error = |x: f32| f64::from(q.dequantize(q.quantize(x))) - f64::from(x);
    values.iter().map(|&x| error(x).powi(2)).sum::<f64>() / values.len() as f64
}

fn relu(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| x.max(0.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mse_is_never_worse_than_min_max(values in vec(prop_oneof![-1f32..4.0, -1e-3f32..1e-3, -3e4f32..3e4], 1..200)) {
        for values in [relu(&values), values] {
            let (wide, best) = (calibrate(&values, Method::MinMax), calibrate(&values, Method::Mse));
            prop_assert!(best.mse <= wide.mse, "{best:?} {wide:?}");
            for c in [wide, best] {
                prop_assert!(c.qparams.scale >= MIN_SCALE && c.qparams.scale.is_finite());
                prop_assert_eq!(c.qparams.dequantize(c.qparams.quantize(0.0)), 0.0);
                prop_assert!(c.clip.0 <= 0.0 && 0.0 <= c.clip.1);
                if c.observed.0 >= 0.0 {
                    prop_assert_eq!(c.qparams.zero_point, -128);
                }
            }
            prop_assert!(wide.clip.0 <= wide.observed.0 + wide.qparams.scale * 0.501);
            prop_assert!(wide.clip.1 >= wide.observed.1 - wide.qparams.scale * 0.501);
        }
    }

    #[test]
    fn parameters_do_not_depend_on_order(values in vec(-10f32..10.0, 2..200), cut in 0usize..200) {
        let (head, tail) = values.split_at(cut % values.len());
        let mut merged = observer(tail);
        merged.merge(&observer(head));
        for method in [Method::MinMax, Method::Mse] {
            prop_assert_eq!(merged.qparams(method).unwrap(), calibrate(&values, method));
        }
    }

    /// Against the definition: many values spread evenly over each bin, quantized one by one.
    #[test]
    fn distortion_is_the_mean_squared_error(
        values in vec(-1f32..2.0, 1..8), lo in -2f32..0.0, hi in 0.01f32..3.0,
    ) {
        const SPREAD: usize = 512;
        let mut h = Histogram::new();
        h.observe(&values);
        let spread: Vec<f32> = values
            .iter()
            .flat_map(|&x| {
                let bin = (f64::from(x.abs()) / h.width()).floor();
                let unit = h.width().copysign(x.into()) * f64::from(u8::from(x != 0.0));
                (0..SPREAD).map(move |i| ((bin + (i as f64 + 0.5) / SPREAD as f64) * unit) as f32)
            })
            .collect();
        let q = spanning(lo, hi);
        let (expected, found) = (measured_mse(&spread, q), Distortion::new(&h).mse(q));
        prop_assert!((expected - found).abs() <= 1e-3 * expected + 1e-12, "{expected} {found}");
    }

    /// Against every one of 1000 thresholds. With few values the error has narrow dips wherever they happen to lie on
    /// codes, hence the tolerance.
    #[test]
    fn one_sided_search_finds_the_minimum(seed in any::<u64>(), n in 1usize..500, power in 1i32..6) {
        let mut random = Random(seed);
        let values: Vec<f32> = (0..n).map(|_| random.normal().abs().powi(power)).collect();
        let best = calibrate(&values, Method::Mse);
        let distortion = Distortion::new(observer(&values).histogram());
        let brute = (1..=1000)
            .map(|i| distortion.mse(spanning(0.0, best.observed.1 * i as f32 / 1000.0)))
            .fold(f64::INFINITY, f64::min);
        prop_assert!(best.mse <= brute * 1.1, "{} {brute}", best.mse);
    }

    /// Against a grid of thresholds.
    #[test]
    fn two_sided_search_comes_near_the_minimum(
        seed in any::<u64>(), n in 100usize..2000, power in 1i32..5, outlier in -100f32..100.0,
    ) {
        let mut random = Random(seed);
        let mut values: Vec<f32> = random.normals(n).iter().map(|x| x * x.abs().powi(power - 1)).collect();
        values.push(outlier);
        let best = calibrate(&values, Method::Mse);
        let distortion = Distortion::new(observer(&values).histogram());
        let ((min, max), fraction) = (best.observed, |i| 0.85f32.powi(i));
        let brute = (0..25 * 25)
            .map(|i| distortion.mse(spanning(min * fraction(i / 25), max * fraction(i % 25))))
            .fold(f64::INFINITY, f64::min);
        prop_assert!(best.mse <= brute * 1.05, "{} {brute}", best.mse);
    }
}

#[test]
fn distortion_predicts_the_measured_error() {
    let normal = Random(1).normals(200_000);
    for values in [relu(&normal), normal] {
        for method in [Method::MinMax, Method::Mse] {
            let c = calibrate(&values, method);
            let measured = measured_mse(&values, c.qparams);
            assert!((c.mse / measured - 1.0).abs() < 0.02, "{c:?} {measured}");
            let power = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((c.sqnr_db - 10.0 * (power / measured).log10()).abs() < 0.1, "{c:?}");
        }
    }
}

/// The optimum for 8 bits and a normal distribution, clipped on both sides, is near 3.92 sigma (Banner et al. 2019).
#[test]
fn normal_is_clipped_where_theory_says() {
    let normal = Random(2).normals(1_000_000);
    let c = calibrate(&normal, Method::Mse);
    assert!((3.7..4.15).contains(&c.clip.1) && (-4.15..-3.7).contains(&c.clip.0), "{c:?}");
    let c = calibrate(&relu(&normal), Method::Mse);
    assert!(c.clip.0 == 0.0 && (3.9..4.6).contains(&c.clip.1), "{c:?}");
}

#[test]
fn outliers_are_clipped_on_either_side() {
    let normal = Random(3).normals(1_000_000);
    let with = |outliers: &[f32]| calibrate(&[&normal, outliers].concat(), Method::Mse);
    for (outliers, name) in [(&[40.0][..], "high"), (&[-40.0], "low"), (&[-40.0, 40.0], "both")] {
        let c = with(outliers);
        assert!(c.clip.0 > -20.0 && c.clip.1 < 20.0, "{name}: {c:?}");
    }
    let relu = relu(&normal);
    let c = calibrate(&[&relu[..], &[40.0]].concat(), Method::Mse);
    assert!((4.0..30.0).contains(&c.clip.1), "{c:?}");
}

#[test]
fn an_outlier_that_carries_the_energy_is_kept() {
    let mut values = relu(&Random(4).normals(1000));
    values.push(1000.0);
    let (wide, best) = (calibrate(&values, Method::MinMax), calibrate(&values, Method::Mse));
    assert!(best.mse <= wide.mse && best.clip.1 > 900.0, "{best:?}");
}

#[test]
fn degenerate_tensors_get_sane_parameters() {
    for method in Method::ALL {
        let zero = calibrate(&[0.0, -0.0, 0.0], method);
        assert_eq!((zero.qparams, zero.mse), (QParams { scale: 1.0, zero_point: -128 }, 0.0));
        for x in [1.0, 0.3, 6.0, 1e-12, 1e30, f32::MAX] {
            for x in [x, -x] {
                let c = calibrate(&[x; 40], method);
                let back = c.qparams.dequantize(c.qparams.quantize(x));
                assert!(((back - x) / x).abs() < 1e-3, "{method} {x}: {c:?}");
                assert_eq!(c.qparams.zero_point, if x < 0.0 { 127 } else { -128 });
                assert!(c.mse.is_finite() && c.sqnr_db > 40.0, "{method} {x}: {c:?}");
            }
        }
        assert_eq!(calibrate(&[1e-30], method).qparams.scale, MIN_SCALE);
        let widest = calibrate(&[f32::MAX, -f32::MAX], method);
        assert!(widest.qparams.scale.is_finite() && widest.mse.is_finite(), "{widest:?}");
    }
}

#[test]
fn errors_say_what_was_seen() {
    let empty = Observer::new().qparams(Method::Mse);
    assert_eq!(empty, Err(CalibError::Empty));
    let error = observer(&[1.0, f32::NAN, f32::INFINITY]).qparams(Method::MinMax).unwrap_err();
    assert_eq!(error.to_string(), "2 of 3 observed values are NaN or infinite");
}

#[test]
fn methods_are_read_as_they_are_written() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    assert!("percentiles".parse::<Method>().is_err());
}

#[test]
fn percentiles_cut_off_their_share() {
    let mut values: Vec<f32> = (1..=99_990).map(|i| i as f32 / 99_990.0).collect();
    values.extend([50.0; 9]);
    let c = calibrate(&values, Method::Percentile);
    assert!((1.0..1.02).contains(&c.clip.1), "{c:?}");
    values.extend([50.0; 2]);
    assert!(calibrate(&values, Method::Percentile).clip.1 > 49.0);
    // Of two signs half of the share each.
    let both: Vec<f32> = values[..99_990].iter().flat_map(|&x| [x, -x]).collect();
    let both: Vec<f32> = both.into_iter().chain([50.0, -50.0]).collect();
    let c = calibrate(&both, Method::Percentile);
    assert!(c.clip.1 < 1.02 && c.clip.0 > -1.02, "{c:?}");
}

#[test]
fn the_average_is_of_images_in_their_order() {
    let mut observer = Observer::new();
    for image in [[0.0f32, 1.0], [0.0, 2.0], [0.0, 4.0]] {
        let extrema = observer.observe(&image);
        observer.add_to_average(extrema);
    }
    let c = observer.qparams(Method::MovingAverage).expect("values");
    let expected = 1.0 + 0.01 * (2.0 - 1.0);
    assert!((f64::from(c.clip.1) - (expected + 0.01 * (4.0 - expected))).abs() < 1e-6, "{c:?}");
}

#[test]
fn what_the_output_is_sensitive_to_is_not_clipped() {
    // A channel of small values and one of large ones.
    let values: Vec<f32> =
        Random(5).normals(20_000).into_iter().enumerate().map(|(i, x)| if i < 10_000 { x } else { 6.0 * x }).collect();
    let clip = |sensitivities: [f64; 2]| {
        let mut observer = Observer::weighted(&sensitivities);
        observer.observe(&values);
        observer.qparams(Method::Sensitivity).expect("values")
    };
    let (small, large) = (clip([1.0, 0.0]), clip([0.0, 1.0]));
    assert!(small.qparams.scale < 0.8 * large.qparams.scale, "{small:?} {large:?}");
    assert_eq!(clip([3.0, 3.0]).qparams, calibrate(&values, Method::Mse).qparams);
    assert!(small.mse > large.mse);
}
