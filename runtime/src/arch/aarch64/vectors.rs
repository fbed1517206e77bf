//! What the tiles of all three instruction sets share: a block is four vectors of four channels.

use core::arch::aarch64::*;
use core::arch::asm;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use crate::arch::generic::{Added, Finish, Lanes, Sums, Tile};

/// Sums of a block.
pub(super) type Block = [int32x4_t; 4];

/// Sixteen bytes.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn bytes(at: *const u8) -> int8x16_t {
    // SAFETY: the caller's.
    unsafe { vld1q_s8(at.cast()) }
}

/// 64 bytes.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn block_at(at: *const u8) -> [int8x16_t; 4] {
    // SAFETY: the caller's.
    core::array::from_fn(|i| unsafe { bytes(at.wrapping_add(16 * i)) })
}

/// Four bytes, four times.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn quad(at: *const u8) -> int8x16_t {
    let quads;
    // SAFETY: the caller's. The intrinsic of this instruction wants an aligned pointer.
    unsafe {
        asm!("ld1r {{{0:v}.4s}}, [{1}]", out(vreg) quads, in(reg) at, options(pure, readonly, nostack, preserves_flags))
    }
    quads
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn lanes(values: &Lanes<i32>) -> Block {
    let (quarters, _) = values.0.as_chunks::<4>();
    // SAFETY: a quarter has sixteen bytes.
    core::array::from_fn(|i| unsafe { vld1q_s32(quarters[i].as_ptr()) })
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn put(to: &mut Sums, values: Block) {
    let (quarters, _) = to.0.as_chunks_mut::<4>();
    for (to, values) in quarters.iter_mut().zip(values) {
        // SAFETY: a quarter has sixteen bytes.
        unsafe { vst1q_s32(to.as_mut_ptr(), values) };
    }
}

/// Four numbers of a block's multipliers.
#[inline]
#[target_feature(enable = "neon")]
fn multipliers(values: &Lanes<f32>) -> [float32x4_t; 4] {
    let (quarters, _) = values.0.as_chunks::<4>();
    // SAFETY: a quarter has sixteen bytes.
    core::array::from_fn(|i| unsafe { vld1q_f32(quarters[i].as_ptr()) })
}

/// Numbers of 16 bits of the lanes of a block, cut to them.
#[inline]
#[target_feature(enable = "neon")]
fn narrowed(steps: [float32x4_t; 4]) -> [int16x8_t; 2] {
    let [a, b, c, d] = steps.map(|steps| vcvtnq_s32_f32(steps));
    [vqmovn_high_s32(vqmovn_s32(a), b), vqmovn_high_s32(vqmovn_s32(c), d)]
}

/// See [`Isa::finish`](crate::arch::generic::Isa::finish); of one block. Rounding and narrowing saturate, so that the bounds
/// are cut to at the end.
///
/// # Safety
/// As there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn finish(tile: &Tile, finish: &Finish<'_>, output: *mut u8) {
    debug_assert_eq!(finish.blocks, 1);
    let multiplier = multipliers(&finish.params[0].multiplier);
    match finish.added {
        // SAFETY: the caller's.
        Added::Nothing => unsafe { finish_with(tile, finish, output, multiplier, |_, steps| steps) },
        Added::Codes { at, zero_point, multiplier: scale } => {
            let zero_point = vdupq_n_s16(zero_point as i16);
            let add = |position: usize, steps: [float32x4_t; 4]| {
                // SAFETY: the caller vouches for sixteen bytes of every position.
                let codes = unsafe { bytes(at.wrapping_add(position * finish.stride)) };
                let low = vsubq_s16(vmovl_s8(vget_low_s8(codes)), zero_point);
                let high = vsubq_s16(vmovl_high_s8(codes), zero_point);
                let wide = [
                    vmovl_s16(vget_low_s16(low)),
                    vmovl_high_s16(low),
                    vmovl_s16(vget_low_s16(high)),
                    vmovl_high_s16(high),
                ];
                core::array::from_fn(|i| vaddq_f32(steps[i], vmulq_n_f32(vcvtq_f32_s32(wide[i]), scale)))
            };
            // SAFETY: the caller's.
            unsafe { finish_with(tile, finish, output, multiplier, add) }
        }
        Added::Sums { sums, params } => {
            let scale = multipliers(&params[0].multiplier);
            let add = |position: usize, steps: [float32x4_t; 4]| {
                let sums = lanes(&sums[position]);
                core::array::from_fn(|i| vaddq_f32(steps[i], vmulq_f32(vcvtq_f32_s32(sums[i]), scale[i])))
            };
            // SAFETY: the caller's.
            unsafe { finish_with(tile, finish, output, multiplier, add) }
        }
    }
}

/// [`finish()`], with what `add` adds to the steps of a position.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish_with(
    tile: &Tile,
    finish: &Finish<'_>,
    output: *mut u8,
    multiplier: [float32x4_t; 4],
    add: impl Fn(usize, [float32x4_t; 4]) -> [float32x4_t; 4],
) {
    let y = finish.requantize;
    let zero_point = vdupq_n_s16(i16::from(y.zero_point()));
    let (low, high) = (vdupq_n_s8(y.q_min()), vdupq_n_s8(y.q_max()));
    let bounded = y.q_min() > i8::MIN || y.q_max() < i8::MAX;
    const TRANSPOSED: [u8; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
    // SAFETY: the array has sixteen bytes.
    let order = unsafe { vld1q_u8(TRANSPOSED.as_ptr()) };
    for (position, sums) in tile[..finish.pixels.min(tile.len())].iter().enumerate() {
        let sums = lanes(sums);
        let steps = core::array::from_fn(|i| vmulq_f32(vcvtq_f32_s32(sums[i]), multiplier[i]));
        let [a, b] = narrowed(add(position, steps)).map(|steps| vqaddq_s16(steps, zero_point));
        let codes = vqmovn_high_s16(vqmovn_s16(a), b);
        let codes = if bounded { vminq_s8(vmaxq_s8(codes, low), high) } else { codes };
        let codes = if finish.transposed { vqtbl1q_s8(codes, order) } else { codes };
        // SAFETY: the caller vouches for sixteen bytes of every position.
        unsafe { vst1q_s8(output.wrapping_add(position * finish.stride).cast(), codes) };
    }
}

/// See [`Isa::linear`](crate::arch::generic::Isa::linear).
///
/// # Safety
/// Needs nothing but the CPU.
#[target_feature(enable = "neon")]
pub(super) unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]) {
    // Of each output, a sum for each place in a quad.
    let mut places = [vdupq_n_s32(0); BLOCK];
    for (x, weights) in inputs.iter().zip(weights) {
        // SAFETY: a quad of inputs has eight bytes, and one of weights 64.
        let (x, weights) = unsafe { (vld1_s16(x.as_ptr()), block_at(weights.as_ptr())) };
        let x = vcombine_s16(x, x);
        for (to, w) in places.as_chunks_mut::<4>().0.iter_mut().zip(weights) {
            let (low, high) = (vmovl_s8(vget_low_s8(w)), vmovl_high_s8(w));
            to[0] = vmlal_s16(to[0], vget_low_s16(low), vget_low_s16(x));
            to[1] = vmlal_high_s16(to[1], low, x);
            to[2] = vmlal_s16(to[2], vget_low_s16(high), vget_low_s16(x));
            to[3] = vmlal_high_s16(to[3], high, x);
        }
    }
    sums.iter_mut().zip(places).for_each(|(sum, places)| *sum = sum.wrapping_add(vaddvq_s32(places)));
}

/// What the three instruction sets' [`Isa`](crate::arch::generic::Isa) have in common; `spin` is their module's.
macro_rules! shared {
    () => {
        const STORAGE: Storage = Storage::Signed;

        unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]) {
            // SAFETY: the caller's.
            unsafe { linear(inputs, weights, sums) }
        }

        unsafe fn spin(rounds: u32) -> u64 {
            // SAFETY: the caller's.
            unsafe { spin(rounds) }
        }

        unsafe fn finish(sums: &Tile, tile: &Finish<'_>, output: *mut u8) {
            // SAFETY: the caller's.
            unsafe { finish(sums, tile, output) }
        }
    };
}
pub(super) use shared;

/// [`Isa::dense`](crate::arch::generic::Isa::dense) of one block, six positions at a time, by the tiles `dense_6`, `dense_4`
/// and `dense_2` in scope.
macro_rules! in_sixes {
    ($positions:ident, $weights:ident, $params:ident, $sums:ident) => {
        for first in (0..$positions.count).step_by(6) {
            let (at, sums) = (&$positions.at[first..], &mut $sums[first..]);
            // SAFETY: the caller's; `DENSE` has one block.
            unsafe {
                match $positions.count - first {
                    ..=2 => dense_2(at, $weights, $params, sums),
                    ..=4 => dense_4(at, $weights, $params, sums),
                    _ => dense_6(at, $weights, $params, sums),
                }
            }
        }
    };
}
pub(super) use in_sixes;
