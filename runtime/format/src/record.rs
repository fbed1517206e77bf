//! The op record: where its fields are.

use core::num::NonZeroU32;

use crate::bytes::{array, bytes4_at, f32_at, i8_at, u8_at, u16_at, u32_at};
use crate::layout::NO_TENSOR;
use crate::weights::{BLOCK, WeightLayout};
use crate::{Conv, FormatError, GlobalAvgPool, Linear, MaxPool, Op, Projection, Residual, Tensor, TensorId, Window};

pub(crate) const NAME_AT: usize = 48;
/// Stride of a projection; zero without one.
const PROJECTION_STRIDE_AT: usize = 26;
/// Offset and length of the weights, and offset of the channel parameters.
const BLOBS_AT: usize = 32;
/// The same of a projection.
const PROJECTION_BLOBS_AT: usize = 52;
const CONV: u8 = 1;
const MAX_POOL: u8 = 2;
const GLOBAL_AVG_POOL: u8 = 3;
const LINEAR: u8 = 4;

impl<'a> Op<'a> {
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
        let blobs = |layout: WeightLayout, at: usize, fields: [&'static str; 2]| {
            let stated = u32_at(record, at + 4) as usize;
            let weights = blob(u32_at(record, at), layout.byte_len()).filter(|w| w.len() == stated);
            let channels = blob(u32_at(record, at + 8), layout.channel_bytes());
            Ok((weights.ok_or(bad(fields[0]))?, channels.ok_or(bad(fields[1]))?))
        };
        let own = ["weights", "channel parameters"];

        let input = id(2, "input")?;
        let from = tensor(input).ok_or(bad("input"))?;
        let kind = u8_at(record, 0);
        if matches!(kind, CONV | MAX_POOL) && !window.is_sane() {
            return Err(bad("window"));
        }
        if kind == CONV && q_min > q_max {
            return Err(bad("q_min"));
        }
        Ok(match kind {
            CONV => {
                let output = id(4, "output")?;
                let to = tensor(output).ok_or(bad("output"))?;
                let groups = NonZeroU32::new(u32_at(record, 16)).ok_or(bad("groups"))?;
                let layout = WeightLayout::new(from.shape.channels, to.shape.channels, window.kernel, groups.get())
                    .ok_or(bad("groups"))?;
                let (weights, channels) = blobs(layout, BLOBS_AT, own)?;
                let residual = match (u16_at(record, 6), array(record, PROJECTION_STRIDE_AT)) {
                    (NO_TENSOR, _) => None,
                    (_, [0, 0]) => {
                        Some(Residual::Identity { tensor: id(6, "residual")?, multiplier: f32_at(record, 44) })
                    }
                    (_, stride) if stride.contains(&0) => return Err(bad("projection stride")),
                    (_, stride) => {
                        let fields = ["projection weights", "projection channel parameters"];
                        let input = id(6, "residual")?;
                        let layout = tensor(input).and_then(|from| Projection::layout(&from, &to));
                        let (weights, channels) = blobs(layout.ok_or(bad(fields[0]))?, PROJECTION_BLOBS_AT, fields)?;
                        Some(Residual::Projection(Projection { input, stride, weights, channels }))
                    }
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
            GLOBAL_AVG_POOL => Op::GlobalAvgPool(GlobalAvgPool { input, output: id(4, "output")? }),
            LINEAR => {
                // The classes are not in the record; they follow from the length of the weights.
                let inputs = from.shape.channels;
                let per_block = (inputs as usize).div_ceil(4).saturating_mul(64).max(1);
                let blocks = (u32_at(record, 36) as usize).checked_div(per_block).unwrap_or(0);
                let channels_out = u32::try_from(blocks.saturating_mul(BLOCK)).map_err(|_| bad("weights"))?;
                let layout = WeightLayout::new(inputs, channels_out, [1, 1], 1).ok_or(bad("weights"))?;
                let (weights, channels) = blobs(layout, BLOBS_AT, own)?;
                Op::Linear(Linear { input, weights, channels })
            }
            _ => return Err(bad("kind")),
        })
    }

    /// Its blobs in file order: weights and channel parameters, then the projection's. Empty where it has none.
    #[cfg(feature = "write")]
    pub(crate) fn blobs(&self) -> [&'a [u8]; 4] {
        match self {
            Op::Conv(op) => match op.residual {
                Some(Residual::Projection(p)) => [op.weights, op.channels, p.weights, p.channels],
                _ => [op.weights, op.channels, &[], &[]],
            },
            Op::Linear(op) => [op.weights, op.channels, &[], &[]],
            Op::MaxPool(_) | Op::GlobalAvgPool(_) => [&[]; 4],
        }
    }

    /// Writes a record; `at` are the offsets of [`Self::blobs`] in the data section.
    #[cfg(feature = "write")]
    pub(crate) fn emit(&self, record: &mut [u8], at: [u32; 4]) {
        use crate::bytes::put;
        put(record, 2, self.input().0.to_le_bytes());
        put(record, 4, self.output().map_or(NO_TENSOR, |t| t.0).to_le_bytes());
        put(record, 6, self.residual().map_or(NO_TENSOR, |t| t.0).to_le_bytes());
        let [weights_at, channels_at, projection_weights_at, projection_channels_at] = at;
        let blobs = |record: &mut [u8], at: usize, weights_at: u32, weights: &[u8], channels_at: u32| {
            put(record, at, weights_at.to_le_bytes());
            put(record, at + 4, (weights.len() as u32).to_le_bytes());
            put(record, at + 8, channels_at.to_le_bytes());
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
                blobs(record, BLOBS_AT, weights_at, op.weights, channels_at);
                match op.residual {
                    None => {}
                    Some(Residual::Identity { multiplier, .. }) => put(record, 44, multiplier.to_le_bytes()),
                    Some(Residual::Projection(p)) => {
                        put(record, PROJECTION_STRIDE_AT, p.stride);
                        blobs(record, PROJECTION_BLOBS_AT, projection_weights_at, p.weights, projection_channels_at);
                    }
                }
            }
            Op::MaxPool(op) => {
                put(record, 0, [MAX_POOL]);
                window(record, &op.window);
            }
            Op::GlobalAvgPool(_) => put(record, 0, [GLOBAL_AVG_POOL]),
            Op::Linear(op) => {
                put(record, 0, [LINEAR]);
                blobs(record, BLOBS_AT, weights_at, op.weights, channels_at);
            }
        }
    }
}
