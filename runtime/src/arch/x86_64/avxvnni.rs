//! AVX-VNNI: `vpdpbusd` on 256 bits, as small Intel boards have it.

use core::arch::x86_64::*;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::ymm::{bytes4, bytes8, bytes16, finish, lanes, linear, put, tiles, unprepared as prepared};
use crate::arch::generic::{Finish, Isa, Lanes, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct AvxVnni;

/// # Safety
/// 32 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn weights(at: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn inputs(bytes: __m256i) -> __m256i {
    bytes
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot(sums: __m256i, inputs: __m256i, weights: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sums, inputs, weights)
}

/// The same, of which the compiler knows nothing.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque(mut x: __m256i) -> __m256i {
    // SAFETY: does nothing.
    unsafe { core::arch::asm!("/* {0} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

tiles!(AvxVnni, "avx2,avxvnni", dense: [0 1 2 3 4 5] 6, row: [0 1 2 3 4 5 6] 7);
