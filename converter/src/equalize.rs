//! Equalization of activation channels: every channel of an activation is scaled so that all use more of the tensor's
//! one scale, and the scaling is undone in the weights that read it.
//!
//! ReLU, max-pool and means commute with positive factors, so the float network computes the same. What adds up over a
//! shortcut is scaled alike. Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"
//! ([arXiv:1906.04721](https://arxiv.org/abs/1906.04721)) equalize weights this way; here weights have a scale per
//! channel anyway, and the observed activations are what is made equal, as in Xiao et al. 2023, "SmoothQuant"
//! ([arXiv:2211.10438](https://arxiv.org/abs/2211.10438)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Op, Source};

/// Quarter octaves that a channel is amplified by at most: beyond, it is noise.
const MOST: u32 = 24;

/// `2^(n/4)`, the same on every machine.
fn quarters(n: u32) -> f32 {
    const ROOTS: [f32; 4] = [1.0, 1.189_207_1, std::f32::consts::SQRT_2, 1.681_792_9];
    ROOTS[n as usize % 4] * (1u32 << (n / 4)) as f32
}

/// For each layer, the first layer whose output is scaled like its own.
fn ties(graph: &Graph) -> Vec<usize> {
    let mut class: Vec<usize> = (0..graph.layers.len()).collect();
    for (i, layer) in graph.layers.iter().enumerate() {
        let tied = match &layer.op {
            Op::Conv(conv) => conv.residual,
            Op::MaxPool(_) | Op::GlobalAvgPool => Some(layer.input),
            Op::Linear(_) => None,
        };
        if let Some(Source::Layer(other)) = tied {
            let (from, to) = (class[i].max(class[other]), class[i].min(class[other]));
            class.iter_mut().filter(|c| **c == from).for_each(|c| *c = to);
        }
    }
    class
}

/// What channels are multiplied by, by layer, as a file records it: a digit of base 36 per channel, the number of quarter
/// octaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelFactors(BTreeMap<String, String>);

impl ChannelFactors {
    /// Of the file's layers that have any.
    pub fn new(graph: &Graph, factors: &[Vec<f32>]) -> Self {
        let digit = |factor: &f32| (0..=MOST).rfind(|&q| quarters(q) <= *factor).and_then(|q| char::from_digit(q, 36));
        let digit = |factor: &f32| digit(factor).unwrap_or('0');
        let layers = graph.layers.iter().zip(graph.fused_into()).zip(factors);
        let layers = layers.filter(|((_, fused), factors)| fused.is_none() && !factors.is_empty());
        ChannelFactors(layers.map(|((layer, _), f)| (layer.name.clone(), f.iter().map(digit).collect())).collect())
    }

    /// Whether no layer has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a layer has any.
    pub fn has(&self, layer: &str) -> bool {
        self.0.contains_key(layer)
    }

    /// Divides a layer's output, channel by channel.
    pub fn remove(&self, layer: &str, values: &mut [f32]) {
        let Some(digits) = self.0.get(layer).filter(|digits| !digits.is_empty()) else { return };
        let positions = (values.len() / digits.len()).max(1);
        for (channel, digit) in values.chunks_mut(positions).zip(digits.chars()) {
            let factor = quarters(digit.to_digit(36).unwrap_or(0).min(MOST));
            channel.iter_mut().for_each(|value| *value /= factor);
        }
    }
}

/// A network with other scales inside.
#[derive(Clone, Debug)]
pub struct Equalized {
    /// The network.
    pub graph: Graph,
    /// What each channel of each layer's output was multiplied by; empty for 1 everywhere.
    pub factors: Vec<Vec<f32>>,
}

/// The same network with channel *c* of every layer's output multiplied by about `(R / r_c)^strength`, where `r_c` is how large
/// the channel gets (`peaks`, by layer; empty where it was not observed) and `R` the greatest of all. What is scaled alike
/// has the greatest of its members' peaks.
pub fn equalize(graph: &Graph, peaks: &[Vec<f32>], strength: f32) -> Equalized {
    let class = ties(graph);
    let mut joint: Vec<Vec<f32>> = vec![Vec::new(); graph.layers.len()];
    for (peaks, &class) in peaks.iter().zip(&class) {
        let joint = &mut joint[class];
        joint.resize(joint.len().max(peaks.len()), 0.0);
        joint.iter_mut().zip(peaks).for_each(|(a, &b)| *a = a.max(b));
    }
    let factors_of = |peaks: &Vec<f32>| -> Vec<f32> {
        let greatest = peaks.iter().copied().fold(0.0, f32::max);
        let steps = |p: f32| (4.0 * strength * (greatest / p).log2()).round().clamp(0.0, MOST as f32) as u32;
        let factor = |&p: &f32| if p > 0.0 { quarters(steps(p)) } else { 1.0 };
        peaks.iter().map(factor).collect()
    };
    let joint: Vec<Vec<f32>> = joint.iter().map(factors_of).collect();
    let factors: Vec<Vec<f32>> = class.iter().map(|&class| joint[class].clone()).collect();
    let mut graph = graph.clone();
    for (layer, output) in graph.layers.iter_mut().zip(&factors) {
        let input = match layer.input {
            Source::Image => &[][..],
            Source::Layer(i) => &factors[i],
        };
        let at = |factors: &[f32], c: usize| factors.get(c).copied().unwrap_or(1.0);
        let scale = |weights: &mut [f32], bias: &mut [f32], groups: usize, in_per_group: usize| {
            let (row_len, out_per_group) = (weights.len() / bias.len(), bias.len() / groups);
            let taps = row_len / in_per_group;
            for (n, (row, bias)) in weights.chunks_exact_mut(row_len).zip(bias).enumerate() {
                let first = n / out_per_group * in_per_group;
                row.iter_mut().enumerate().for_each(|(k, w)| *w *= at(output, n) / at(input, first + k / taps));
                *bias *= at(output, n);
            }
        };
        match &mut layer.op {
            Op::Conv(conv) => {
                scale(&mut conv.weights, &mut conv.bias, conv.groups as usize, conv.in_per_group as usize);
            }
            Op::Linear(linear) => {
                let inputs = linear.weights.len() / linear.bias.len();
                scale(&mut linear.weights, &mut linear.bias, 1, inputs);
            }
            Op::MaxPool(_) | Op::GlobalAvgPool => {}
        }
    }
    Equalized { graph, factors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;
    use crate::images::normalise_chw;

    #[test]
    fn the_network_says_the_same() {
        let network = embedded::network().expect("the checkpoint ships");
        let graph = &network.graph;
        let shapes = graph.shapes().expect("a valid graph");
        // Any peaks will do; one channel of each layer is dead.
        let peak = |layer: usize| (0..shapes[layer].channels).map(|c| (c * 7 % 50) as f32 / 3.0).collect::<Vec<_>>();
        let mut peaks = vec![Vec::new(); graph.layers.len()];
        graph.observed().into_iter().for_each(|layer| peaks[layer] = peak(layer));
        let equalized = equalize(graph, &peaks, 0.75);
        assert_ne!(equalized.graph, *graph);

        let images = embedded::test_images().expect("the images ship");
        let pixels = images.prepare(3, &network.preprocess, [28, 28]).expect("a valid image");
        let image = normalise_chw(&pixels, &network.preprocess, [28, 28]);
        let factors = ChannelFactors::new(graph, &equalized.factors);
        let mut theirs = Vec::new();
        let ours = graph.float_model().expect("tract runs it");
        let logits = ours.run_observed(&image, |_, values| theirs.push(values.to_vec())).expect("it runs");
        let scaled = equalized.graph.float_model().expect("tract runs it");
        let again = scaled.run_observed(&image, |i, values| {
            let mut values = values.to_vec();
            factors.remove(&graph.layers[graph.observed()[i]].name, &mut values);
            let name = &graph.layers[graph.observed()[i]].name;
            assert!(cardinal_calib::sqnr_db(&theirs[i], &values) > 110.0, "{name}");
        });
        assert!(cardinal_calib::sqnr_db(&logits, &again.expect("it runs")) > 110.0);
    }

    #[test]
    fn what_adds_up_is_scaled_alike() {
        let network = embedded::network().expect("the checkpoint ships");
        let class = ties(&network.graph);
        let place = |name: &str| network.graph.layers.iter().position(|layer| layer.name == name).expect("a layer");
        let of = |name: &str| class[place(name)];
        assert_eq!(of("layer2.0.downsample"), of("layer2.1.conv3"));
        assert_ne!(of("layer2.0.conv1"), of("layer2.0.conv2"));
        assert_eq!(of("layer3.1.conv3"), of("avgpool"));
        assert_ne!(of("layer1.1.conv3"), of("layer2.0.conv3"));
    }
}
