//! Operations: what runs, on which tensors, with which numbers.

use core::num::NonZeroU32;

use crate::weights::{BLOCK, CHANNEL_BLOCK_BYTES, WeightLayout};
use crate::{Tensor, TensorId};

/// A sliding window: kernel, stride and padding in positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height, width; ≥ 1.
    pub kernel: [u8; 2],
    /// Down, across; ≥ 1.
    pub stride: [u8; 2],
    /// Top, left, bottom, right; each smaller than the kernel.
    pub padding: [u8; 4],
}

impl Window {
    /// 1×1, stride 1, no padding.
    pub const POINT: Window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };

    /// Output height and width for an input of this size; `None` if the window does not fit or a number is zero.
    pub fn output(&self, height: u32, width: u32) -> Option<[u32; 2]> {
        let [top, left, bottom, right] = self.padding.map(u32::from);
        let side = |size: u32, before: u32, after: u32, kernel: u8, stride: u8| {
            let span = size.checked_add(before)?.checked_add(after)?.checked_sub(u32::from(kernel))?;
            span.checked_div(u32::from(stride))?.checked_add(1)
        };
        let [kernel_h, kernel_w] = self.kernel;
        let [down, across] = self.stride;
        Some([side(height, top, bottom, kernel_h, down)?, side(width, left, right, kernel_w, across)?])
    }

    /// Whether no side is 0 and every position of the window has a value of its input under it.
    pub fn is_sane(&self) -> bool {
        let [kernel_h, kernel_w] = self.kernel;
        let [top, left, bottom, right] = self.padding;
        !self.kernel.contains(&0)
            && !self.stride.contains(&0)
            && top.max(bottom) < kernel_h
            && left.max(right) < kernel_w
    }
}

/// The shortcut that a convolution adds before it rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Residual<'a> {
    /// A tensor as it is.
    Identity {
        /// A tensor of the output's shape.
        tensor: TensorId,
        /// `m_r = s_r / s_y`.
        multiplier: f32,
    },
    /// A convolution of a tensor, added before it is rounded.
    Projection(Projection<'a>),
}

impl Residual<'_> {
    /// The tensor that it reads.
    pub fn tensor(&self) -> TensorId {
        match self {
            Residual::Identity { tensor, .. } => *tensor,
            Residual::Projection(projection) => projection.input,
        }
    }
}

/// A 1×1 convolution in one group, without padding, that gives the shortcut the output's shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection<'a> {
    /// Input.
    pub input: TensorId,
    /// Down, across; ≥ 1.
    pub stride: [u8; 2],
    /// Packed weights, [`WeightLayout::byte_len`] bytes.
    pub weights: &'a [u8],
    /// Packed channel parameters, [`WeightLayout::channel_bytes`] bytes, with `m_p[n]` as multipliers.
    pub channels: &'a [u8],
}

impl Projection<'_> {
    /// The input's positions that it reads.
    pub fn window(&self) -> Window {
        Window { stride: self.stride, ..Window::POINT }
    }

    /// Shape of the packed weights between these tensors. `None` never happens on a checked file.
    pub fn layout(input: &Tensor, output: &Tensor) -> Option<WeightLayout> {
        WeightLayout::new(input.shape.channels, output.shape.channels, Window::POINT.kernel, 1)
    }
}

/// Bias and multiplier of sixteen output channels.
#[derive(Clone, Copy, Debug)]
pub struct ChannelBlock {
    /// Accumulators start here; the input's zero point is already inside.
    pub bias: [i32; BLOCK],
    /// `m[n]`.
    pub multiplier: [f32; BLOCK],
}

impl ChannelBlock {
    /// Reads [`CHANNEL_BLOCK_BYTES`] bytes.
    pub fn read(bytes: &[u8; CHANNEL_BLOCK_BYTES]) -> Self {
        let (quads, _) = bytes.as_chunks::<4>();
        let mut block = ChannelBlock { bias: [0; BLOCK], multiplier: [0.0; BLOCK] };
        for (to, from) in block.bias.iter_mut().zip(quads) {
            *to = i32::from_le_bytes(*from);
        }
        for (to, from) in block.multiplier.iter_mut().zip(quads.iter().skip(BLOCK)) {
            *to = f32::from_le_bytes(*from);
        }
        block
    }

    /// The bytes that [`Self::read`] reads.
    pub fn to_bytes(&self) -> [u8; CHANNEL_BLOCK_BYTES] {
        let mut bytes = [0; CHANNEL_BLOCK_BYTES];
        let (quads, _) = bytes.as_chunks_mut::<4>();
        let values = self.bias.iter().map(|b| b.to_le_bytes()).chain(self.multiplier.iter().map(|m| m.to_le_bytes()));
        for (to, from) in quads.iter_mut().zip(values) {
            *to = from;
        }
        bytes
    }
}

/// Convolution with groups, requantization, and optionally ReLU (as `q_min`) and a residual add.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv<'a> {
    /// Input.
    pub input: TensorId,
    /// Output.
    pub output: TensorId,
    /// Shortcut.
    pub residual: Option<Residual<'a>>,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups as stored.
    pub groups: NonZeroU32,
    /// Groups as trained; a multiple of `groups`.
    pub cardinality: u32,
    /// Bounds of the output codes.
    pub q_min: i8,
    /// Bounds of the output codes.
    pub q_max: i8,
    /// Code of a padded position, by channel mod 4.
    pub pad_codes: [i8; 4],
    /// Packed weights, [`WeightLayout::byte_len`] bytes.
    pub weights: &'a [u8],
    /// Packed channel parameters, [`WeightLayout::channel_bytes`] bytes.
    pub channels: &'a [u8],
}

impl Conv<'_> {
    /// Shape of the packed weights between these tensors. `None` never happens on a checked file.
    pub fn layout(&self, input: &Tensor, output: &Tensor) -> Option<WeightLayout> {
        WeightLayout::new(input.shape.channels, output.shape.channels, self.window.kernel, self.groups.get())
    }
}

/// Max-pool; padding never wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool {
    /// Input.
    pub input: TensorId,
    /// Output, with the input's scale and zero point.
    pub output: TensorId,
    /// Kernel, stride, padding.
    pub window: Window,
}

/// Mean over all positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlobalAvgPool {
    /// Input.
    pub input: TensorId,
    /// Output, 1×1×channels, int16 codes with the meaning [`Mean::qparams`](crate::quant::Mean::qparams).
    pub output: TensorId,
}

/// Classifier: float32 logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<'a> {
    /// Input, a mean's int16 codes.
    pub input: TensorId,
    /// Packed weights, as of a 1×1 convolution.
    pub weights: &'a [u8],
    /// Packed channel parameters.
    pub channels: &'a [u8],
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op<'a> {
    /// See [`Conv`].
    Conv(Conv<'a>),
    /// See [`MaxPool`].
    MaxPool(MaxPool),
    /// See [`GlobalAvgPool`].
    GlobalAvgPool(GlobalAvgPool),
    /// See [`Linear`].
    Linear(Linear<'a>),
}

impl Op<'_> {
    /// The tensor that it reads first.
    pub fn input(&self) -> TensorId {
        match self {
            Op::Conv(op) => op.input,
            Op::MaxPool(op) => op.input,
            Op::GlobalAvgPool(op) => op.input,
            Op::Linear(op) => op.input,
        }
    }

    /// The tensor that it writes; `None` for the logits.
    pub fn output(&self) -> Option<TensorId> {
        match self {
            Op::Conv(op) => Some(op.output),
            Op::MaxPool(op) => Some(op.output),
            Op::GlobalAvgPool(op) => Some(op.output),
            Op::Linear(_) => None,
        }
    }

    /// The tensor that it adds, as it is or projected.
    pub fn residual(&self) -> Option<TensorId> {
        match self {
            Op::Conv(op) => op.residual.map(|r| r.tensor()),
            _ => None,
        }
    }
}
