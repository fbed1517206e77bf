//! Every 64-bit ARM (Cortex-A53, A72): products of bytes of two quads in 16 bits, `smull` and `smlal`, are added in pairs
//! to 32 bits by `sadalp`. Two products of codes by weights of at most 127 fit: 2 · 128 · 127 < 2¹⁵.

use core::arch::aarch64::*;
use core::hint::black_box;

use cardinal_format::weights::QUAD_BYTES;

use super::vectors::{Block, block_at, bytes, finish, lanes, put, quad};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct Neon;

/// Sums of a vector of weights: of each quad, two. The first two quads', and the last two's.
type Halves = [int32x4_t; 2];

/// Adds the products of two quads, or of two taps, of one vector of weights each.
#[inline]
#[target_feature(enable = "neon")]
fn add_two([low, high]: Halves, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> Halves {
    let products = vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0]));
    let low = vpadalq_s16(low, vmlal_s8(products, vget_low_s8(w[1]), vget_low_s8(x[1])));
    let products = vmull_high_s8(w[0], x[0]);
    [low, vpadalq_s16(high, vmlal_high_s8(products, w[1], x[1]))]
}

/// Adds the products of one.
#[inline]
#[target_feature(enable = "neon")]
fn add_one([low, high]: Halves, w: int8x16_t, x: int8x16_t) -> Halves {
    let low = vpadalq_s16(low, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    [low, vpadalq_s16(high, vmull_high_s8(w, x))]
}

/// A position's sums, and the biases.
#[inline]
#[target_feature(enable = "neon")]
fn whole(sums: [Halves; 4], bias: Block) -> Block {
    core::array::from_fn(|i| vaddq_s32(bias[i], vpaddq_s32(sums[i][0], sums[i][1])))
}

/// Adds two vectors of weights to all positions.
macro_rules! pair_of {
    ($sums:ident, [$a:ident, $b:ident], [$x:ident, $y:ident], [$($vector:tt)*], $positions:tt) => {
        $(pair_of!(vector $sums, $a, $b, $x, $y, $vector, $positions);)*
    };
    (vector $sums:ident, $a:ident, $b:ident, $x:ident, $y:ident, $vector:tt, [$($position:tt)*]) => {
        let w = [bytes($a.wrapping_add(16 * $vector)), bytes($b.wrapping_add(16 * $vector))];
        $($sums[$position][$vector] = add_two($sums[$position][$vector], w, [$x[$position], $y[$position]]);)*
    };
}

/// Defines the sums of so many positions: dense ones, and neighbours of a row in groups.
macro_rules! tiles {
    ($dense:ident, $grouped:ident, $deep:ident, [$($position:tt)*], $count:literal) => {
        /// Adds `quads` quads of every position to the sums.
        ///
        /// # Safety
        /// Every position has `quads` · 4 bytes, and `weights` `quads` · 64.
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn $deep(
            at: [*const u8; $count],
            quads: usize,
            mut weights: *const u8,
            mut sums: [[Halves; 4]; $count],
        ) -> [[Halves; 4]; $count] {
            let mut k = 0;
            while k + 2 <= quads {
                let next = weights.wrapping_add(QUAD_BYTES);
                // SAFETY: two quads of every position and of weights.
                unsafe {
                    let x = [$(quad(at[$position].wrapping_add(4 * k))),*];
                    let y = [$(quad(at[$position].wrapping_add(4 * k + 4))),*];
                    pair_of!(sums, [weights, next], [x, y], [0 1 2 3], [$($position)*]);
                }
                weights = next.wrapping_add(QUAD_BYTES);
                k += 2;
            }
            if k < quads {
                // SAFETY: one quad of every position and of weights.
                unsafe {
                    let w = block_at(weights);
                    $(
                        let x = quad(at[$position].wrapping_add(4 * k));
                        for i in 0..4 {
                            sums[$position][i] = add_one(sums[$position][i], w[i], x);
                        }
                    )*
                }
            }
            sums
        }

        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = "neon")]
        unsafe fn $dense(at: &[*const u8; MOST_PIXELS], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let (bias, none) = (lanes(&params[0].bias), [[[vdupq_n_s32(0); 2]; 4]; $count]);
            // SAFETY: the caller's.
            let sums = unsafe { $deep([$(at[$position]),*], block.quads, block.first, none) };
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, whole(sums, bias)));
        }

        /// # Safety
        /// As [`Isa::grouped`].
        #[target_feature(enable = "neon")]
        unsafe fn $grouped<const STRIDE: usize>(row: &Row<'_>, tile: &mut Tile) {
            let &Row { inputs, step, quads, weights, .. } = row;
            let (bias, mut sums) = (lanes(&row.params.bias), [[[vdupq_n_s32(0); 2]; 4]; $count]);
            let of = |tap: usize, position: usize| inputs[tap / 3].wrapping_add((STRIDE * position + tap % 3) * step);
            // SAFETY: nine taps of `quads` quads; the positions of all outputs' taps, with sixteen bytes where groups are
            // narrower.
            unsafe {
                match quads {
                    1 => {
                        let weights = |tap: usize| row.arranged.0[tap].as_flattened().as_ptr();
                        for tap in [0, 2, 4, 6] {
                            let (a, b) = (weights(tap), weights(tap + 1));
                            let (x, y) = ([$(bytes(of(tap, $position))),*], [$(bytes(of(tap + 1, $position))),*]);
                            pair_of!(sums, [a, b], [x, y], [0 1 2 3], [$($position)*]);
                        }
                        let w = block_at(weights(8));
                        $(
                            let x = bytes(of(8, $position));
                            for i in 0..4 {
                                sums[$position][i] = add_one(sums[$position][i], w[i], x);
                            }
                        )*
                    }
                    2 => {
                        for tap in 0..9 {
                            let first = weights.wrapping_add(2 * tap * QUAD_BYTES);
                            let second = first.wrapping_add(QUAD_BYTES);
                            // Eight channels are of the group whose bytes come first, eight of the other.
                            let at = [$(of(tap, $position)),*];
                            let x = [$(quad(at[$position])),*];
                            let y = [$(quad(at[$position].wrapping_add(4))),*];
                            pair_of!(sums, [first, second], [x, y], [0 1], [$($position)*]);
                            let x = [$(quad(at[$position].wrapping_add(8))),*];
                            let y = [$(quad(at[$position].wrapping_add(12))),*];
                            pair_of!(sums, [first, second], [x, y], [2 3], [$($position)*]);
                        }
                    }
                    _ => {
                        for tap in 0..9 {
                            let weights = weights.wrapping_add(tap * quads * QUAD_BYTES);
                            sums = $deep([$(of(tap, $position)),*], quads, weights, sums);
                        }
                    }
                }
            }
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, whole(sums, bias)));
        }
    };
}

tiles!(dense_3, grouped_3, deep_3, [0 1 2], 3);
tiles!(dense_2, grouped_2, deep_2, [0 1], 2);
tiles!(dense_1, grouped_1, deep_1, [0], 1);

/// See [`Isa::spin`].
#[target_feature(enable = "neon")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (black_box(vdupq_n_s8(3)), black_box(vdupq_n_s8(-5)));
    let mut sums = [[vdupq_n_s32(0); 2]; 12];
    for _ in 0..rounds {
        // The compiler must not see that all products are the same.
        let x = black_box(x);
        sums = sums.map(|sums| add_two(sums, [w, w], [x, x]));
    }
    black_box(sums);
    u64::from(rounds) * 12 * 32
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for Neon {
    const STORAGE: Storage = Storage::Signed;
    const DENSE: [usize; 2] = [3, 1];
    const ROW: usize = 3;

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        // SAFETY: the caller's; `DENSE` has one block.
        unsafe {
            match positions.count {
                1 => dense_1(&positions.at, weights, params, sums),
                2 => dense_2(&positions.at, weights, params, sums),
                _ => dense_3(&positions.at, weights, params, sums),
            }
        }
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's.
        unsafe {
            match row.pixels {
                1 => grouped_1::<STRIDE>(row, sums),
                2 => grouped_2::<STRIDE>(row, sums),
                _ => grouped_3::<STRIDE>(row, sums),
            }
        }
    }

    unsafe fn spin(rounds: u32) -> u64 {
        // SAFETY: the caller's.
        unsafe { spin(rounds) }
    }

    unsafe fn finish(sums: &Tile, tile: &Finish<'_>, output: *mut u8) {
        // SAFETY: the caller's.
        unsafe { finish(sums, tile, output) }
    }
}
