//! Float layers and scales → int8 layers with packed weights, one per op of the file.

use std::cell::RefCell;
use std::collections::BTreeMap;

use cardinal_calib::{Calibrated, Inputs, QuantizedWeights};
use cardinal_format::quant::{Mean, QParams};
use cardinal_format::{
    CodeType, Conv, GlobalAvgPool, Linear, MaxPool, Op, Preprocess, Projection, Residual, Shape, Tensor, TensorId,
    Window,
};
use rayon::prelude::*;

use crate::Error;
use crate::calibrate::Recipe;
use crate::graph::{self, Graph, Layer, Source};
use crate::inputs::LayerInputs;
use crate::packed::{Activation, Method, Packed};

/// An op as the file has it, with its own copies of what the file's views borrow.
#[derive(Clone, Debug)]
pub struct QuantizedLayer {
    /// The op's name.
    pub name: String,
    /// The tensor that it reads.
    pub input: TensorId,
    /// Extent of the output.
    pub shape: Shape,
    /// Meaning of the output's codes, and their type; the classifier has none.
    codes: Option<(QParams, CodeType)>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Conv { shortcut: Option<Shortcut>, window: Window, cardinality: u32, q_min: i8, pad_codes: [i8; 4], packed: Packed },
    MaxPool(Window),
    GlobalAvgPool,
    Linear(Packed),
}

/// A [`Residual`] that owns its weights.
#[derive(Clone, Debug)]
enum Shortcut {
    Identity { tensor: TensorId, multiplier: f32 },
    Projection { input: TensorId, stride: [u8; 2], packed: Packed },
}

impl Shortcut {
    fn view(&self) -> Residual<'_> {
        match *self {
            Shortcut::Identity { tensor, multiplier } => Residual::Identity { tensor, multiplier },
            Shortcut::Projection { input, stride, packed: Packed { ref weights, ref channels, .. } } => {
                Residual::Projection(Projection { input, stride, weights, channels })
            }
        }
    }
}

impl QuantizedLayer {
    fn shortcut(&self) -> Option<Residual<'_>> {
        match &self.kind {
            Kind::Conv { shortcut, .. } => shortcut.as_ref().map(Shortcut::view),
            _ => None,
        }
    }

    /// The tensor that it adds, as it is or projected.
    pub fn residual(&self) -> Option<TensorId> {
        self.shortcut().map(|shortcut| shortcut.tensor())
    }

    /// The tensor that its output may be written over: the one that it adds as it is.
    pub fn overwritable(&self) -> Option<TensorId> {
        match self.shortcut() {
            Some(Residual::Identity { tensor, .. }) => Some(tensor),
            _ => None,
        }
    }

    /// The tensor that it writes, at this place in the arena; `None` for the classifier.
    pub fn tensor(&self, offset: u32) -> Option<Tensor> {
        self.codes.map(|(qparams, code_type)| Tensor { offset, shape: self.shape, qparams, code_type })
    }

    /// The file's view of the layer; `output` is the tensor that it writes.
    pub fn op(&self, output: TensorId) -> Op<'_> {
        let input = self.input;
        match &self.kind {
            &Kind::Conv { window, cardinality, q_min, pad_codes, ref packed, .. } => Op::Conv(Conv {
                input,
                output,
                residual: self.shortcut(),
                window,
                groups: packed.groups,
                cardinality,
                q_min,
                q_max: i8::MAX,
                pad_codes,
                weights: &packed.weights,
                channels: &packed.channels,
            }),
            &Kind::MaxPool(window) => Op::MaxPool(MaxPool { input, output, window }),
            Kind::GlobalAvgPool => Op::GlobalAvgPool(GlobalAvgPool { input, output }),
            Kind::Linear(packed) => Op::Linear(Linear { input, weights: &packed.weights, channels: &packed.channels }),
        }
    }
}

/// Quantizes every layer: one op each, but for projection shortcuts, which are part of the convolution that adds them.
/// Tensor 0 is the image, tensor *i* + 1 the output of op *i*.
///
/// # Errors
/// The layer whose weights or biases do not fit, and why.
pub fn quantize(
    graph: &Graph,
    calibrated: &[Option<Calibrated>],
    spec: &Preprocess,
    known: Option<&Known<'_>>,
) -> Result<Vec<QuantizedLayer>, Error> {
    let shapes = graph.sized()?;
    let fused_into = graph.fused_into();
    let how =
        |number: usize| Method { known, layer: number, inputs: known.map_or_else(Vec::new, |k| k.of(graph, number)) };
    let image = (TensorId::IMAGE, Activation { shape: graph.image, qparams: QParams::IMAGE });
    let mut ops: Vec<QuantizedLayer> = Vec::with_capacity(graph.layers.len());
    // What each layer writes. The image stands for what no op reads: a fused layer's output, and the logits.
    let mut written: Vec<(TensorId, Activation)> = Vec::with_capacity(graph.layers.len());
    for (number, ((layer, &shape), calibrated)) in graph.layers.iter().zip(&shapes).zip(calibrated).enumerate() {
        if fused_into[number].is_some() {
            written.push(image);
            continue;
        }
        let read = |source: Source| match source {
            Source::Image => image,
            Source::Layer(i) => written[i],
        };
        let (tensor, input) = read(layer.input);
        let own = calibrated.as_ref().map(|c| c.qparams);
        let (kind, codes) = match &layer.op {
            graph::Op::Conv(conv) => {
                let output = Activation { shape, qparams: own.unwrap_or(QParams::IMAGE) };
                let pixels = (layer.input == Source::Image).then_some(spec);
                let shortcut = if let Some(Source::Layer(i)) = conv.residual
                    && fused_into[i] == Some(number)
                    && let Layer { name, input, op: graph::Op::Conv(projection), .. } = &graph.layers[i]
                {
                    let (input, from) = read(*input);
                    let packed = Packed::conv(name, projection, how(i), [&from, &output], None)?;
                    Some(Shortcut::Projection { input, stride: projection.window.stride, packed })
                } else {
                    conv.residual.map(|source| {
                        let (tensor, from) = read(source);
                        let multiplier = f64::from(from.qparams.scale) / f64::from(output.qparams.scale);
                        Shortcut::Identity { tensor, multiplier: multiplier as f32 }
                    })
                };
                let kind = Kind::Conv {
                    shortcut,
                    window: conv.window,
                    cardinality: conv.groups,
                    q_min: if conv.relu { output.qparams.zero_point } else { i8::MIN },
                    pad_codes: pixels.map_or([input.qparams.zero_point; 4], pad_codes),
                    packed: Packed::conv(&layer.name, conv, how(number), [&input, &output], pixels)?,
                };
                (kind, Some((output.qparams, CodeType::I8)))
            }
            graph::Op::MaxPool(window) => (Kind::MaxPool(*window), Some((input.qparams, CodeType::I8))),
            graph::Op::GlobalAvgPool => (Kind::GlobalAvgPool, Some((Mean::qparams(input.qparams), CodeType::I16))),
            graph::Op::Linear(linear) => {
                (Kind::Linear(Packed::linear(&layer.name, linear, &how(number), &input)?), None)
            }
        };
        ops.push(QuantizedLayer { name: layer.name.clone(), input: tensor, shape, codes, kind });
        let output = |(qparams, _)| (TensorId(ops.len() as u16), Activation { shape, qparams });
        written.push(codes.map_or(image, output));
    }
    Ok(ops)
}

/// The code of a padded pixel: normalised zero is the mean.
fn pad_codes(spec: &Preprocess) -> [i8; 4] {
    spec.mean.map(|mean| (mean.round_ties_even().clamp(0.0, 255.0) - 128.0) as i8)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::template;
    use crate::models::untrained;
    use cardinal_format::File;

    /// With the projections inside, and with one that has to be an op.
    #[test]
    fn ops_are_the_layers_that_are_not_fused() {
        let mut graph = template(&"resnext26-8x16d".parse().expect("a member"), [64; 2], 10).expect("it fits");
        let projection = graph.layers.iter().position(|layer| layer.name == "layer2.0.downsample").expect("a layer");
        for fused in [4, 3] {
            let (bytes, _) = untrained(&graph).expect("it fits");
            let file = File::new_checked(&bytes).expect("a valid file");
            let names: Vec<&str> = file.ops().map(|(name, _)| name).collect();
            let layers = graph.layers.iter().zip(graph.fused_into()).filter(|(_, into)| into.is_none());
            assert_eq!(names, layers.map(|(layer, _)| layer.name.as_str()).collect::<Vec<_>>());
            assert_eq!((names.len(), file.tensor_count()), (graph.layers.len() - fused, names.len()));
            if let graph::Op::Conv(conv) = &mut graph.layers[projection].op {
                conv.relu = true;
            }
        }
    }
}
