//! Operations: what runs, on which tensors, with which numbers.

use core::num::NonZeroU32;

use crate::bytes::{bytes4_at, f32_at, i8_at, u8_at, u16_at, u32_at};
use crate::layout::NO_TENSOR;
use crate::weights::{BLOCK, CHANNEL_BLOCK_BYTES, WeightLayout};
use crate::{FormatError, Tensor, TensorId};

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
pub struct Residual {
    /// A tensor of the output's shape.
    pub tensor: TensorId,
    /// `m_r = s_r / s_y`.
    pub multiplier: f32,
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
    pub residual: Option<Residual>,
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
    /// Output, 1×1×channels.
    pub output: TensorId,
    /// `s_x / (s_y · H · W)`.
    pub multiplier: f32,
    /// Bounds of the output codes.
    pub q_min: i8,
    /// Bounds of the output codes.
    pub q_max: i8,
}

/// Classifier: float32 logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<'a> {
    /// Input, taken as one vector of all its bytes.
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

pub(crate) const NAME_AT: usize = 48;
pub(crate) const RESERVED_FROM: usize = 52;
const CONV: u8 = 1;
const MAX_POOL: u8 = 2;
const GLOBAL_AVG_POOL: u8 = 3;
const LINEAR: u8 = 4;

impl<'a> Op<'a> {
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

    /// The tensor that it adds.
    pub fn residual(&self) -> Option<TensorId> {
        match self {
            Op::Conv(op) => op.residual.map(|r| r.tensor),
            _ => None,
        }
    }

    /// Reads a record; `tensor` and `blob` resolve numbers into the tensor table and the data section.
    pub(crate) fn parse(
        record: &[u8],
        number: u16,
        tensor: impl Fn(TensorId) -> Option<Tensor>,
        blob: impl Fn(u32, usize) -> Option<&'a [u8]>,
    ) -> Result<Self, FormatError> {
        let bad = |field| FormatError::Op { op: number, field };
        let id = |at, field| match u16_at(record, at) {
            n if tensor(TensorId(n)).is_some() => Ok(TensorId(n)),
            _ => Err(bad(field)),
        };
        let window = Window {
            kernel: [u8_at(record, 8), u8_at(record, 9)],
            stride: [u8_at(record, 10), u8_at(record, 11)],
            padding: bytes4_at(record, 12),
        };
        let (q_min, q_max) = (i8_at(record, 24), i8_at(record, 25));
        let blobs = |layout: WeightLayout| {
            let stated = u32_at(record, 36) as usize;
            let weights = blob(u32_at(record, 32), layout.byte_len()).filter(|w| w.len() == stated);
            let channels = blob(u32_at(record, 40), layout.channel_bytes());
            Ok((weights.ok_or(bad("weights"))?, channels.ok_or(bad("channel parameters"))?))
        };

        let input = id(2, "input")?;
        let from = tensor(input).ok_or(bad("input"))?;
        let kind = u8_at(record, 0);
        if matches!(kind, CONV | MAX_POOL) && !window.is_sane() {
            return Err(bad("window"));
        }
        if matches!(kind, CONV | GLOBAL_AVG_POOL) && q_min > q_max {
            return Err(bad("q_min"));
        }
        Ok(match kind {
            CONV => {
                let output = id(4, "output")?;
                let to = tensor(output).ok_or(bad("output"))?;
                let groups = NonZeroU32::new(u32_at(record, 16)).ok_or(bad("groups"))?;
                let layout = WeightLayout::new(from.shape.channels, to.shape.channels, window.kernel, groups.get())
                    .ok_or(bad("groups"))?;
                let (weights, channels) = blobs(layout)?;
                let residual = match u16_at(record, 6) {
                    NO_TENSOR => None,
                    _ => Some(Residual { tensor: id(6, "residual")?, multiplier: f32_at(record, 44) }),
                };
                let cardinality = u32_at(record, 20);
                let pad_codes = bytes4_at(record, 28).map(|b| b as i8);
                Op::Conv(Conv {
                    input,
                    output,
                    residual,
                    window,
                    groups,
                    cardinality,
                    q_min,
                    q_max,
                    pad_codes,
                    weights,
                    channels,
                })
            }
            MAX_POOL => Op::MaxPool(MaxPool { input, output: id(4, "output")?, window }),
            GLOBAL_AVG_POOL => {
                let (output, multiplier) = (id(4, "output")?, f32_at(record, 44));
                Op::GlobalAvgPool(GlobalAvgPool { input, output, multiplier, q_min, q_max })
            }
            LINEAR => {
                let inputs = u32::try_from(from.shape.byte_len()).map_err(|_| bad("input"))?;
                // The classes are not in the record; they follow from the length of the weights.
                let per_block = (inputs as usize).div_ceil(4).saturating_mul(64).max(1);
                let blocks = (u32_at(record, 36) as usize).checked_div(per_block).unwrap_or(0);
                let channels_out = u32::try_from(blocks.saturating_mul(BLOCK)).map_err(|_| bad("weights"))?;
                let layout = WeightLayout::new(inputs, channels_out, [1, 1], 1).ok_or(bad("weights"))?;
                let (weights, channels) = blobs(layout)?;
                Op::Linear(Linear { input, weights, channels })
            }
            _ => return Err(bad("kind")),
        })
    }

    /// Writes a record; `weights_at` and `channels_at` are offsets in the data section.
    #[cfg(feature = "write")]
    pub(crate) fn emit(&self, record: &mut [u8], weights_at: u32, channels_at: u32) {
        use crate::bytes::put;
        put(record, 2, self.input().0.to_le_bytes());
        put(record, 4, self.output().map_or(NO_TENSOR, |t| t.0).to_le_bytes());
        put(record, 6, self.residual().map_or(NO_TENSOR, |t| t.0).to_le_bytes());
        let blobs = |record: &mut [u8], weights: &[u8]| {
            put(record, 32, weights_at.to_le_bytes());
            put(record, 36, (weights.len() as u32).to_le_bytes());
            put(record, 40, channels_at.to_le_bytes());
        };
        let window = |record: &mut [u8], window: &Window| {
            put(record, 8, window.kernel);
            put(record, 10, window.stride);
            put(record, 12, window.padding);
        };
        match self {
            Op::Conv(op) => {
                put(record, 0, [CONV]);
                window(record, &op.window);
                put(record, 16, op.groups.get().to_le_bytes());
                put(record, 20, op.cardinality.to_le_bytes());
                put(record, 24, [op.q_min as u8, op.q_max as u8]);
                put(record, 28, op.pad_codes.map(|c| c as u8));
                put(record, 44, op.residual.map_or(0.0, |r| r.multiplier).to_le_bytes());
                blobs(record, op.weights);
            }
            Op::MaxPool(op) => {
                put(record, 0, [MAX_POOL]);
                window(record, &op.window);
            }
            Op::GlobalAvgPool(op) => {
                put(record, 0, [GLOBAL_AVG_POOL]);
                put(record, 24, [op.q_min as u8, op.q_max as u8]);
                put(record, 44, op.multiplier.to_le_bytes());
            }
            Op::Linear(op) => {
                put(record, 0, [LINEAR]);
                blobs(record, op.weights);
            }
        }
    }
}
