//! The parts of a ResNeXt, found by name (state dicts) or by structure (ONNX), put together to one float graph.

use cardinal_format::{Shape, Window};

use super::settings::{Resolved, same_window};
use super::{ImportError, Summary};
use crate::architecture::Architecture;
use crate::graph::{Conv, Graph, Layer, Linear, Norm, Op, Source};

/// A convolution with its batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConvPart {
    /// Key or node name in the source file.
    pub origin: String,
    /// `[out][in per group][kernel height][kernel width]`.
    pub weights: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    pub in_per_group: u32,
    pub kernel: [u8; 2],
    /// Given by ONNX; a state dict has neither windows nor groups.
    pub window: Option<Window>,
    pub groups: Option<u32>,
    /// Of the batch norm that was folded in.
    pub norm: Option<Norm>,
}

impl ConvPart {
    pub(super) fn out_channels(&self) -> u32 {
        self.bias.len() as u32
    }

    /// Reads the channels of its input in the opposite order.
    pub(super) fn reverse_inputs(&mut self) {
        let taps = self.kernel.iter().map(|&side| usize::from(side)).product();
        for row in self.weights.chunks_exact_mut(taps * self.in_per_group as usize) {
            let planes: Vec<f32> = row.chunks_exact(taps).rev().flatten().copied().collect();
            row.copy_from_slice(&planes);
        }
    }
}

/// A bottleneck block.
#[derive(Clone, Debug)]
pub(super) struct BlockPart {
    /// 1×1, grouped 3×3, 1×1.
    pub convs: [ConvPart; 3],
    /// The 1×1 shortcut, where the shape changes.
    pub downsample: Option<ConvPart>,
}

/// Everything that a network has.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub file: String,
    /// Height and width, if the file states them.
    pub input: Option<[u32; 2]>,
    /// Whether convolutions carry their windows (and `pool` is known).
    pub has_windows: bool,
    pub stem: ConvPart,
    pub pool: Option<Window>,
    pub stages: Vec<Vec<BlockPart>>,
    /// Height and width that the global average pool states, if it does.
    pub averaged: Option<[u8; 2]>,
    pub head: Linear,
    pub head_origin: String,
}

struct Assembler {
    file: String,
    layers: Vec<Layer>,
}

impl Assembler {
    fn push(&mut self, name: String, origin: String, input: Source, op: Op) -> Source {
        self.layers.push(Layer { name, origin, input, op });
        Source::Layer(self.layers.len() - 1)
    }

    /// Adds a convolution; `stride` counts where the source does not state a window.
    fn conv(
        &mut self,
        name: String,
        input: Source,
        input_channels: u32,
        part: ConvPart,
        stride: u8,
        end: (Option<Source>, bool),
    ) -> Result<Source, ImportError> {
        let groups = part.groups.or(input_channels.checked_div(part.in_per_group)).unwrap_or(0);
        let fits = groups > 0 && groups.checked_mul(part.in_per_group) == Some(input_channels);
        if !fits || !part.out_channels().is_multiple_of(groups) {
            let why = format!(
                "weights for {} outputs from {} channels a group do not divide an input of {input_channels} channels",
                part.out_channels(),
                part.in_per_group
            );
            return Err(ImportError::Tensor { file: self.file.clone(), key: part.origin, why });
        }
        let window = part.window.unwrap_or_else(|| same_window(part.kernel, stride));
        let (residual, relu) = end;
        let (weights, bias, in_per_group, norm) = (part.weights, part.bias, part.in_per_group, part.norm);
        let conv = Conv { weights, bias, in_per_group, window, groups, residual, relu, norm };
        Ok(self.push(name, part.origin, input, Op::Conv(conv)))
    }
}

/// Puts the parts together in running order, with torchvision's names.
pub(super) fn graph(parts: Parts, resolved: &Resolved) -> Result<(Graph, Summary), ImportError> {
    let (stem_stride, stem_pool, strides) = resolved.topology.clone().unwrap_or((1, false, Vec::new()));
    let pool = if stem_pool { Some(same_window([3, 3], 2)) } else { parts.pool };
    let file = parts.file;
    let image = Shape { height: resolved.input[0], width: resolved.input[1], channels: parts.stem.in_per_group };
    let mut blocks = Vec::new();
    let mut first_3x3 = None;

    let mut to = Assembler { file: file.clone(), layers: Vec::new() };
    let mut channels = parts.stem.out_channels();
    let mut x = to.conv("conv1".into(), Source::Image, image.channels, parts.stem, stem_stride, (None, true))?;
    if let Some(pool) = pool {
        x = to.push("maxpool".into(), "maxpool".into(), x, Op::MaxPool(pool));
    }
    for (s, stage) in parts.stages.into_iter().enumerate() {
        blocks.push(stage.len());
        for (b, BlockPart { convs: [conv1, conv2, conv3], downsample }) in stage.into_iter().enumerate() {
            let name = |part: &str| format!("layer{}.{b}.{part}", s + 1);
            let stride = if b == 0 { strides.get(s).copied().unwrap_or(1) } else { 1 };
            let widths = [conv1.out_channels(), conv2.out_channels(), conv3.out_channels()];
            first_3x3.get_or_insert((widths[0].checked_div(conv2.in_per_group).unwrap_or(0), conv2.in_per_group));
            let a = to.conv(name("conv1"), x, channels, conv1, 1, (None, true))?;
            let a = to.conv(name("conv2"), a, widths[0], conv2, stride, (None, true))?;
            let shortcut = match downsample {
                Some(part) => to.conv(name("downsample"), x, channels, part, stride, (None, false))?,
                None => x,
            };
            x = to.conv(name("conv3"), a, widths[1], conv3, 1, (Some(shortcut), true))?;
            channels = widths[2];
        }
    }
    x = to.push("avgpool".into(), "avgpool".into(), x, Op::GlobalAvgPool);
    to.push("fc".into(), parts.head_origin, x, Op::Linear(parts.head));

    let graph = Graph { image, layers: to.layers };
    for layer in &graph.layers {
        let finite = match &layer.op {
            Op::Conv(conv) => conv.weights.iter().chain(&conv.bias).all(|v| v.is_finite()),
            Op::Linear(linear) => linear.weights.iter().chain(&linear.bias).all(|v| v.is_finite()),
            Op::MaxPool(_) | Op::GlobalAvgPool => true,
        };
        if !finite {
            let why = "has NaN or infinite weights (or batch-norm statistics): the training went wrong".to_owned();
            return Err(ImportError::Tensor { file, key: layer.origin.clone(), why });
        }
    }
    let fail = |(key, why)| ImportError::Tensor { file: file.clone(), key, why };
    let shapes = graph.shapes().map_err(fail)?;
    let last_map = graph.layers.iter().zip(&shapes).rev().find(|(layer, _)| matches!(layer.op, Op::Conv(_)));
    if let (Some([height, width]), Some((_, map))) = (parts.averaged, last_map)
        && [map.height, map.width] != [u32::from(height), u32::from(width)]
    {
        let why = format!("averages {height}×{width} positions of {map}: only an average over all is supported");
        return Err(fail(("the average pool".into(), why)));
    }
    let (cardinality, width_per_group) = first_3x3.unwrap_or((1, 0));
    Ok((graph, Summary(Architecture { blocks, cardinality, width_per_group })))
}

/// Batch norm at inference, folded into the convolution before it, in float64:
/// `w′ = w · γ/√(σ² + ε)`, `b′ = β + (b − μ) · γ/√(σ² + ε)`.
pub(super) struct BatchNorm<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    pub mean: &'a [f32],
    pub variance: &'a [f32],
    pub epsilon: f32,
}

impl BatchNorm<'_> {
    /// PyTorch's default ε, which no checkpoint states.
    pub const EPSILON: f32 = 1e-5;

    /// Folds into `conv`; every slice has one value per output channel.
    pub fn fold(&self, conv: &mut ConvPart) {
        let per_channel = conv.weights.len() / conv.bias.len().max(1);
        let deviation = self.gamma.iter().map(|gamma| gamma.abs()).collect();
        conv.norm = Some(Norm { mean: self.beta.to_vec(), deviation });
        let rows = conv.weights.chunks_exact_mut(per_channel.max(1));
        for (n, (row, bias)) in rows.zip(&mut conv.bias).enumerate() {
            let deviation = (f64::from(self.variance[n]) + f64::from(self.epsilon)).sqrt();
            let factor = f64::from(self.gamma[n]) / deviation;
            for w in row {
                *w = (f64::from(*w) * factor) as f32;
            }
            *bias = (f64::from(self.beta[n]) + (f64::from(*bias) - f64::from(self.mean[n])) * factor) as f32;
        }
    }
}
