//! The float graph: a ResNeXt with batch norm folded in, one node per step of the float network.
//!
//! A residual block ends in one convolution that adds the shortcut and rectifies, because that is one step of the
//! arithmetic. A shortcut that is a convolution itself, a projection, is part of the same step: the file has it inside
//! the op that adds it, and its output is never rounded. Here it is a node, for it has a name and weights of its own. The
//! other nodes, the file's ops and a report's rows are the same list, and the observers are those whose output has a
//! scale of its own.

use cardinal_format::{Shape, Window};

use crate::Error;

/// What a layer reads: the image, or another layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The normalised image.
    Image,
    /// The output of this layer, an index into [`Graph::layers`].
    Layer(usize),
}

/// What batch norm made of a convolution's sums in training, by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Mean: its shift β.
    pub mean: Vec<f32>,
    /// Standard deviation: the magnitude of its scale γ.
    pub deviation: Vec<f32>,
}

/// A convolution with everything that follows it up to the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// `[out][in per group][kernel height][kernel width]`, as PyTorch and ONNX keep it.
    pub weights: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    /// Input channels of one group.
    pub in_per_group: u32,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Cardinality.
    pub groups: u32,
    /// Added before the rectifier.
    pub residual: Option<Source>,
    /// max(x, 0) at the end.
    pub relu: bool,
    /// What its sums were like in training, where a batch norm says so.
    pub norm: Option<Norm>,
}

/// The classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[classes][inputs]`.
    pub weights: Vec<f32>,
    /// One per class.
    pub bias: Vec<f32>,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution, residual add, ReLU.
    Conv(Conv),
    /// Max-pool.
    MaxPool(Window),
    /// Mean over all positions.
    GlobalAvgPool,
    /// The last layer.
    Linear(Linear),
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// torchvision's name (`layer1.0.conv2`), whatever the source called it.
    pub name: String,
    /// The name in the source file, for error messages.
    pub origin: String,
    /// What it reads.
    pub input: Source,
    /// What it does.
    pub op: Op,
}

impl Layer {
    /// What it adds.
    pub fn residual(&self) -> Option<Source> {
        match &self.op {
            Op::Conv(conv) => conv.residual,
            _ => None,
        }
    }
}

/// A network in running order; the last layer is the classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Height, width and channels of the image.
    pub image: Shape,
    /// The steps.
    pub layers: Vec<Layer>,
}

impl Graph {
    /// Extent of every layer's output (1×1×classes for the classifier).
    ///
    /// # Errors
    /// The name of the first layer that does not fit its input, and how.
    pub fn shapes(&self) -> Result<Vec<Shape>, (String, String)> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let fail = |why: String| Err((layer.origin.clone(), why));
            let shape_of = |source: Source| match source {
                Source::Image => Some(self.image),
                Source::Layer(i) => shapes.get(i).copied().filter(|_| i < index),
            };
            let Some(input) = shape_of(layer.input) else { return fail("reads a later layer".into()) };
            let window = |window: &Window, channels: u32| match window.output(input.height, input.width) {
                _ if !window.is_sane() => Err(format!(
                    "its padding of {:?} is no smaller than its kernel of {:?}",
                    window.padding, window.kernel
                )),
                Some([height, width]) => Ok(Shape { height, width, channels }),
                None => Err(format!(
                    "its {:?} window does not fit an input of {input}: is the input size right?",
                    window.kernel
                )),
            };
            let shape = match &layer.op {
                Op::Conv(conv) => {
                    if u64::from(conv.in_per_group) * u64::from(conv.groups) != u64::from(input.channels) {
                        return fail(format!(
                            "reads {} channels in {} groups, but its input has {}",
                            u64::from(conv.in_per_group) * u64::from(conv.groups),
                            conv.groups,
                            input.channels
                        ));
                    }
                    window(&conv.window, conv.bias.len() as u32)
                }
                Op::MaxPool(pool) => window(pool, input.channels),
                Op::GlobalAvgPool => Ok(Shape { height: 1, width: 1, ..input }),
                Op::Linear(linear) => {
                    if linear.weights.len() != input.volume() * linear.bias.len() {
                        return fail(format!(
                            "expects {} features, its input has {}",
                            linear.weights.len() / linear.bias.len().max(1),
                            input.volume()
                        ));
                    }
                    Ok(Shape { height: 1, width: 1, channels: linear.bias.len() as u32 })
                }
            };
            let shape = match shape {
                Ok(shape) => shape,
                Err(why) => return fail(why),
            };
            if let Op::Conv(Conv { residual: Some(residual), .. }) = &layer.op
                && shape_of(*residual) != Some(shape)
            {
                return fail(format!("adds a shortcut of another shape to {shape}: are the strides right?"));
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// As [`Graph::shapes`], for those who give errors on.
    pub(crate) fn sized(&self) -> Result<Vec<Shape>, Error> {
        self.shapes().map_err(|(layer, why)| Error::Usage(format!("{layer}: {why}")))
    }

    /// For each layer the convolution that it is fused into in the int8 file: a projection shortcut into the one that adds
    /// it, if nothing else reads it. The format has 1×1 convolutions for that, without padding and in one group, of a
    /// tensor that is neither the image nor what the other convolution reads.
    pub fn fused_into(&self) -> Vec<Option<usize>> {
        let sources = self.layers.iter().flat_map(|layer| [Some(layer.input), layer.residual()]).flatten();
        let mut readers = vec![0; self.layers.len()];
        for source in sources {
            if let Source::Layer(i) = source {
                readers[i] += 1;
            }
        }
        let mut fused_into = vec![None; self.layers.len()];
        for (adder, layer) in self.layers.iter().enumerate() {
            let Some(Source::Layer(i)) = layer.residual() else { continue };
            let shortcut = &self.layers[i];
            let is_projection = match &shortcut.op {
                Op::Conv(Conv { window, groups: 1, residual: None, relu: false, .. }) => {
                    *window == Window { stride: window.stride, ..Window::POINT }
                }
                _ => false,
            };
            let reads_its_own = ![Source::Image, layer.input].contains(&shortcut.input);
            fused_into[i] = (is_projection && reads_its_own && readers[i] == 1).then_some(adder);
        }
        fused_into
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self.layers.last().map(|l| &l.op) {
            Some(Op::Linear(linear)) => linear.bias.len(),
            _ => 0,
        }
    }

    /// Parameters as the trained network had them, with a scale and a shift for every channel of the batch norm
    /// behind each convolution.
    pub fn trained_parameters(&self) -> u64 {
        let unfolded = |layer: &Layer| match &layer.op {
            Op::Conv(conv) => conv.bias.len() as u64,
            _ => 0,
        };
        self.cost().1 + self.layers.iter().map(unfolded).sum::<u64>()
    }

    /// What mmcv's counter calls FLOPs: multiply-adds, two operations per value of a batch norm, one per value of a ReLU
    /// and per value that a pool reads.
    pub fn mmcv_flops(&self) -> u64 {
        let shapes = self.shapes().unwrap_or_default();
        let size = |shape: Shape| shape.volume() as u64;
        let elementwise = |(layer, &shape): (&Layer, &Shape)| match &layer.op {
            Op::Conv(conv) => (2 + u64::from(conv.relu)) * size(shape),
            Op::MaxPool(_) | Op::GlobalAvgPool => match layer.input {
                Source::Image => size(self.image),
                Source::Layer(i) => shapes.get(i).copied().map_or(0, size),
            },
            Op::Linear(_) => 0,
        };
        self.cost().0 + self.layers.iter().zip(&shapes).map(elementwise).sum::<u64>()
    }

    /// Multiply-adds of one image, and parameters with batch norm folded.
    pub fn cost(&self) -> (u64, u64) {
        self.costs().into_iter().fold((0, 0), |total, layer| (total.0 + layer.0, total.1 + layer.1))
    }

    /// The same for each layer; empty if the layers do not fit each other.
    pub fn costs(&self) -> Vec<(u64, u64)> {
        let shapes = self.shapes().unwrap_or_default();
        let one = |(layer, shape): (&Layer, Shape)| {
            let (weights, bias) = match &layer.op {
                Op::Conv(conv) => (conv.weights.len() as u64, conv.bias.len() as u64),
                Op::Linear(linear) => (linear.weights.len() as u64, linear.bias.len() as u64),
                Op::MaxPool(_) | Op::GlobalAvgPool => (0, 0),
            };
            (weights * u64::from(shape.height) * u64::from(shape.width), weights + bias)
        };
        self.layers.iter().zip(shapes).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;

    #[test]
    fn projections_are_fused_into_what_adds_them() {
        let mut graph = embedded::network().expect("the checkpoint ships").graph;
        let fused = |graph: &Graph| {
            let name = |i: usize| graph.layers[i].name.clone();
            let places = graph.fused_into().into_iter().enumerate();
            places.filter_map(|(i, into)| Some(format!("{} {}", name(i), name(into?)))).collect::<Vec<_>>()
        };
        let blocks = ["layer1.0", "layer2.0", "layer3.0"].map(|block| format!("{block}.downsample {block}.conv3"));
        assert_eq!(fused(&graph), blocks);
        assert_eq!(graph.observed().len(), graph.layers.len() - blocks.len() - 1);

        let place = |name: &str| graph.layers.iter().position(|layer| layer.name == name).expect("a layer");
        let [projection, reader] = ["layer1.0.downsample", "layer1.1.conv1"].map(place);
        let Op::Conv(conv) = graph.layers[projection].op.clone() else { panic!("a convolution") };
        let padded = Window { padding: [0, 0, 0, 1], ..conv.window };
        for other in [
            Conv { relu: true, ..conv.clone() },
            Conv { groups: 2, ..conv.clone() },
            Conv { window: padded, ..conv.clone() },
            Conv { residual: Some(Source::Layer(0)), ..conv.clone() },
        ] {
            graph.layers[projection].op = Op::Conv(other);
            assert_eq!(fused(&graph), blocks[1..]);
        }
        graph.layers[projection].op = Op::Conv(conv);
        assert_eq!(fused(&graph), blocks);
        for input in [Source::Image, Source::Layer(2)] {
            graph.layers[projection].input = input;
            assert_eq!(fused(&graph), blocks[1..]);
        }
        graph.layers[projection].input = Source::Layer(0);
        graph.layers[reader].input = Source::Layer(projection);
        assert_eq!(fused(&graph), blocks[1..]);
    }
}
