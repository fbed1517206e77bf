//! ARMv8.6 matrix products: `smmla` of two positions by two channels, eight bytes of each.
//!
//! The file's quads are brought side by side by `zip` once for all positions, a block at a time: the copy takes 16 bytes per
//! input, and an eighth of the instructions that it saves on 7 × 7 positions. Positions are paired as they are read.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::dotprod::{DotProd, grouped};
use super::vectors::{Block, block_at, finish, in_sixes, lanes, linear, put, shared};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, Params, Positions, Row, Sums, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct I8mm;

/// Sums of two positions: pairs of channels, first the one position's two, then the other's.
type Pair = [int32x4_t; 8];

/// Two quads of four channels, as eight bytes of each of two channels, and of the other two.
#[inline]
#[target_feature(enable = "neon")]
fn zipped(first: int8x16_t, second: int8x16_t) -> [int8x16_t; 2] {
    let (first, second) = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
    [vreinterpretq_s8_s32(vzip1q_s32(first, second)), vreinterpretq_s8_s32(vzip2q_s32(first, second))]
}

/// See [`Isa::prepare`]: every two quads become eight bytes of each of sixteen channels.
///
/// # Safety
/// As there; of the whole pairs of quads.
#[target_feature(enable = "neon")]
unsafe fn prepare(weights: *const u8, quads: usize, to: *mut u8) {
    for pair in 0..quads / 2 {
        let (from, to) = (weights.wrapping_add(2 * pair * QUAD_BYTES), to.wrapping_add(2 * pair * QUAD_BYTES));
        // SAFETY: two quads are there, and room for them.
        unsafe {
            let (first, second) = (block_at(from), block_at(from.wrapping_add(QUAD_BYTES)));
            for i in 0..4 {
                let [low, high] = zipped(first[i], second[i]);
                vst1q_s8(to.wrapping_add(32 * i).cast(), low);
                vst1q_s8(to.wrapping_add(32 * i + 16).cast(), high);
            }
        }
    }
}

/// Pairs of numbers, two times each.
#[inline]
#[target_feature(enable = "neon")]
fn twice(block: Block) -> Pair {
    let [a, b, c, d] = block.map(|lanes| {
        let lanes = vreinterpretq_s64_s32(lanes);
        [vreinterpretq_s32_s64(vzip1q_s64(lanes, lanes)), vreinterpretq_s32_s64(vzip2q_s64(lanes, lanes))]
    });
    [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
}

/// The sums of the one position, and of the other.
#[inline]
#[target_feature(enable = "neon")]
fn apart(sums: Pair) -> [Block; 2] {
    let wide = sums.map(|sums| vreinterpretq_s64_s32(sums));
    [
        core::array::from_fn(|i| vreinterpretq_s32_s64(vzip1q_s64(wide[2 * i], wide[2 * i + 1]))),
        core::array::from_fn(|i| vreinterpretq_s32_s64(vzip2q_s64(wide[2 * i], wide[2 * i + 1]))),
    ]
}

// The repeated part is one block of assembly: left to itself, the compiler reads so many weights ahead that it has to put
// sums away.

/// Instructions that add products of pairs of positions by a pair of channels.
macro_rules! by_pair {
    ($w:literal, [$($x:ident)*], [$($sums:ident)*]) => {
        concat!($("smmla {", stringify!($sums), ":v}.4s, {", stringify!($x), ":v}.16b, {", $w, ":v}.16b\n"),*)
    };
}

/// Instructions that do so for eight bytes of each of a block's channels.
macro_rules! block_of {
    ($x:tt, $s0:tt, $s1:tt, $s2:tt, $s3:tt, $s4:tt, $s5:tt, $s6:tt, $s7:tt) => {
        concat!(
            "ldp {w:q}, {v:q}, [{weights}]\n",
            by_pair!("w", $x, $s0),
            "ldp {w:q}, {y:q}, [{weights}, #32]\n",
            by_pair!("v", $x, $s1),
            "ldp {v:q}, {z:q}, [{weights}, #64]\n",
            by_pair!("w", $x, $s2),
            by_pair!("y", $x, $s3),
            "ldp {w:q}, {y:q}, [{weights}, #96]\n",
            by_pair!("v", $x, $s4),
            by_pair!("z", $x, $s5),
            by_pair!("w", $x, $s6),
            by_pair!("y", $x, $s7),
        )
    };
}

/// Defines the sums of so many pairs of positions. Of each pair: its number, the names of its bytes and of its eight vectors
/// of sums.
macro_rules! dense {
    (
        $name:ident, $count:literal,
        $([$i:literal $p:ident $q:ident $x:ident
            $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident])*
    ) => {
        /// # Safety
        /// As [`Isa::dense`], of one prepared block of pairs of quads.
        #[target_feature(enable = "neon,i8mm")]
        unsafe fn $name(at: &[*const u8], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut [Sums]) {
            let mut sums = [twice(lanes(&params[0].bias)); $count];
            let mut at: [[*const u8; 2]; $count] = [$([at[2 * $i], at[2 * $i + 1]]),*];
            let mut weights = block.first;
            for _ in 0..block.quads / 2 {
                // SAFETY: reads two quads of every position and of the block's weights; instructions of the enabled
                // features.
                unsafe {
                    asm!(
                        $(
                            concat!("ldr {", stringify!($x), ":d}, [{", stringify!($p), "}], #8"),
                            concat!("ld1 {{{", stringify!($x), ":v}.d}}[1], [{", stringify!($q), "}], #8"),
                        )*
                        block_of!(
                            [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*], [$($e)*], [$($f)*], [$($g)*], [$($h)*]
                        ),
                        weights = in(reg) weights,
                        w = out(vreg) _, v = out(vreg) _, y = out(vreg) _, z = out(vreg) _,
                        $(
                            $p = inout(reg) at[$i][0], $q = inout(reg) at[$i][1], $x = out(vreg) _,
                            $a = inout(vreg) sums[$i][0], $b = inout(vreg) sums[$i][1],
                            $c = inout(vreg) sums[$i][2], $d = inout(vreg) sums[$i][3],
                            $e = inout(vreg) sums[$i][4], $f = inout(vreg) sums[$i][5],
                            $g = inout(vreg) sums[$i][6], $h = inout(vreg) sums[$i][7],
                        )*
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
                weights = weights.wrapping_add(2 * QUAD_BYTES);
            }
            let (tiles, _) = tile.as_chunks_mut::<2>();
            for (to, sums) in tiles.iter_mut().zip(sums) {
                let [one, other] = apart(sums);
                put(&mut to[0], one);
                put(&mut to[1], other);
            }
        }
    };
}

dense!(
    dense_6, 3,
    [0 p0 q0 x0 a0 b0 c0 d0 e0 f0 g0 h0] [1 p1 q1 x1 a1 b1 c1 d1 e1 f1 g1 h1] [2 p2 q2 x2 a2 b2 c2 d2 e2 f2 g2 h2]
);
dense!(dense_4, 2, [0 p0 q0 x0 a0 b0 c0 d0 e0 f0 g0 h0] [1 p1 q1 x1 a1 b1 c1 d1 e1 f1 g1 h1]);
dense!(dense_2, 1, [0 p0 q0 x0 a0 b0 c0 d0 e0 f0 g0 h0]);

/// See [`Isa::spin`].
#[target_feature(enable = "neon,i8mm")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (vdupq_n_s8(3), vdupq_n_s8(-5));
    let mut sums = [vdupq_n_s32(0); 16];
    for _ in 0..rounds {
        for sums in &mut sums {
            // SAFETY: an instruction of the enabled features on registers.
            unsafe {
                asm!(
                    "smmla {sums:v}.4s, {x:v}.16b, {w:v}.16b", sums = inout(vreg) *sums, w = in(vreg) w, x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    black_box(sums);
    u64::from(rounds) * 16 * 32
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for I8mm {
    shared!();

    const DENSE: [usize; 2] = [12, 1];
    const ROW: usize = 12;

    fn prepared_len(quads: usize) -> usize {
        if quads.is_multiple_of(2) { quads * QUAD_BYTES } else { 0 }
    }

    unsafe fn prepare(weights: *const u8, quads: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { prepare(weights, quads, to) }
    }

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        if !weights.prepared {
            // Of few positions, or of an odd number of quads. CPUs with these have the dot products, too, which detection
            // asked for.
            // SAFETY: the caller's.
            return unsafe { DotProd::dense(positions, weights, params, sums) };
        }
        in_sixes!(positions, weights, params, sums);
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's; see `dense`.
        unsafe { grouped::<STRIDE>(row, sums) }
    }
}
