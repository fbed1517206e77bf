//! Equalization of activation channels: every channel of an activation is scaled so that all use more of the tensor's
//! one scale, and the scaling is undone in the weights that read it.
//!
//! ReLU, max-pool and means commute with positive factors, so the float network computes the same. What adds up over a
//! shortcut is scaled alike. Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"
//! ([arXiv:1906.04721](https://arxiv.org/abs/1906.04721)) equalize weights this way; here weights have a scale per
//! channel anyway, and the observed activations are what is made equal, as in Xiao et al. 2023, "SmoothQuant"
//! ([arXiv:2211.10438](https://arxiv.org/abs/2211.10438)).

use crate::graph::{Graph, Op, Source};

/// A channel is amplified by no more than this: beyond, it is noise.
const MOST: f32 = 64.0;

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

/// A network with other scales inside.
#[derive(Clone, Debug)]
pub struct Equalized {
    /// The network.
    pub graph: Graph,
    /// What each channel of each layer's output was multiplied by; empty for 1 everywhere.
    pub factors: Vec<Vec<f32>>,
}

/// The same network with channel *c* of every layer's output multiplied by `(R / r_c)^strength`, where `r_c` is how large
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
        let factor = |&p: &f32| if p > 0.0 { (greatest / p).powf(strength).min(MOST) } else { 1.0 };
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
