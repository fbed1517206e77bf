//! Every 64-bit ARM (Cortex-A53, A72): products of bytes of two quads in 16 bits, `smull` and `smlal`, are added in pairs
//! to 32 bits by `sadalp`. Two products of codes by weights of at most 127 fit: 2 · 128 · 127 < 2¹⁵.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use cardinal_format::weights::QUAD_BYTES;

use super::vectors::{Block, block_at, bytes, finish, lanes, put, quad};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct Neon;

/// Sums of a vector of weights: of each quad, two. The first two quads', and the last two's.
type Halves = [int32x4_t; 2];

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

/// Instructions that add the products of two quads, or of two taps, for one vector of weights each, to a position's sums.
macro_rules! products {
    ($w:literal, $v:literal, $x:ident, $y:ident, $low:ident, $high:ident) => {
        concat!(
            "smull {p:v}.8h, {",
            $w,
            ":v}.8b, {",
            stringify!($x),
            ":v}.8b\n",
            "smull2 {q:v}.8h, {",
            $w,
            ":v}.16b, {",
            stringify!($x),
            ":v}.16b\n",
            "smlal {p:v}.8h, {",
            $v,
            ":v}.8b, {",
            stringify!($y),
            ":v}.8b\n",
            "smlal2 {q:v}.8h, {",
            $v,
            ":v}.16b, {",
            stringify!($y),
            ":v}.16b\n",
            "sadalp {",
            stringify!($low),
            ":v}.4s, {p:v}.8h\n",
            "sadalp {",
            stringify!($high),
            ":v}.4s, {q:v}.8h\n",
        )
    };
}

/// Adds two vectors of weights at `a`, by the bytes of `x`, and two at `b`, by those of `y`, to the sums of so many positions,
/// of which these are the numbers, and names of registers. One block of assembly: left to itself, the compiler reads so many
/// weights ahead that it has to put sums away.
macro_rules! add_two {
    (
        $sums:ident, $vectors:tt, $a:expr, $b:expr, $x:expr, $y:expr,
        $([$i:literal $xi:ident $yi:ident $c:ident $d:ident $e:ident $f:ident])*
    ) => {
        asm!(
            "ldp {w:q}, {w2:q}, [{a}]",
            "ldp {v:q}, {v2:q}, [{b}]",
            $(products!("w", "v", $xi, $yi, $c, $d),)*
            $(products!("w2", "v2", $xi, $yi, $e, $f),)*
            a = in(reg) $a, b = in(reg) $b,
            w = out(vreg) _, w2 = out(vreg) _, v = out(vreg) _, v2 = out(vreg) _, p = out(vreg) _, q = out(vreg) _,
            $(
                $xi = in(vreg) $x[$i], $yi = in(vreg) $y[$i],
                $c = inout(vreg) $sums[$i][$vectors[0]][0], $d = inout(vreg) $sums[$i][$vectors[0]][1],
                $e = inout(vreg) $sums[$i][$vectors[1]][0], $f = inout(vreg) $sums[$i][$vectors[1]][1],
            )*
            options(pure, readonly, nostack, preserves_flags),
        )
    };
}

/// Defines the sums of so many positions: dense ones, and neighbours of a row in groups.
macro_rules! tiles {
    ($deep:ident, $dense:ident, $grouped:ident, $count:literal, [$($position:literal)*], $($names:tt)*) => {
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
                    let x: [int8x16_t; $count] = [$(quad(at[$position].wrapping_add(4 * k))),*];
                    let y: [int8x16_t; $count] = [$(quad(at[$position].wrapping_add(4 * k + 4))),*];
                    add_two!(sums, [0, 1], weights, next, x, y, $($names)*);
                    add_two!(sums, [2, 3], weights.wrapping_add(32), next.wrapping_add(32), x, y, $($names)*);
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
                            let x: [int8x16_t; $count] = [$(bytes(of(tap, $position))),*];
                            let y: [int8x16_t; $count] = [$(bytes(of(tap + 1, $position))),*];
                            add_two!(sums, [0, 1], a, b, x, y, $($names)*);
                            add_two!(sums, [2, 3], a.wrapping_add(32), b.wrapping_add(32), x, y, $($names)*);
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
                            let at: [*const u8; $count] = [$(of(tap, $position)),*];
                            let x: [int8x16_t; $count] = [$(quad(at[$position])),*];
                            let y: [int8x16_t; $count] = [$(quad(at[$position].wrapping_add(4))),*];
                            add_two!(sums, [0, 1], first, second, x, y, $($names)*);
                            let x: [int8x16_t; $count] = [$(quad(at[$position].wrapping_add(8))),*];
                            let y: [int8x16_t; $count] = [$(quad(at[$position].wrapping_add(12))),*];
                            add_two!(sums, [2, 3], first.wrapping_add(32), second.wrapping_add(32), x, y, $($names)*);
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

tiles!(deep_2, dense_2, grouped_2, 2, [0 1], [0 x0 y0 c0 d0 e0 f0] [1 x1 y1 c1 d1 e1 f1]);
tiles!(deep_1, dense_1, grouped_1, 1, [0], [0 x0 y0 c0 d0 e0 f0]);

/// See [`Isa::spin`].
#[target_feature(enable = "neon")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (vdupq_n_s8(3), vdupq_n_s8(-5));
    let mut sums = [vdupq_n_s32(0); 12];
    for _ in 0..rounds {
        for sums in &mut sums {
            // SAFETY: instructions of the enabled features on registers.
            unsafe {
                asm!(
                    "smull {p:v}.8h, {w:v}.8b, {x:v}.8b",
                    "smlal2 {p:v}.8h, {w:v}.16b, {x:v}.16b",
                    "sadalp {sums:v}.4s, {p:v}.8h",
                    sums = inout(vreg) *sums, w = in(vreg) w, x = in(vreg) x, p = out(vreg) _,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    black_box(sums);
    u64::from(rounds) * 12 * 16
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for Neon {
    const STORAGE: Storage = Storage::Signed;
    const DENSE: [usize; 2] = [2, 1];
    const ROW: usize = 2;

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        // SAFETY: the caller's; `DENSE` has one block.
        unsafe {
            match positions.count {
                1 => dense_1(&positions.at, weights, params, sums),
                _ => dense_2(&positions.at, weights, params, sums),
            }
        }
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's.
        unsafe {
            match row.pixels {
                1 => grouped_1::<STRIDE>(row, sums),
                _ => grouped_2::<STRIDE>(row, sums),
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
