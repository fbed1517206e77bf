//! ARMv8.2 dot products: `sdot` of four vectors of weights by one quad of a position.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use cardinal_format::weights::QUAD_BYTES;

use super::vectors::{Block, block_at, bytes, finish, lanes, put, quad};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct DotProd;

/// Adds four dot products of four bytes: of the quads of `w` by quad `LANE` of `x`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot_quad<const LANE: i32>(mut sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: an instruction of the enabled features that reads and writes the named registers only.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Adds four dot products of four bytes: quad by quad.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: an instruction of the enabled features that reads and writes the named registers only.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Adds a quad of weights, quad `$lane` of every position's bytes. Each vector of weights serves all positions before the
/// next is read, so that few registers hold weights.
macro_rules! quad_of {
    ($sums:ident, $x:ident, $at:expr, $lane:literal, [$($position:tt)*]) => {
        quad_of!(vector $sums, $x, $at, 0, $lane, [$($position)*]);
        quad_of!(vector $sums, $x, $at, 1, $lane, [$($position)*]);
        quad_of!(vector $sums, $x, $at, 2, $lane, [$($position)*]);
        quad_of!(vector $sums, $x, $at, 3, $lane, [$($position)*]);
    };
    (vector $sums:ident, $x:ident, $at:expr, $vector:literal, $lane:literal, [$($position:tt)*]) => {
        let w = bytes($at.wrapping_add($vector * 16));
        $($sums[$position][$vector] = sdot_quad::<$lane>($sums[$position][$vector], w, $x[$position]);)*
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
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $deep(
            at: [*const u8; $count],
            quads: usize,
            mut weights: *const u8,
            mut sums: [Block; $count],
        ) -> [Block; $count] {
            let mut k = 0;
            while k + 4 <= quads {
                // SAFETY: four quads of every position and of weights.
                unsafe {
                    let x = [$(bytes(at[$position].wrapping_add(4 * k))),*];
                    quad_of!(sums, x, weights, 0, [$($position)*]);
                    quad_of!(sums, x, weights.wrapping_add(QUAD_BYTES), 1, [$($position)*]);
                    quad_of!(sums, x, weights.wrapping_add(2 * QUAD_BYTES), 2, [$($position)*]);
                    quad_of!(sums, x, weights.wrapping_add(3 * QUAD_BYTES), 3, [$($position)*]);
                }
                weights = weights.wrapping_add(4 * QUAD_BYTES);
                k += 4;
            }
            while k < quads {
                // SAFETY: one quad of every position and of weights.
                unsafe {
                    let x = [$(quad(at[$position].wrapping_add(4 * k))),*];
                    quad_of!(sums, x, weights, 0, [$($position)*]);
                }
                weights = weights.wrapping_add(QUAD_BYTES);
                k += 1;
            }
            sums
        }

        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $dense(at: &[*const u8; MOST_PIXELS], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let bias = lanes(&params[0].bias);
            // SAFETY: the caller's.
            let sums = unsafe { $deep([$(at[$position]),*], block.quads, block.first, [bias; $count]) };
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, sums));
        }

        /// # Safety
        /// As [`Isa::grouped`].
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $grouped<const STRIDE: usize>(row: &Row<'_>, tile: &mut Tile) {
            let &Row { inputs, step, quads, weights, .. } = row;
            let mut sums = [lanes(&row.params.bias); $count];
            for (y, input) in inputs.into_iter().enumerate() {
                for x in 0..3 {
                    let tap = 3 * y + x;
                    let at = [$(input.wrapping_add((STRIDE * $position + x) * step)),*];
                    let weights = weights.wrapping_add(tap * quads * QUAD_BYTES);
                    // SAFETY: nine taps of `quads` quads; the positions of all outputs' taps, with sixteen bytes where
                    // groups are narrower.
                    unsafe {
                        match quads {
                            1 => {
                                let [a, b, c, d] = block_at(row.arranged.0[tap].as_flattened().as_ptr());
                                $(
                                    let (x, to) = (bytes(at[$position]), &mut sums[$position]);
                                    *to = [sdot(to[0], a, x), sdot(to[1], b, x), sdot(to[2], c, x), sdot(to[3], d, x)];
                                )*
                            }
                            2 => {
                                // Eight channels are of the group whose bytes come first, eight of the other.
                                let x = [$(bytes(at[$position])),*];
                                let second = weights.wrapping_add(QUAD_BYTES);
                                quad_of!(vector sums, x, weights, 0, 0, [$($position)*]);
                                quad_of!(vector sums, x, weights, 1, 0, [$($position)*]);
                                quad_of!(vector sums, x, weights, 2, 2, [$($position)*]);
                                quad_of!(vector sums, x, weights, 3, 2, [$($position)*]);
                                quad_of!(vector sums, x, second, 0, 1, [$($position)*]);
                                quad_of!(vector sums, x, second, 1, 1, [$($position)*]);
                                quad_of!(vector sums, x, second, 2, 3, [$($position)*]);
                                quad_of!(vector sums, x, second, 3, 3, [$($position)*]);
                            }
                            _ => sums = $deep(at, quads, weights, sums),
                        }
                    }
                }
            }
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, sums));
        }
    };
}

tiles!(dense_6, grouped_6, deep_6, [0 1 2 3 4 5], 6);
tiles!(dense_4, grouped_4, deep_4, [0 1 2 3], 4);
tiles!(dense_2, grouped_2, deep_2, [0 1], 2);

/// See [`Isa::grouped`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
    // SAFETY: the caller's.
    unsafe {
        match row.pixels {
            ..=2 => grouped_2::<STRIDE>(row, sums),
            ..=4 => grouped_4::<STRIDE>(row, sums),
            _ => grouped_6::<STRIDE>(row, sums),
        }
    }
}

/// See [`Isa::spin`].
#[target_feature(enable = "neon,dotprod")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (black_box(vdupq_n_s8(3)), black_box(vdupq_n_s8(-5)));
    let mut sums = [vdupq_n_s32(0); 24];
    for _ in 0..rounds {
        sums = sums.map(|sums| sdot(sums, w, x));
    }
    black_box(sums);
    u64::from(rounds) * 24 * 16
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for DotProd {
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
        // SAFETY: the caller's.
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
