//! How much rounding errors in each channel of a network move its logits.
//!
//! Errors of rounding are small and hardly depend on each other, so their variances add up, and a layer passes on the
//! variance of an input times the square of its weight. Followed back from the logits through all layers, that gives for
//! every channel the variance of the logits (summed over the classes) for an error of variance 1 in one of its values: Lin,
//! Talathi and Annapureddy 2016, *Fixed Point Quantization of Deep Convolutional Networks*
//! ([arXiv:1511.06393](https://arxiv.org/abs/1511.06393)), follow noise forward in this way. It takes no labels, no
//! gradients and no images. A rectifier is taken to let half of the values pass.
//!
//! It tells the channels of a layer apart. It is no measure between layers: where pictures are smooth, the errors of
//! neighbouring positions go together, and more of them arrive the more layers there are on the way.

use cardinal_format::Shape;

use crate::graph::{Graph, Op, Source};

/// Share of the values that pass a rectifier.
const ACTIVE: f64 = 0.5;

/// One entry per layer, with one number per channel of its output; `shapes` are those of [`Graph::shapes`].
pub fn sensitivities(graph: &Graph, shapes: &[Shape]) -> Vec<Vec<f64>> {
    let mut of: Vec<Vec<f64>> = shapes.iter().map(|shape| vec![0.0; shape.channels as usize]).collect();
    if let Some(logits) = of.last_mut() {
        logits.fill(1.0);
    }
    let size = |shape: Shape| f64::from(shape.height) * f64::from(shape.width);
    for (number, layer) in graph.layers.iter().enumerate().rev() {
        let Source::Layer(input) = layer.input else { continue };
        let out = of[number].clone();
        // How often an input value is read, for each output value.
        let ratio = size(shapes[number]) / size(shapes[input]);
        let add = |to: &mut [f64], weights: &[f32], groups: usize, passed: f64| {
            let (in_per_group, out_per_group) = (to.len() / groups, out.len() / groups);
            let taps = weights.len() / (out.len() * in_per_group).max(1);
            for (n, (row, &sensitivity)) in weights.chunks_exact(in_per_group * taps).zip(&out).enumerate() {
                let inputs = &mut to[n / out_per_group * in_per_group..][..in_per_group];
                for (to, taps) in inputs.iter_mut().zip(row.chunks_exact(taps)) {
                    let square: f64 = taps.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
                    *to += sensitivity * passed * square;
                }
            }
        };
        match &layer.op {
            Op::Conv(conv) => {
                let active = if conv.relu { ACTIVE } else { 1.0 };
                add(&mut of[input], &conv.weights, conv.groups as usize, active * ratio);
                if let Some(Source::Layer(residual)) = conv.residual {
                    of[residual].iter_mut().zip(&out).for_each(|(to, from)| *to += active * from);
                }
            }
            Op::Linear(linear) => add(&mut of[input], &linear.weights, 1, 1.0),
            Op::MaxPool(_) => of[input].iter_mut().zip(&out).for_each(|(to, from)| *to += ratio * from),
            // A mean over n values moves by 1/n of an error in one of them.
            Op::GlobalAvgPool => of[input].iter_mut().zip(&out).for_each(|(to, from)| *to += ratio * ratio * from),
        }
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;
    use crate::images::normalise_chw;

    /// Rounding one layer, in the real network.
    #[test]
    fn predicted_noise_is_measured_noise_within_a_factor() {
        let network = embedded::network().expect("the checkpoint ships");
        let graph = &network.graph;
        let shapes = graph.shapes().expect("a valid graph");
        let of = sensitivities(graph, &shapes);
        let images = embedded::test_images().expect("the images ship");
        for name in ["avgpool", "layer3.1.conv2"] {
            let layer = graph.layers.iter().position(|layer| layer.name == name).expect("a layer");
            let qparams = cardinal_calib::spanning(0.0, 12.0);
            let (exact, rounded) =
                (graph.float_model().expect("it runs"), graph.float_model_rounding(layer, qparams).expect("it runs"));
            let (mut noise, mut inside) = (0.0, 0.0);
            for i in 0..40 {
                let pixels = images.prepare(i * 50, &network.preprocess, [28, 28]).expect("an image");
                let image = normalise_chw(&pixels, &network.preprocess, [28, 28]);
                let (a, b) = (exact.run(&image).expect("it runs"), rounded.run(&image).expect("it runs"));
                noise += a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 40.0;
                let place = graph.observed().iter().position(|&l| l == layer).expect("observed");
                let step = |values: &[f32]| -> f64 {
                    let error = |(i, v): (usize, &f32)| {
                        let channel = i / (values.len() / of[layer].len());
                        f64::from(v - qparams.dequantize(qparams.quantize(*v))).powi(2) * of[layer][channel]
                    };
                    values.iter().enumerate().map(error).sum()
                };
                exact
                    .run_observed(&image, |n, values| inside += if n == place { step(values) / 40.0 } else { 0.0 })
                    .expect("it runs");
            }
            assert!((0.2..5.0).contains(&(inside / noise)), "{name}: predicted {inside}, measured {noise}");
        }
    }
}
