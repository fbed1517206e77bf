//! ARMv8.2 dot products: `sdot` of four vectors of weights by one quad of a position.

use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::vectors::{Block, bytes, finish, in_sixes, lanes, linear, put, quad, shared};
use crate::arch::generic::{Finish, Isa, MOST_BLOCKS, Params, Positions, Row, Sums, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct DotProd;

// The repeated parts are one block of assembly each: left to itself, the compiler reads so many weights ahead that it has
// to put sums away.

/// Instructions that add the dot products of a vector of weights, by quad `$lane` of each position.
macro_rules! by_quad {
    ($w:literal, $lane:literal, [$($x:ident)*], [$($sums:ident)*]) => {
        concat!($("sdot {", stringify!($sums), ":v}.4s, {", $w, ":v}.16b, {", stringify!($x), ":v}.4b[", $lane, "]\n"),*)
    };
}

/// Instructions that do so for the four vectors of a quad of weights, `$offset` bytes from their start.
#[rustfmt::skip]
macro_rules! quad_of {
    ($offset:literal, [$a:literal, $b:literal, $c:literal, $d:literal], $x:tt, $sums0:tt, $sums1:tt, $sums2:tt, $sums3:tt) => {
        concat!(
            "ldp {w:q}, {v:q}, [{weights}, #", $offset, "]\n",
            by_quad!("w", $a, $x, $sums0),
            "ldr {w:q}, [{weights}, #", $offset, " + 32]\n",
            by_quad!("v", $b, $x, $sums1),
            "ldr {v:q}, [{weights}, #", $offset, " + 48]\n",
            by_quad!("w", $c, $x, $sums2),
            by_quad!("v", $d, $x, $sums3),
        )
    };
}

/// Instructions that add the dot products of a vector of weights, quad by quad.
macro_rules! by_group {
    ($w:literal, [$($x:ident)*], [$($sums:ident)*]) => {
        concat!($("sdot {", stringify!($sums), ":v}.4s, {", $w, ":v}.16b, {", stringify!($x), ":v}.16b\n"),*)
    };
}

/// A block of instructions on all positions' bytes and sums.
macro_rules! block {
    (
        [$($text:expr),*], $sums:ident, $weights:ident, $bytes:ident,
        $([$i:literal $x:ident $a:ident $b:ident $c:ident $d:ident])*
    ) => {
        asm!(
            $($text,)*
            weights = in(reg) $weights, w = out(vreg) _, v = out(vreg) _,
            $(
                $x = in(vreg) $bytes[$i], $a = inout(vreg) $sums[$i][0], $b = inout(vreg) $sums[$i][1],
                $c = inout(vreg) $sums[$i][2], $d = inout(vreg) $sums[$i][3],
            )*
            options(pure, readonly, nostack, preserves_flags),
        )
    };
}

/// Defines the sums of so many positions: dense ones, and neighbours of a row in groups. Of each position: its number, the
/// names of its bytes and of its four vectors of sums.
macro_rules! tiles {
    (
        $deep:ident, $dense:ident, $grouped:ident, $count:literal,
        $([$i:literal $x:ident $a:ident $b:ident $c:ident $d:ident])*
    ) => {
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
                // SAFETY: four quads of every position.
                let x: [int8x16_t; $count] = unsafe { [$(bytes(at[$i].wrapping_add(4 * k))),*] };
                // SAFETY: reads the four quads of weights; instructions of the enabled features.
                unsafe {
                    block!(
                        [
                            quad_of!(0, [0, 0, 0, 0], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*]),
                            quad_of!(64, [1, 1, 1, 1], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*]),
                            quad_of!(128, [2, 2, 2, 2], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*]),
                            quad_of!(192, [3, 3, 3, 3], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*])
                        ],
                        sums, weights, x, $([$i $x $a $b $c $d])*
                    );
                }
                weights = weights.wrapping_add(4 * QUAD_BYTES);
                k += 4;
            }
            while k < quads {
                // SAFETY: one quad of every position.
                let x: [int8x16_t; $count] = unsafe { [$(quad(at[$i].wrapping_add(4 * k))),*] };
                // SAFETY: reads the quad of weights; instructions of the enabled features.
                unsafe {
                    block!(
                        [quad_of!(0, [0, 0, 0, 0], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*])],
                        sums, weights, x, $([$i $x $a $b $c $d])*
                    );
                }
                weights = weights.wrapping_add(QUAD_BYTES);
                k += 1;
            }
            sums
        }

        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $dense(at: &[*const u8], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut [Sums]) {
            let bias = lanes(&params[0].bias);
            // SAFETY: the caller's.
            let sums = unsafe { $deep([$(at[$i]),*], block.quads, block.first, [bias; $count]) };
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, sums));
        }

        /// # Safety
        /// As [`Isa::grouped`], of outputs from `first` on.
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $grouped<const STRIDE: usize>(row: &Row<'_>, first: usize, tile: &mut [Sums]) {
            let &Row { inputs, step, quads, weights, .. } = row;
            let mut sums = [lanes(&row.params.bias); $count];
            for (y, input) in inputs.into_iter().enumerate() {
                for column in 0..3 {
                    let tap = 3 * y + column;
                    let at: [*const u8; $count] = [$(input.wrapping_add((STRIDE * (first + $i) + column) * step)),*];
                    let mut weights = weights.wrapping_add(tap * quads * QUAD_BYTES);
                    if quads > 2 {
                        // SAFETY: the tap has `quads` quads, and so have the positions.
                        sums = unsafe { $deep(at, quads, weights, sums) };
                        continue;
                    }
                    // SAFETY: where groups are narrower, sixteen bytes can be read.
                    let x: [int8x16_t; $count] = unsafe { [$(bytes(at[$i])),*] };
                    if quads == 2 {
                        // Eight channels are of the group whose bytes come first, eight of the other.
                        // SAFETY: reads the tap's two quads of weights; instructions of the enabled features.
                        unsafe {
                            block!(
                                [
                                    quad_of!(0, [0, 0, 2, 2], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*]),
                                    quad_of!(64, [1, 1, 3, 3], [$($x)*], [$($a)*], [$($b)*], [$($c)*], [$($d)*])
                                ],
                                sums, weights, x, $([$i $x $a $b $c $d])*
                            );
                        }
                    } else {
                        weights = row.arranged.0[tap].as_flattened().as_ptr();
                        // SAFETY: reads the tap's 64 arranged bytes; instructions of the enabled features.
                        unsafe {
                            block!(
                                [
                                    "ldp {w:q}, {v:q}, [{weights}]",
                                    by_group!("w", [$($x)*], [$($a)*]), by_group!("v", [$($x)*], [$($b)*]),
                                    "ldp {w:q}, {v:q}, [{weights}, #32]",
                                    by_group!("w", [$($x)*], [$($c)*]), by_group!("v", [$($x)*], [$($d)*])
                                ],
                                sums, weights, x, $([$i $x $a $b $c $d])*
                            );
                        }
                    }
                }
            }
            tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, sums));
        }
    };
}

tiles!(
    deep_6, dense_6, grouped_6, 6,
    [0 x0 a0 b0 c0 d0] [1 x1 a1 b1 c1 d1] [2 x2 a2 b2 c2 d2] [3 x3 a3 b3 c3 d3] [4 x4 a4 b4 c4 d4] [5 x5 a5 b5 c5 d5]
);
tiles!(
    deep_4, dense_4, grouped_4, 4,
    [0 x0 a0 b0 c0 d0] [1 x1 a1 b1 c1 d1] [2 x2 a2 b2 c2 d2] [3 x3 a3 b3 c3 d3]
);
tiles!(deep_2, dense_2, grouped_2, 2, [0 x0 a0 b0 c0 d0] [1 x1 a1 b1 c1 d1]);

/// See [`Isa::grouped`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
    debug_assert_eq!((row.block, row.blocks), (0, 1));
    for first in (0..row.pixels).step_by(6) {
        let sums = &mut sums[first..];
        // SAFETY: the caller's.
        unsafe {
            match row.pixels - first {
                ..=2 => grouped_2::<STRIDE>(row, first, sums),
                ..=4 => grouped_4::<STRIDE>(row, first, sums),
                _ => grouped_6::<STRIDE>(row, first, sums),
            }
        }
    }
}

/// See [`Isa::spin`].
#[target_feature(enable = "neon,dotprod")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (vdupq_n_s8(3), vdupq_n_s8(-5));
    let mut sums = [vdupq_n_s32(0); 16];
    for _ in 0..rounds {
        for sums in &mut sums {
            // SAFETY: an instruction of the enabled features on registers.
            unsafe {
                asm!(
                    "sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b", sums = inout(vreg) *sums, w = in(vreg) w, x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    black_box(sums);
    u64::from(rounds) * 16 * 16
}

// SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
unsafe impl Isa for DotProd {
    shared!();

    const DENSE: [usize; 2] = [12, 1];
    const ROW: usize = 12;

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        debug_assert_eq!(weights.blocks, Self::DENSE[1]);
        in_sixes!(positions, weights, params, sums);
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's.
        unsafe { grouped::<STRIDE>(row, sums) }
    }
}
