//! Every 64-bit ARM (Cortex-A53, A72): products of bytes of two quads in 16 bits, `smull` and `smlal`, are added in pairs
//! to 32 bits by `sadalp`. Two products of codes by weights of at most 127 fit: 2 · 128 · 127 < 2¹⁵.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::vectors::{Block, block_at, bytes, finish, lanes, linear, put, quad, shared};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, Params, Positions, Row, Sums, Tile, Weights};
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
#[rustfmt::skip]
macro_rules! products {
    ($w:literal, $v:literal, $x:ident, $y:ident, $low:ident, $high:ident) => {
        concat!(
            "smull {p:v}.8h, {", $w, ":v}.8b, {", stringify!($x), ":v}.8b\n",
            "smull2 {q:v}.8h, {", $w, ":v}.16b, {", stringify!($x), ":v}.16b\n",
            "smlal {p:v}.8h, {", $v, ":v}.8b, {", stringify!($y), ":v}.8b\n",
            "smlal2 {q:v}.8h, {", $v, ":v}.16b, {", stringify!($y), ":v}.16b\n",
            "sadalp {", stringify!($low), ":v}.4s, {p:v}.8h\n",
            "sadalp {", stringify!($high), ":v}.4s, {q:v}.8h\n",
        )
    };
}

/// Instructions that do so for eight channels: `$offset` bytes from the first quad's or tap's weights, and 64 bytes further,
/// where the second's are.
macro_rules! eight_of {
    ($offset:literal, $([$x:ident $y:ident $low:ident $high:ident $low2:ident $high2:ident])*) => {
        concat!(
            "ldp {w:q}, {w2:q}, [{weights}, #", $offset, "]\n",
            "ldp {v:q}, {v2:q}, [{weights}, #", $offset, " + 64]\n",
            $(products!("w", "v", $x, $y, $low, $high),)*
            $(products!("w2", "v2", $x, $y, $low2, $high2),)*
        )
    };
}

/// Instructions that read the next two quads of each position.
macro_rules! two_quads {
    ($([$at:ident $x:ident $y:ident])*) => {
        concat!($(
            "ld1r {{{", stringify!($x), ":v}.4s}}, [{", stringify!($at), "}], #4\n",
            "ld1r {{{", stringify!($y), ":v}.4s}}, [{", stringify!($at), "}], #4\n",
        )*)
    };
}

/// A block of instructions on all sums: left to itself, the compiler reads so many weights ahead that it has to put sums
/// away.
macro_rules! block {
    ([$($text:expr),*], $sums:ident, $weights:expr, [$($operands:tt)*],
        $([$i:literal $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident])*) => {
        asm!(
            $($text,)*
            weights = in(reg) $weights, $($operands)*
            w = out(vreg) _, w2 = out(vreg) _, v = out(vreg) _, v2 = out(vreg) _, p = out(vreg) _, q = out(vreg) _,
            $(
                $a = inout(vreg) $sums[$i][0][0], $b = inout(vreg) $sums[$i][0][1],
                $c = inout(vreg) $sums[$i][1][0], $d = inout(vreg) $sums[$i][1][1],
                $e = inout(vreg) $sums[$i][2][0], $f = inout(vreg) $sums[$i][2][1],
                $g = inout(vreg) $sums[$i][3][0], $h = inout(vreg) $sums[$i][3][1],
            )*
            options(pure, readonly, nostack, preserves_flags),
        )
    };
}

/// Defines the sums of so many positions: dense ones, and neighbours of a row in groups. Of each position: its number, the
/// names of its pointer, of two quads, and of its sums.
macro_rules! tiles {
    ($deep:ident, $dense:ident, $grouped:ident, $count:literal, $([$i:literal $at:ident $x:ident $y:ident
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident])*) => {
        /// Adds `quads` quads of every position to the sums.
        ///
        /// # Safety
        /// Every position has `quads` · 4 bytes, and `weights` `quads` · 64.
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn $deep(
            mut at: [*const u8; $count],
            quads: usize,
            mut weights: *const u8,
            mut sums: [[Halves; 4]; $count],
        ) -> [[Halves; 4]; $count] {
            for _ in 0..quads / 2 {
                // SAFETY: reads two quads of every position and of weights; instructions of every such CPU.
                unsafe {
                    block!(
                        [two_quads!($([$at $x $y])*), eight_of!(0, $([$x $y $a $b $c $d])*),
                            eight_of!(32, $([$x $y $e $f $g $h])*)],
                        sums, weights,
                        [$($at = inout(reg) at[$i], $x = out(vreg) _, $y = out(vreg) _,)*],
                        $([$i $a $b $c $d $e $f $g $h])*
                    );
                }
                weights = weights.wrapping_add(2 * QUAD_BYTES);
            }
            if !quads.is_multiple_of(2) {
                // SAFETY: one quad of every position and of weights.
                unsafe {
                    let w = block_at(weights);
                    $(
                        let x = quad(at[$i]);
                        for vector in 0..4 {
                            sums[$i][vector] = add_one(sums[$i][vector], w[vector], x);
                        }
                    )*
                }
            }
            sums
        }

        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = "neon")]
        unsafe fn $dense(at: &[*const u8], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut [Sums]) {
            let (bias, none) = (lanes(&params[0].bias), [[[vdupq_n_s32(0); 2]; 4]; $count]);
            // SAFETY: the caller's.
            let sums = unsafe { $deep([$(at[$i]),*], block.quads, block.first, none) };
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, whole(sums, bias)));
        }

        /// # Safety
        /// As [`Isa::grouped`], of outputs from `first` on.
        #[target_feature(enable = "neon")]
        unsafe fn $grouped<const STRIDE: usize>(row: &Row<'_>, first: usize, tile: &mut [Sums]) {
            let &Row { inputs, step, quads, mut weights, .. } = row;
            let (bias, mut sums) = (lanes(&row.params.bias), [[[vdupq_n_s32(0); 2]; 4]; $count]);
            let of = |tap: usize, i: usize| inputs[tap / 3].wrapping_add((STRIDE * (first + i) + tap % 3) * step);
            if quads == 1 {
                for tap in [0, 2, 4, 6] {
                    // SAFETY: sixteen bytes of the positions of both taps can be read, and of the block 128 of weights;
                    // instructions of every such CPU.
                    unsafe {
                        block!(
                            [eight_of!(0, $([$x $y $a $b $c $d])*), eight_of!(32, $([$x $y $e $f $g $h])*)],
                            sums, row.arranged.0[tap].as_flattened().as_ptr(),
                            [$($x = in(vreg) bytes(of(tap, $i)), $y = in(vreg) bytes(of(tap + 1, $i)),)*],
                            $([$i $a $b $c $d $e $f $g $h])*
                        );
                    }
                }
                // SAFETY: as above, of the last tap.
                unsafe {
                    let w = block_at(row.arranged.0[8].as_flattened().as_ptr());
                    $(
                        let x = bytes(of(8, $i));
                        for vector in 0..4 {
                            sums[$i][vector] = add_one(sums[$i][vector], w[vector], x);
                        }
                    )*
                }
            } else {
                for tap in 0..9 {
                    let at: [*const u8; $count] = [$(of(tap, $i)),*];
                    // SAFETY: the tap has `quads` quads, and so have the positions, or sixteen bytes.
                    unsafe {
                        if quads == 2 {
                            // Eight channels are of the group whose bytes come first, eight of the other.
                            block!(
                                [two_quads!($([$at $x $y])*), eight_of!(0, $([$x $y $a $b $c $d])*),
                                    two_quads!($([$at $x $y])*), eight_of!(32, $([$x $y $e $f $g $h])*)],
                                sums, weights,
                                [$($at = inout(reg) at[$i] => _, $x = out(vreg) _, $y = out(vreg) _,)*],
                                $([$i $a $b $c $d $e $f $g $h])*
                            );
                        } else {
                            sums = $deep(at, quads, weights, sums);
                        }
                    }
                    weights = weights.wrapping_add(quads * QUAD_BYTES);
                }
            }
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, whole(sums, bias)));
        }
    };
}

tiles!(
    deep_2, dense_2, grouped_2, 2, [0 at0 x0 y0 a0 b0 c0 d0 e0 f0 g0 h0] [1 at1 x1 y1 a1 b1 c1 d1 e1 f1 g1 h1]
);
tiles!(deep_1, dense_1, grouped_1, 1, [0 at0 x0 y0 a0 b0 c0 d0 e0 f0 g0 h0]);

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
    shared!();

    const DENSE: [usize; 2] = [8, 1];
    const ROW: usize = 8;

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        for first in (0..positions.count).step_by(2) {
            let (at, sums) = (&positions.at[first..], &mut sums[first..]);
            // SAFETY: the caller's; `DENSE` has one block.
            unsafe {
                match positions.count - first {
                    1 => dense_1(at, weights, params, sums),
                    _ => dense_2(at, weights, params, sums),
                }
            }
        }
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        debug_assert_eq!((row.block, row.blocks), (0, 1));
        for first in (0..row.pixels).step_by(2) {
            let sums = &mut sums[first..];
            // SAFETY: the caller's.
            unsafe {
                match row.pixels - first {
                    1 => grouped_1::<STRIDE>(row, first, sums),
                    _ => grouped_2::<STRIDE>(row, first, sums),
                }
            }
        }
    }
}
