//! Convolution with groups, straight from the input tensor: no im2col, no scratch.
//!
//! Loop order: blocks of sixteen output channels outside, output positions inside, so that a block's weights stay in
//! the nearest cache. Positions are taken [`TILE`] at a time where every one of their runs is dense and inside the
//! input; at the border, and for groups narrower than a block, one at a time.

use cardinal_format::ChannelBlock;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES};

use super::sums::{Plan, Sums, TILE, dense_one, dense_tile, narrow_one, square_one};
use crate::kernels::{ConvArgs, ProjectionArgs, ResidualArgs};

/// Row and column of an output position.
type Output = (usize, usize);

/// A projection shortcut of sixteen output channels.
struct Projection<'a> {
    plan: &'a Plan<'a>,
    weights: &'a [u8],
    params: ChannelBlock,
}

impl<'a> Projection<'a> {
    #[inline(always)]
    fn of_block(args: &ProjectionArgs<'a>, plan: &'a Plan<'a>, block: usize) -> Option<Self> {
        let len = args.layout.block_bytes();
        let weights = args.weights.get(block * len..)?.get(..len)?;
        let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
        Some(Projection { plan, weights, params: ChannelBlock::read(params.get(block)?) })
    }

    /// `acc_p` of some positions. A 1×1 window without padding never leaves the input.
    #[inline(always)]
    fn tile(&self, outputs: [Output; TILE]) -> [Sums; TILE] {
        let at = outputs.map(|(y, x)| self.plan.position(y, x));
        dense_tile(self.plan, at, 0, self.weights, &self.params.bias).unwrap_or_default()
    }

    /// `acc_p` of one position.
    #[inline(always)]
    fn one(&self, (y, x): Output) -> Sums {
        dense_one(self.plan, self.plan.position(y, x), 0, self.weights, &self.params.bias)
    }

    /// As [`store`], with `acc_p` added.
    #[inline(always)]
    fn store<const FLIP: u8>(
        &self,
        args: &ConvArgs<'_>,
        output: &mut [u8],
        position: usize,
        block: usize,
        [acc, acc_p]: [&Sums; 2],
        p: &ChannelBlock,
    ) {
        let Some((_, to)) = codes(args, output, position, block) else { return };
        let lanes = acc.iter().zip(&p.multiplier);
        let added = acc_p.iter().zip(&self.params.multiplier);
        for ((to, (&acc, &m)), (&acc_p, &m_p)) in to.iter_mut().zip(lanes).zip(added) {
            *to = args.requantize.code_with_residual(acc, m, acc_p, m_p) as u8 ^ FLIP;
        }
    }
}

/// Equations (3), (5), (6) and (6b) of the quantization page.
#[inline(always)]
pub(crate) fn conv<const FLIP: u8>(args: &ConvArgs<'_>, output: &mut [u8]) {
    let plan = Plan::new::<FLIP>(args);
    let projection = match &args.residual {
        ResidualArgs::Projection(projection) => Some((projection, Plan::of_projection::<FLIP>(projection))),
        _ => None,
    };
    // Channels per group, where input and output have the same and no block is cut off.
    let channels = args.layout.channels_out();
    let square = args.input_shape.channels as usize == channels && channels.is_multiple_of(BLOCK);
    let width = square.then_some(args.layout.in_per_group());
    let out_width = (args.output_shape.width as usize).max(1);
    let positions = output.len() / channels.max(1);
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for (block, (weights, params)) in blocks.zip(params).enumerate() {
        let params = ChannelBlock::read(params);
        let projection = projection.as_ref().and_then(|(args, plan)| Projection::of_block(args, plan, block));
        let first_input: [usize; BLOCK] =
            core::array::from_fn(|i| args.layout.first_input((block * BLOCK + i).min(channels - 1)));
        // All sixteen outputs read the same inputs.
        let dense = first_input.iter().all(|&c| c == first_input[0]);
        let (mut x, mut y, mut done) = (args.first % out_width, args.first / out_width, 0);
        while done < positions {
            let tile: [Output; TILE] = core::array::from_fn(|i| {
                let past = x + i >= out_width;
                (y + usize::from(past), if past { (x + i) % out_width } else { x + i })
            });
            let sums = if dense && done + TILE <= positions && x + TILE <= 2 * out_width {
                dense_tile(&plan, tile.map(|(y, x)| plan.position(y, x)), first_input[0], weights, &params.bias)
            } else {
                None
            };
            let taken = match sums {
                Some(sums) => {
                    match &projection {
                        None => {
                            for (i, sums) in sums.iter().enumerate() {
                                store::<FLIP>(args, output, done + i, block, sums, &params);
                            }
                        }
                        Some(projection) => {
                            let added = projection.tile(tile);
                            for (i, (sums, added)) in sums.iter().zip(&added).enumerate() {
                                projection.store::<FLIP>(args, output, done + i, block, [sums, added], &params);
                            }
                        }
                    }
                    TILE
                }
                None => {
                    let at = plan.position(y, x);
                    let sums = match width {
                        _ if dense => dense_one(&plan, at, first_input[0], weights, &params.bias),
                        Some(4) => square_one::<4>(&plan, at, block, weights, &params.bias),
                        Some(8) => square_one::<8>(&plan, at, block, weights, &params.bias),
                        _ => narrow_one(&plan, at, &first_input, weights, &params.bias),
                    };
                    match &projection {
                        None => store::<FLIP>(args, output, done, block, &sums, &params),
                        Some(projection) => {
                            projection.store::<FLIP>(
                                args,
                                output,
                                done,
                                block,
                                [&sums, &projection.one((y, x))],
                                &params,
                            );
                        }
                    }
                    1
                }
            };
            done += taken;
            x += taken;
            while x >= out_width {
                (x, y) = (x - out_width, y + 1);
            }
        }
    }
}

/// The bytes of a block's channels at one position of the part, without those that are no output channels, and where they
/// are in the whole output.
#[inline(always)]
fn codes<'o>(
    args: &ConvArgs<'_>,
    output: &'o mut [u8],
    position: usize,
    block: usize,
) -> Option<(usize, &'o mut [u8])> {
    let channels = args.layout.channels_out();
    let first = position * channels + block * BLOCK;
    let len = BLOCK.min(channels - block * BLOCK);
    Some((args.first * channels + first, output.get_mut(first..first + len)?))
}

/// Requantizes sixteen accumulators and writes those that are output channels.
#[inline(always)]
fn store<const FLIP: u8>(
    args: &ConvArgs<'_>,
    output: &mut [u8],
    position: usize,
    block: usize,
    acc: &Sums,
    p: &ChannelBlock,
) {
    let code = |byte: u8| i32::from((byte ^ FLIP) as i8);
    let Some((first, to)) = codes(args, output, position, block) else { return };
    let lanes = acc.iter().zip(&p.multiplier);
    let y = args.requantize;
    match args.residual {
        // A projection is added by its own `store`.
        ResidualArgs::None | ResidualArgs::Projection(_) => {
            for (to, (&acc, &m)) in to.iter_mut().zip(lanes) {
                *to = y.code(acc, m) as u8 ^ FLIP;
            }
        }
        ResidualArgs::Separate { codes, zero_point, multiplier } => {
            let codes = codes.get(first..first + to.len()).unwrap_or_default();
            for ((to, (&acc, &m)), &r) in to.iter_mut().zip(lanes).zip(codes) {
                *to = y.code_with_residual(acc, m, code(r) - i32::from(zero_point), multiplier) as u8 ^ FLIP;
            }
        }
        ResidualArgs::InPlace { zero_point, multiplier } => {
            for (to, (&acc, &m)) in to.iter_mut().zip(lanes) {
                *to = y.code_with_residual(acc, m, code(*to) - i32::from(zero_point), multiplier) as u8 ^ FLIP;
            }
        }
    }
}
