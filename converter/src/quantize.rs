//! Float layers and scales → int8 layers with packed weights.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use cardinal_calib::{CalibError, Calibrated, Inputs, QuantizedWeights, Treatment, quantize_layer_with};
use cardinal_format::quant::QParams;
use cardinal_format::weights::WeightLayout;
use cardinal_format::write::{pack_channels, pack_weights};
use cardinal_format::{Conv, GlobalAvgPool, Linear, MaxPool, Op, Preprocess, Residual, Shape, TensorId, Window};
use rayon::prelude::*;

use crate::Error;
use crate::calibrate::Recipe;
use crate::graph::{self, Graph, Source};
use crate::inputs::LayerInputs;

/// A layer as the file has it, with its own copies of what the file's views borrow.
#[derive(Clone, Debug)]
pub struct QuantizedLayer {
    /// The op's name.
    pub name: String,
    /// The tensor that it reads.
    pub input: TensorId,
    /// Extent of the output.
    pub shape: Shape,
    /// Meaning of the output's codes; the classifier has none.
    pub qparams: Option<QParams>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Conv {
        residual: Option<Residual>,
        window: Window,
        groups: NonZeroU32,
        cardinality: u32,
        q_min: i8,
        pad_codes: [i8; 4],
        weights: Vec<u8>,
        channels: Vec<u8>,
    },
    MaxPool(Window),
    GlobalAvgPool {
        multiplier: f32,
    },
    Linear {
        weights: Vec<u8>,
        channels: Vec<u8>,
    },
}

impl QuantizedLayer {
    /// The tensor whose codes it adds.
    pub fn residual(&self) -> Option<TensorId> {
        match &self.kind {
            Kind::Conv { residual, .. } => residual.map(|r| r.tensor),
            _ => None,
        }
    }

    /// The file's view of the layer; `output` is the tensor that it writes.
    pub fn op(&self, output: TensorId) -> Op<'_> {
        let input = self.input;
        match &self.kind {
            &Kind::Conv { residual, window, groups, cardinality, q_min, pad_codes, ref weights, ref channels } => {
                Op::Conv(Conv {
                    input,
                    output,
                    residual,
                    window,
                    groups,
                    cardinality,
                    q_min,
                    q_max: i8::MAX,
                    pad_codes,
                    weights,
                    channels,
                })
            }
            &Kind::MaxPool(window) => Op::MaxPool(MaxPool { input, output, window }),
            &Kind::GlobalAvgPool { multiplier } => {
                Op::GlobalAvgPool(GlobalAvgPool { input, output, multiplier, q_min: i8::MIN, q_max: i8::MAX })
            }
            Kind::Linear { weights, channels } => Op::Linear(Linear { input, weights, channels }),
        }
    }
}

/// Quantizes every layer. Tensor 0 is the image, tensor *i* + 1 the output of layer *i*.
///
/// # Errors
/// The layer whose weights or biases do not fit, and why.
pub fn quantize(
    graph: &Graph,
    calibrated: &[Option<Calibrated>],
    spec: &Preprocess,
    known: Option<&Known<'_>>,
) -> Result<Vec<QuantizedLayer>, Error> {
    let shapes = graph.shapes().map_err(|(layer, why)| Error::Usage(format!("{layer}: {why}")))?;
    let mut layers: Vec<QuantizedLayer> = Vec::with_capacity(graph.layers.len());
    for (number, ((layer, &shape), calibrated)) in graph.layers.iter().zip(&shapes).zip(calibrated).enumerate() {
        let qparams_of = |source: Source| match source {
            Source::Image => QParams::IMAGE,
            Source::Layer(i) => layers[i].qparams.unwrap_or(QParams::IMAGE),
        };
        let tensor_of = |source: Source| match source {
            Source::Image => TensorId::IMAGE,
            Source::Layer(i) => TensorId((i + 1) as u16),
        };
        let input = qparams_of(layer.input);
        let input_shape = match layer.input {
            Source::Image => graph.image,
            Source::Layer(i) => shapes[i],
        };
        let own = calibrated.as_ref().map(|c| c.qparams);
        let fail = |cause: CalibError| Error::Quantize { layer: layer.name.clone(), cause };
        let inputs = known.map_or_else(Vec::new, |known| known.of(graph, number));
        let quantize = |weights: &[f32], bias: &[f64], inputs: &[Inputs], output: Option<QParams>| {
            Packed::new(weights, bias, inputs, known.map(|known| (known, number)), input, output).map_err(fail)
        };
        let (kind, qparams) = match &layer.op {
            graph::Op::Conv(conv) => {
                let output = own.unwrap_or(QParams::IMAGE);
                let from_image = layer.input == Source::Image;
                let (weights, bias) = if from_image { fold_normalisation(conv, spec) } else { plain(conv) };
                let (groups, weights) = merge_narrow_groups(conv, weights).ok_or_else(|| {
                    let (groups, width) = (conv.groups, conv.in_per_group);
                    Error::Usage(format!("{}: {groups} groups of {width} channels cannot be stored", layer.name))
                })?;
                // Merged groups have other inputs than those that were seen.
                let inputs = if groups.get() == conv.groups { &inputs[..] } else { &[] };
                let packed = quantize(&weights, &bias, inputs, Some(output))?;
                let layout = WeightLayout::new(input_shape.channels, shape.channels, conv.window.kernel, groups.get());
                let layout = layout.ok_or_else(|| Error::Usage(format!("{}: impossible shape", layer.name)))?;
                let pad_codes = if from_image { pad_codes(spec) } else { [input.zero_point; 4] };
                let residual = conv.residual.map(|source| {
                    let scale = f64::from(qparams_of(source).scale) / f64::from(output.scale);
                    Residual { tensor: tensor_of(source), multiplier: scale as f32 }
                });
                let kind = Kind::Conv {
                    residual,
                    window: conv.window,
                    groups,
                    cardinality: conv.groups,
                    q_min: if conv.relu { output.zero_point } else { i8::MIN },
                    pad_codes,
                    weights: pack_weights(&layout, conv.window.kernel, &packed.weights),
                    channels: packed.channels,
                };
                (kind, Some(output))
            }
            graph::Op::MaxPool(window) => (Kind::MaxPool(*window), Some(input)),
            graph::Op::GlobalAvgPool => {
                let output = own.unwrap_or(input);
                let positions = f64::from(input_shape.height) * f64::from(input_shape.width);
                let multiplier = f64::from(input.scale) / (f64::from(output.scale) * positions);
                (Kind::GlobalAvgPool { multiplier: multiplier as f32 }, Some(output))
            }
            graph::Op::Linear(linear) => {
                let bias: Vec<f64> = linear.bias.iter().map(|&b| f64::from(b)).collect();
                let packed = quantize(&linear.weights, &bias, &inputs, None)?;
                let layout = WeightLayout::new(input_shape.byte_len() as u32, shape.channels, [1, 1], 1);
                let layout = layout.ok_or_else(|| Error::Usage(format!("{}: impossible shape", layer.name)))?;
                let weights = pack_weights(&layout, [1, 1], &packed.weights);
                (Kind::Linear { weights, channels: packed.channels }, None)
            }
        };
        layers.push(QuantizedLayer { name: layer.name.clone(), input: tensor_of(layer.input), shape, qparams, kind });
    }
    Ok(layers)
}

/// What is known of the layers' inputs.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// As they are in the network as it came.
    pub inputs: &'a LayerInputs,
    /// What its activations were multiplied by since ([`Equalized::factors`](crate::equalize::Equalized::factors));
    /// empty if by nothing.
    pub factors: &'a [Vec<f32>],
    /// What is done with them.
    pub recipe: &'a Recipe,
    /// The weights that were found for this network, to be taken again if only ranges change.
    pub found: Option<&'a RefCell<FoundWeights>>,
}

/// A network's int8 weights by layer.
pub type FoundWeights = BTreeMap<usize, QuantizedWeights>;

impl Known<'_> {
    /// Inputs of a layer's groups; none where nothing is known.
    fn of(&self, graph: &Graph, layer: usize) -> Vec<Inputs> {
        let (Some(groups), Source::Layer(input)) = (&self.inputs[layer], graph.layers[layer].input) else {
            return Vec::new();
        };
        let taps = match &graph.layers[layer].op {
            graph::Op::Conv(conv) => conv.window.kernel.iter().map(|&side| usize::from(side)).product(),
            _ => 1,
        };
        let factors = self.factors.get(input).map_or(&[][..], Vec::as_slice);
        let one = |(group, inputs): (usize, &Inputs)| {
            let len = inputs.mean.len();
            let channel = |k: usize| group * (len / taps) + k / taps;
            let factors: Vec<f32> = (0..len).map(|k| factors.get(channel(k)).copied().unwrap_or(1.0)).collect();
            inputs.scaled(&factors)
        };
        groups.par_iter().enumerate().map(one).collect()
    }
}

/// Weights in int8, and bias and multiplier per channel as the file has them.
struct Packed {
    weights: Vec<i8>,
    channels: Vec<u8>,
}

impl Packed {
    /// Equations (2) and (3) of the quantization page; without an output the multiplier gives real numbers.
    fn new(
        weights: &[f32],
        bias: &[f64],
        inputs: &[Inputs],
        known: Option<(&Known<'_>, usize)>,
        input: QParams,
        output: Option<QParams>,
    ) -> Result<Self, CalibError> {
        let (rounding, clipping) =
            known.map_or((false, false), |(known, _)| (known.recipe.rounding, known.recipe.clipping));
        let found = known.and_then(|(known, layer)| Some((known.found?, layer)));
        let before = found.and_then(|(found, layer)| found.borrow_mut().remove(&layer));
        let treatment = Treatment { inputs, rounding, clipping, before: before.as_ref() };
        let layer = quantize_layer_with(weights, bias, input.scale, treatment)?;
        if let Some((found, number)) = found {
            found.borrow_mut().insert(number, layer.weights.clone());
        }
        let (values, scales) = (layer.weights.values, layer.weights.scales);
        let rows = values.chunks_exact(values.len() / bias.len().max(1));
        let with_zero_point = rows.zip(&layer.biases).map(|(row, &bias)| {
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let bias = i64::from(bias) - i64::from(input.zero_point) * sum;
            // Beyond i32 it is saturated, which the writer's check then refuses: inequality (4).
            bias.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
        });
        let bias: Vec<i32> = with_zero_point.collect();
        let step = output.map_or(1.0, |q| f64::from(q.scale));
        let multipliers: Vec<f32> =
            scales.iter().map(|&s_w| (f64::from(input.scale) * f64::from(s_w) / step) as f32).collect();
        Ok(Packed { channels: pack_channels(&bias, &multipliers), weights: values })
    }
}

fn plain(conv: &graph::Conv) -> (Vec<f32>, Vec<f64>) {
    (conv.weights.clone(), conv.bias.iter().map(|&b| f64::from(b)).collect())
}

/// Section 5 of the quantization page: mean and deviation move into the first convolution.
fn fold_normalisation(conv: &graph::Conv, spec: &Preprocess) -> (Vec<f32>, Vec<f64>) {
    let (mut weights, mut bias) = plain(conv);
    let [rows, columns] = conv.window.kernel.map(usize::from);
    let taps = rows * columns;
    let per_channel = taps * conv.in_per_group as usize;
    for (channel, bias) in weights.chunks_exact_mut(per_channel).zip(&mut bias) {
        for ((plane, &mean), &std) in channel.chunks_exact_mut(taps).zip(&spec.mean).zip(&spec.std) {
            for w in plane {
                let folded = f64::from(*w) / f64::from(std);
                *bias -= folded * f64::from(mean);
                *w = folded as f32;
            }
        }
    }
    (weights, bias)
}

/// The code of a padded pixel: normalised zero is the mean.
fn pad_codes(spec: &Preprocess) -> [i8; 4] {
    spec.mean.map(|mean| (mean.round_ties_even().clamp(0.0, 255.0) - 128.0) as i8)
}

/// The format stores quads of channels: groups narrower than that are merged with their neighbours, block-diagonally.
/// The added weights are zero, so no output bit changes. `None` if they would be out of all proportion.
fn merge_narrow_groups(conv: &graph::Conv, weights: Vec<f32>) -> Option<(NonZeroU32, Vec<f32>)> {
    /// 1 GiB of weights.
    const LIMIT: usize = 1 << 28;
    let divides = |merged: &u32| conv.groups.is_multiple_of(*merged) && (conv.in_per_group * merged).is_multiple_of(4);
    let merged = (1..=conv.groups).find(divides).unwrap_or(conv.groups.max(1));
    let groups = NonZeroU32::new(conv.groups / merged).unwrap_or(NonZeroU32::MIN);
    if merged == 1 {
        return Some((groups, weights));
    }
    let len = weights.len().checked_mul(merged as usize).filter(|&len| len <= LIMIT)?;
    let [rows, columns] = conv.window.kernel.map(usize::from);
    let row_len = conv.in_per_group as usize * rows * columns;
    let outputs_per_group = conv.bias.len() / conv.groups as usize;
    let mut wide = vec![0.0; len];
    for (n, (to, from)) in
        wide.chunks_exact_mut(row_len * merged as usize).zip(weights.chunks_exact(row_len)).enumerate()
    {
        let place = (n / outputs_per_group) % merged as usize;
        to[place * row_len..][..row_len].copy_from_slice(from);
    }
    Some((groups, wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_groups_become_block_diagonal() {
        let window = Window::POINT;
        let weights: Vec<f32> = (1..=8).map(|w| w as f32).collect();
        let conv = graph::Conv {
            weights: weights.clone(),
            bias: vec![0.0; 4],
            in_per_group: 2,
            window,
            groups: 4,
            residual: None,
            relu: false,
            norm: None,
        };
        let (groups, wide) = merge_narrow_groups(&conv, weights).expect("a small layer");
        assert_eq!(groups.get(), 2);
        assert_eq!(wide, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0]);
    }
}
