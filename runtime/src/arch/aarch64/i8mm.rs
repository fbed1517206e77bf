//! ARMv8.6 matrix products: `smmla` of two positions by two channels, eight bytes of each.
//!
//! The file's quads are brought side by side by `zip`, two instructions for every eight bytes of four channels, and so are
//! two positions' bytes. That is done anew for every tile: of 6 positions it is a sixth of what is multiplied, and no copy
//! of the weights is needed.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use super::dotprod::grouped;
use super::vectors::{Block, bytes, finish, lanes, put, quad};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct I8mm;

/// Sums of two positions: pairs of channels, first the one position's two, then the other's.
type Pair = [int32x4_t; 8];

/// Adds the dot products of each of two positions by each of two channels.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn smmla(mut sums: int32x4_t, positions: int8x16_t, channels: int8x16_t) -> int32x4_t {
    // SAFETY: an instruction of the enabled features that reads and writes the named registers only.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {positions:v}.16b, {channels:v}.16b",
            sums = inout(vreg) sums,
            positions = in(vreg) positions,
            channels = in(vreg) channels,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Eight bytes of each of two positions.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn eights(a: *const u8, b: *const u8) -> int8x16_t {
    // SAFETY: the caller's.
    unsafe { vcombine_s8(vld1_s8(a.cast()), vld1_s8(b.cast())) }
}

/// Two quads of four channels, as eight bytes of each of two channels.
#[inline]
#[target_feature(enable = "neon")]
fn zipped(first: int8x16_t, second: int8x16_t) -> [int8x16_t; 2] {
    let (first, second) = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
    [vreinterpretq_s8_s32(vzip1q_s32(first, second)), vreinterpretq_s8_s32(vzip2q_s32(first, second))]
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

/// Adds two quads of four channels to all pairs of positions.
macro_rules! vector {
    ($sums:ident, $x:ident, $w:expr, $vector:literal, [$($pair:tt)*]) => {
        let [a, b] = $w;
        $(
            $sums[$pair][2 * $vector] = smmla($sums[$pair][2 * $vector], $x[$pair], a);
            $sums[$pair][2 * $vector + 1] = smmla($sums[$pair][2 * $vector + 1], $x[$pair], b);
        )*
    };
}

/// Defines the sums of so many pairs of positions.
macro_rules! dense {
    ($name:ident, [$($pair:tt)*], $count:literal) => {
        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = "neon,i8mm")]
        unsafe fn $name(at: &[*const u8; MOST_PIXELS], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let mut sums = [twice(lanes(&params[0].bias)); $count];
            let mut k = 0;
            while k + 2 <= block.quads {
                let (first, second) = (block.at(0, k), block.at(0, k + 1));
                // SAFETY: two quads of every position and of the block.
                unsafe {
                    let x = [$(eights(at[2 * $pair].wrapping_add(4 * k), at[2 * $pair + 1].wrapping_add(4 * k))),*];
                    let w = |vector: usize| zipped(bytes(first.wrapping_add(vector)), bytes(second.wrapping_add(vector)));
                    vector!(sums, x, w(0), 0, [$($pair)*]);
                    vector!(sums, x, w(16), 1, [$($pair)*]);
                    vector!(sums, x, w(32), 2, [$($pair)*]);
                    vector!(sums, x, w(48), 3, [$($pair)*]);
                }
                k += 2;
            }
            if k < block.quads {
                // The second quad is nothing.
                let (first, nothing) = (block.at(0, k), vdupq_n_s8(0));
                // SAFETY: one quad of every position and of the block.
                unsafe {
                    let one = |position: usize| quad(at[position].wrapping_add(4 * k));
                    let x = [$(vcombine_s8(vget_low_s8(one(2 * $pair)), vget_low_s8(one(2 * $pair + 1)))),*];
                    let w = |vector: usize| zipped(bytes(first.wrapping_add(vector)), nothing);
                    vector!(sums, x, w(0), 0, [$($pair)*]);
                    vector!(sums, x, w(16), 1, [$($pair)*]);
                    vector!(sums, x, w(32), 2, [$($pair)*]);
                    vector!(sums, x, w(48), 3, [$($pair)*]);
                }
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

dense!(dense_6, [0 1 2], 3);
dense!(dense_4, [0 1], 2);
dense!(dense_2, [0], 1);

/// See [`Isa::spin`].
#[target_feature(enable = "neon,i8mm")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (black_box(vdupq_n_s8(3)), black_box(vdupq_n_s8(-5)));
    let mut sums = [vdupq_n_s32(0); 24];
    for _ in 0..rounds {
        sums = sums.map(|sums| smmla(sums, x, w));
    }
    black_box(sums);
    u64::from(rounds) * 24 * 32
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for I8mm {
    const STORAGE: Storage = Storage::Signed;
    const DENSE: [usize; 2] = [6, 1];
    const ROW: usize = 6;

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        // SAFETY: the caller's; `DENSE` has one block.
        unsafe {
            match positions.count {
                ..=2 => dense_2(&positions.at, weights, params, sums),
                ..=4 => dense_4(&positions.at, weights, params, sums),
                _ => dense_6(&positions.at, weights, params, sums),
            }
        }
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's; CPUs with these have the dot products, too, which detection asked for.
        unsafe { grouped::<STRIDE>(row, sums) }
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
