//! Tile loops, once for every instruction set: an [`Isa`] has the register tiles, this module walks them over a
//! convolution. What they do not cover is left to the portable kernels.
//!
//! - `dense`: every output reads all inputs. 1×1 convolutions read the input in place; other windows (the stem) gather
//!   each position's window first.
//! - `grouped`: 3×3 in groups of 4, 8, 16, 32 or 64 channels, from a small padded copy of a few rows. No im2col: every
//!   byte that is loaded serves the three horizontal taps.
//! - `linear`: the classifier.
//! - `backend`: makes a table of kernels of it.

#![allow(unsafe_code, reason = "the register tiles read and write through pointers")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant size, by indices below it")]

pub(crate) mod backend;
mod dense;
mod gather;
mod grouped;
mod linear;
#[cfg(test)]
pub(crate) mod tests;

use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};
use cardinal_format::{ChannelBlock, quant::Requantize};

pub(crate) use linear::linear;

use crate::kernels::{ConvArgs, Storage};

/// Sixteen numbers of a block's channels, where vectors can be loaded from.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub [T; BLOCK]);

/// Sums of one position: a block's sixteen channels.
pub(crate) type Sums = Lanes<i32>;

/// The most positions of a tile.
pub(crate) const MOST_PIXELS: usize = 16;
/// The most blocks of a tile.
pub(crate) const MOST_BLOCKS: usize = 4;

/// Sums of a tile at most.
const TILE: usize = 64;

/// The sums of a tile, position by position, the blocks of each side by side.
pub(crate) type Tile = [Sums; TILE];

pub(crate) const NO_SUMS: Sums = Lanes([0; BLOCK]);

/// What a block's sums start with, and what they are multiplied by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params {
    pub bias: Lanes<i32>,
    pub multiplier: Lanes<f32>,
}

impl Params {
    pub const NONE: Params = Params { bias: NO_SUMS, multiplier: Lanes([0.0; BLOCK]) };

    /// Those of a block, for bytes that are stored so.
    fn of(args: &[u8], block: usize, storage: Storage, weight_sums: impl FnOnce() -> [i32; BLOCK]) -> Self {
        let (params, _) = args.as_chunks::<CHANNEL_BLOCK_BYTES>();
        let ChannelBlock { mut bias, multiplier } =
            params.get(block).map_or(ChannelBlock { bias: [0; BLOCK], multiplier: [0.0; BLOCK] }, ChannelBlock::read);
        if storage == Storage::Biased {
            // Every byte is its code + 128, so every sum has 128 · Σw too much. Wrapping, as the sums do: the final
            // value fits by inequality (4) of the quantization page.
            for (bias, sum) in bias.iter_mut().zip(weight_sums()) {
                *bias = bias.wrapping_sub(sum << 7);
            }
        }
        Params { bias: Lanes(bias), multiplier: Lanes(multiplier) }
    }

    /// With transposed lanes.
    fn transposed(&self) -> Self {
        let mut to = Params::NONE;
        transposed(&self.bias.0, &mut to.bias.0);
        transposed(&self.multiplier.0, &mut to.multiplier.0);
        to
    }
}

/// First bytes of a dense tile's positions.
#[derive(Clone, Copy)]
pub(crate) struct Positions {
    /// Of `Isa::DENSE[0]` positions: beyond `count`, the last again.
    pub at: [*const u8; MOST_PIXELS],
    /// Those whose sums are wanted, at least one.
    pub count: usize,
}

/// Weights of a dense tile: neighbouring blocks.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    pub first: *const u8,
    /// Quads that one output reads.
    pub quads: usize,
    pub blocks: usize,
    /// As [`Isa::prepare`] arranges them; otherwise as the file does.
    pub prepared: bool,
}

/// What is added to a tile before it is rounded.
#[derive(Clone, Copy)]
pub(crate) enum Added<'a> {
    Nothing,
    /// Bytes that lie as the output does, from here on. They may be the output itself.
    Codes {
        at: *const u8,
        zero_point: i32,
        multiplier: f32,
    },
    /// Sums of the same tile, with their blocks' multipliers.
    Sums {
        sums: &'a Tile,
        params: &'a [Params; MOST_BLOCKS],
    },
}

/// How a tile's sums become bytes.
pub(crate) struct Finish<'a> {
    /// Of the tile's blocks.
    pub params: &'a [Params; MOST_BLOCKS],
    pub requantize: Requantize,
    pub added: Added<'a>,
    /// Positions that are written.
    pub pixels: usize,
    /// Blocks of the tile.
    pub blocks: usize,
    /// Bytes from one position to the next in the output, and in added codes.
    pub stride: usize,
    /// Sums and params have transposed lanes ([`transposed`]).
    pub transposed: bool,
}

/// One block of neighbouring output positions of a grouped 3×3 convolution.
pub(crate) struct Row<'a> {
    /// The three input rows, from the first tap of the first output on.
    pub inputs: [*const u8; 3],
    /// Bytes from one position to the next.
    pub step: usize,
    /// Quads of a group: 1, 2, 4, 8 or 16.
    pub quads: usize,
    /// The block's weights as the file has them.
    pub weights: *const u8,
    /// The same where groups have 4 or 8 channels, which come from here. Groups of 4 have transposed lanes.
    pub arranged: &'a Arranged,
    pub params: &'a Params,
    /// Outputs, at most [`Isa::ROW`].
    pub pixels: usize,
    /// Which block of the tile it is, and of how many: up to `Isa::DENSE[1]`.
    pub block: usize,
    pub blocks: usize,
}

/// Register tiles of one instruction set.
///
/// # Safety
/// Implementations read and write exactly what the functions say, and their own constants bound it:
/// `DENSE[0]` and `ROW` are at most `MOST_PIXELS`, `1 ≤ DENSE[1] ≤ MOST_BLOCKS`.
/// Callers of all functions must know that the CPU has the instruction set.
pub(crate) unsafe trait Isa {
    /// How its bytes are stored.
    const STORAGE: Storage;
    /// Positions and blocks of a dense tile.
    const DENSE: [usize; 2];
    /// Positions of a grouped tile.
    const ROW: usize;

    /// Σw of each of a block's channels. Only asked of [`Storage::Biased`].
    ///
    /// # Safety
    /// `weights` has `quads` · 64 bytes.
    unsafe fn weight_sums(_weights: *const u8, _quads: usize) -> [i32; BLOCK] {
        [0; BLOCK]
    }

    /// Bytes of a block of so many quads in the order that [`Isa::prepare`] writes, a multiple of 64; 0 if the file's order
    /// serves best.
    fn prepared_len(_quads: usize) -> usize {
        0
    }

    /// Arranges a block's weights for the tiles. Done once for all positions.
    ///
    /// # Safety
    /// `weights` has `quads` · 64 bytes, and to `to`, a multiple of 64, `prepared_len(quads)` bytes can be written.
    unsafe fn prepare(_weights: *const u8, _quads: usize, _to: *mut u8) {}

    /// The sums of [`Positions`] and blocks: the biases, plus each byte times its weight. They lie as [`Tile`] says, with
    /// `weights.blocks` blocks a position.
    ///
    /// # Safety
    /// Every position has `weights.quads` · 4 bytes; block *b*'s weights, `quads` · 64 bytes, start `b · quads · 64` behind
    /// `weights.first`, for up to `DENSE[1]` blocks; prepared ones, `prepared_len(quads)` bytes, follow each other likewise.
    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile);

    /// The sums of a [`Row`]'s outputs, of its `pixels` or of up to `ROW`: in the places of its block in the tile.
    ///
    /// # Safety
    /// Each of the row's `inputs` has the bytes of (`ROW` − 1) · `STRIDE` + 3 positions, `step` bytes apart: the first
    /// 4 · `quads` of each, and of groups of 4 or 8 the first sixteen. `weights` are the block's 9 · `quads` · 64 bytes.
    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile);

    /// Adds the products of a classifier's inputs by a block's weights, quad by quad, as many as there are of both.
    ///
    /// # Safety
    /// Needs nothing but the CPU.
    unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]);

    /// See [`Kernels::spin`](crate::kernels::Kernels::spin).
    ///
    /// # Safety
    /// Needs nothing but the CPU.
    unsafe fn spin(rounds: u32) -> u64;

    /// Requantizes a tile: equations (5), (6) and (6b).
    ///
    /// # Safety
    /// For each of the `finish.pixels` positions, `finish.stride` bytes apart, 16 · `finish.blocks` bytes can be written
    /// to `output`, and read from [`Added::Codes`].
    unsafe fn finish(sums: &Tile, finish: &Finish<'_>, output: *mut u8);
}

/// A block's weights of groups of 4 or 8, by tap.
///
/// - Of 4: each group is one quad of inputs, and sixteen input bytes in every 128 bits of a vector meet the four groups in
///   turn. So lane 4 · i + j has output *i* of group *j*: lanes are transposed.
/// - Of 8: first the nine taps of the block's first group, the two quads of each of its outputs side by side, then those of
///   the second. Eight input bytes in every 64 bits meet them, and pairs of sums add up to outputs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Arranged(pub [[[u8; QUAD]; BLOCK]; 18]);

impl Arranged {
    /// Of a block's weights, if its groups have 4 or 8 channels.
    fn new(weights: &[u8], quads: usize) -> Self {
        let mut to = Arranged([[[0; QUAD]; BLOCK]; 18]);
        let (vectors, _) = weights.as_chunks::<QUAD_BYTES>();
        let lanes = |vector: usize| vectors.get(vector).map_or(&[][..], |vector| vector.as_chunks::<QUAD>().0);
        for tap in 0..9 {
            match quads {
                1 => transposed(lanes(tap), &mut to.0[tap]),
                2 => {
                    for (quad, half) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        let outputs = lanes(2 * tap + quad).iter().skip(8 * half);
                        let places = to.0[9 * half + tap].iter_mut().skip(quad).step_by(2);
                        places.zip(outputs).for_each(|(to, from)| *to = *from);
                    }
                }
                _ => {}
            }
        }
        to
    }
}

/// Lane 4 · i + j of what lies in lane 4 · j + i.
fn transposed<T: Copy>(from: &[T], to: &mut [T; BLOCK]) {
    let (groups, _) = from.as_chunks::<QUAD>();
    let (rows, _) = to.as_chunks_mut::<QUAD>();
    for (i, row) in rows.iter_mut().enumerate() {
        row.iter_mut().zip(groups).for_each(|(to, group)| *to = group[i]);
    }
}

/// Equations (3), (5), (6) and (6b) of the quantization page.
///
/// # Safety
/// The CPU has the instruction set.
pub(crate) unsafe fn conv<I: Isa>(args: &ConvArgs<'_>, output: &mut [u8], otherwise: fn(&ConvArgs<'_>, &mut [u8])) {
    // SAFETY: the caller vouches for the CPU.
    let done = unsafe { grouped::conv::<I>(args, output) || dense::conv::<I>(args, output) };
    if !done {
        otherwise(args, output);
    }
}

/// The bytes of a padded position: their codes are the pad codes, channel by channel.
fn pad_bytes(args: &ConvArgs<'_>, storage: Storage) -> [u8; 4] {
    args.pad_codes.map(|code| storage.byte(code))
}
