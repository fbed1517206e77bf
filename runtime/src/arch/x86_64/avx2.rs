//! AVX2, exactly. Bytes are widened to 16 bits, in pairs (0, 2) and (1, 3) of a quad, and multiplied by `vpmaddwd`; where
//! the weights show that no sum can saturate, the shorter `vpmaddubsw` is enough ([`super::prepared`]).

use core::arch::x86_64::*;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::prepared;
use super::ymm::{bytes4, bytes8, bytes16, finish, lanes, linear, put, tiles};
use crate::arch::generic::{Finish, Isa, Lanes, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Tile, Weights};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct Avx2;

/// Bytes 0 and 2, and bytes 1 and 3, of every quad.
pub(super) type Pairs = [__m256i; 2];

/// # Safety
/// 32 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn weights(at: *const u8) -> Pairs {
    // SAFETY: the caller's.
    let bytes = unsafe { _mm256_loadu_si256(at.cast()) };
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes)]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn inputs(bytes: __m256i) -> Pairs {
    [_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(bytes)]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn dot(sums: __m256i, inputs: Pairs, weights: Pairs) -> __m256i {
    let [a, b] = [_mm256_madd_epi16(inputs[0], weights[0]), _mm256_madd_epi16(inputs[1], weights[1])];
    _mm256_add_epi32(sums, _mm256_add_epi32(a, b))
}

/// The same, of which the compiler knows nothing.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque([mut a, mut b]: Pairs) -> Pairs {
    // SAFETY: does nothing.
    unsafe {
        core::arch::asm!("/* {0} {1} */", inout(ymm_reg) a, inout(ymm_reg) b, options(nomem, nostack, preserves_flags))
    };
    [a, b]
}

tiles!(Avx2, "avx2", dense: [0 1 2 3 4] 5, row: [0 1 2 3] 4);
