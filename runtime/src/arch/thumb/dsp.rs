//! The DSP extension: `smlad`, two products of 16 bits and their sum in one instruction.
//!
//! Inputs are widened once per tile, to pairs (k₀, k₂) and (k₁, k₃) of each quad, four positions side by side: 32 bytes that
//! meet each channel's four weights, which `sxtb16` widens in the same order.

use core::arch::{asm, naked_asm};

use cardinal_format::weights::{BLOCK, QUAD};

use super::conv::{Added, Finish, Params, Sums, Weights, conv};
use super::window::Strip;
use super::Core;
use crate::arch::all;
use crate::kernels::{Kernels, Storage};

pub(super) const KERNELS: Kernels = Kernels {
    name: "dsp",
    storage: Storage::Signed,
    conv: conv::<Dsp>,
    max_pool: all::max_pool::<{ all::SIGNED }>,
    global_avg_pool: all::global_avg_pool::<{ all::SIGNED }>,
    linear: all::linear,
    spin: None,
};

/// Cortex-M4, M7, M33.
struct Dsp;

/// Words of a quad: two pairs of four positions.
const WORDS: usize = 2 * POSITIONS;
const POSITIONS: usize = 4;
/// 64 channels of a grouped 3×3 convolution.
const QUADS: usize = 144;

/// A tile's windows, widened.
#[repr(C, align(8))]
struct Room([u32; QUADS * WORDS]);

/// What `dot` works on; it counts up in it.
#[repr(C)]
struct Work {
    windows: *const u32,
    quads: usize,
    weights: *const u8,
    sums: *mut i32,
    /// From a channel's weights behind the last quad to the next channel's.
    back: usize,
    channels: usize,
    bias: *const i32,
}

/// Of each channel: sets the sums of four positions, from a start on, adds the products, and stores them.
macro_rules! dot {
    ($name:ident, $($start:literal),+) => {
        /// # Safety
        /// `work` describes windows, weights, sums and biases that are there.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(work: *mut Work) {
            naked_asm!(
                "push {{r4-r11, lr}}",
                "ldr r2, [r0, #8]",
                "1:",
                "ldrd r1, r3, [r0]",
                $($start,)+
                "lsrs r3, r3, #1",
                "bcc 3f",
                // The odd quad.
                "ldr r8, [r2], #64",
                "ldmia r1!, {{r10-r12, lr}}",
                "sxtb16 r9, r8, ror #8",
                "sxtb16 r8, r8",
                "smlad r4, r10, r8, r4",
                "smlad r4, r11, r9, r4",
                "smlad r5, r12, r8, r5",
                "smlad r5, lr, r9, r5",
                "ldmia r1!, {{r10-r12, lr}}",
                "smlad r6, r10, r8, r6",
                "smlad r6, r11, r9, r6",
                "smlad r7, r12, r8, r7",
                "smlad r7, lr, r9, r7",
                "cbz r3, 4f",
                "3:",
                "ldr r8, [r2], #64",
                "ldmia r1!, {{r10-r12, lr}}",
                "sxtb16 r9, r8, ror #8",
                "sxtb16 r8, r8",
                "smlad r4, r10, r8, r4",
                "smlad r4, r11, r9, r4",
                "smlad r5, r12, r8, r5",
                "smlad r5, lr, r9, r5",
                "ldmia r1!, {{r10-r12, lr}}",
                "smlad r6, r10, r8, r6",
                "smlad r6, r11, r9, r6",
                "smlad r7, r12, r8, r7",
                "smlad r7, lr, r9, r7",
                "ldr r8, [r2], #64",
                "ldmia r1!, {{r10-r12, lr}}",
                "sxtb16 r9, r8, ror #8",
                "sxtb16 r8, r8",
                "smlad r4, r10, r8, r4",
                "smlad r4, r11, r9, r4",
                "smlad r5, r12, r8, r5",
                "smlad r5, lr, r9, r5",
                "ldmia r1!, {{r10-r12, lr}}",
                "smlad r6, r10, r8, r6",
                "smlad r6, r11, r9, r6",
                "smlad r7, r12, r8, r7",
                "smlad r7, lr, r9, r7",
                "subs r3, r3, #1",
                "bne 3b",
                "4:",
                "ldrd r8, r9, [r0, #12]",
                "ldr r10, [r0, #20]",
                "stmia r8!, {{r4-r7}}",
                "subs r2, r2, r9",
                "str r8, [r0, #12]",
                "subs r10, r10, #1",
                "str r10, [r0, #20]",
                "bne 1b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

dot!(dot_from_biases, "ldr r8, [r0, #24]", "ldr r4, [r8], #4", "str r8, [r0, #24]", "mov r5, r4", "mov r6, r4", "mov r7, r4");
dot!(dot_on, "ldr r8, [r0, #12]", "ldmia r8, {{r4-r7}}");

// SAFETY: the functions below keep to the trait's words; see each.
unsafe impl Core for Dsp {
    const POSITIONS: usize = POSITIONS;
    const QUADS: usize = QUADS;
    type Room = Room;
    type Reading = *const u32;

    fn room() -> Room {
        Room([0; QUADS * WORDS])
    }

    #[inline(always)]
    unsafe fn put(room: &mut Room, to: Strip, bytes: &[u8], flip: u32) {
        let mut place = room.0.as_mut_ptr().wrapping_add(to.place * WORDS + 2 * to.position);
        let (words, rest) = bytes.as_chunks::<QUAD>();
        let mut left = to.run;
        for word in words {
            // SAFETY: the caller's: this quad is one of the room's.
            unsafe { widen(u32::from_le_bytes(*word) ^ flip, place) };
            left -= 1;
            place = place.wrapping_add(WORDS);
            if left == 0 {
                place = place.wrapping_add((to.window - to.run) * WORDS);
                left = to.run;
            }
        }
        if !rest.is_empty() {
            let mut word = [0; QUAD];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            // SAFETY: the caller's: the last bytes begin a quad of the room's.
            unsafe { widen(u32::from_le_bytes(word) ^ flip, place) };
        }
    }

    fn reading(room: &Room, place: usize) -> *const u32 {
        room.0.as_ptr().wrapping_add(place * WORDS)
    }

    #[inline(always)]
    unsafe fn dot(reading: *const u32, weights: Weights, start: Option<Params>, sums: &mut Sums) {
        let bias = start.map_or(core::ptr::null(), |params| params.bias);
        let mut work = Work {
            windows: reading,
            quads: weights.quads,
            weights: weights.first,
            sums: sums.0.as_mut_ptr(),
            back: weights.quads * 64 - QUAD,
            channels: weights.channels,
            bias,
        };
        // SAFETY: the caller's: windows and weights have so many quads. There are at most sixteen channels, of which `sums`
        // has four numbers each, and the block's biases have those from `channel` on. `quads` and `channels` are not 0.
        unsafe {
            match start {
                Some(_) => dot_from_biases(&mut work),
                None => dot_on(&mut work),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: &Sums, finish: &Finish<'_>, output: *mut u8) {
        let requantize = finish.requantize;
        let codes = Codes {
            sums: sums.0.as_ptr(),
            multiplier: finish.multiplier,
            output,
            stride: finish.stride,
            zero_point: i32::from(requantize.zero_point()),
            channels: finish.channels,
            added: core::ptr::null(),
            added_zero_point: 0,
            added_multiplier: 0.0,
            added_multipliers: core::ptr::null(),
        };
        // SAFETY: the caller's: four positions of the output, or of `buffer`, have so many channels, and so do sums,
        // multipliers and what is added.
        unsafe {
            if finish.positions == POSITIONS {
                write(codes, &finish.added);
            } else {
                // Four positions are always written: here, and those that there are, into the output.
                let mut buffer = [[0u8; BLOCK]; POSITIONS];
                let from = |position: usize| output.wrapping_add(position * finish.stride);
                let mut added = [[0i8; BLOCK]; POSITIONS];
                let whole = match finish.added {
                    Added::Codes { at, zero_point, multiplier } => {
                        for (position, added) in added.iter_mut().enumerate().take(finish.positions) {
                            let at = at.wrapping_add(position * finish.stride);
                            at.copy_to_nonoverlapping(added.as_mut_ptr(), finish.channels);
                        }
                        Added::Codes { at: added.as_ptr().cast(), zero_point, multiplier }
                    }
                    Added::Sums(sums, multiplier) => Added::Sums(sums, multiplier),
                    Added::Nothing => Added::Nothing,
                };
                let codes = Codes { output: buffer.as_mut_ptr().cast(), stride: BLOCK, ..codes };
                write(codes, &whole);
                for (position, buffer) in buffer.iter().enumerate().take(finish.positions) {
                    buffer.as_ptr().copy_to_nonoverlapping(from(position), finish.channels);
                }
            }
            if requantize.q_min() != i8::MIN || requantize.q_max() != i8::MAX {
                for position in 0..finish.positions {
                    for channel in 0..finish.channels {
                        let at = output.wrapping_add(position * finish.stride + channel).cast::<i8>();
                        at.write(at.read().max(requantize.q_min()).min(requantize.q_max()));
                    }
                }
            }
        }
    }
}

/// What `codes_of_…` work on.
#[derive(Clone, Copy)]
#[repr(C)]
struct Codes {
    sums: *const i32,
    multiplier: *const f32,
    output: *mut u8,
    /// Bytes from one position to the next, in the output and in added codes.
    stride: usize,
    zero_point: i32,
    channels: usize,
    /// Codes or sums.
    added: *const (),
    added_zero_point: i32,
    added_multiplier: f32,
    added_multipliers: *const f32,
}

/// Chooses by what is added. Its own `codes` say all but that.
///
/// # Safety
/// Four positions of so many channels can be written, and read from what is added.
#[inline(always)]
unsafe fn write(codes: Codes, added: &Added<'_>) {
    // SAFETY: the caller's.
    unsafe {
        match *added {
            Added::Nothing => codes_of_sums(&codes),
            Added::Codes { at, zero_point, multiplier } => codes_of_sums_and_codes(&Codes {
                added: at.cast(),
                added_zero_point: zero_point,
                added_multiplier: multiplier,
                ..codes
            }),
            Added::Sums(sums, multiplier) => codes_of_two_sums(&Codes {
                added: sums.0.as_ptr().cast(),
                added_multipliers: multiplier,
                ..codes
            }),
        }
    }
}

/// Of each channel: multiplies the sums of four positions, adds, rounds, saturates to int8 and writes. `vcvtr` rounds as FPSCR
/// says, which is to nearest, ties to even, unless a program has changed it. Clamping after rounding gives the same code as
/// before it.
macro_rules! codes {
    ($name:ident, [$($before:literal),*], [$($add:literal),*]) => {
        /// # Safety
        /// `codes` describes what is there; `channels` is not 0.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(codes: *const Codes) {
            naked_asm!(
                ".fpu fpv4-sp-d16",
                "push {{r4-r11, lr}}",
                "ldm r0, {{r1-r6}}",
                "add r11, r4, r4, lsl #1",
                $($before,)*
                "2:",
                "vldmia r1!, {{s0-s3}}",
                "vldmia r2!, {{s8}}",
                "vcvt.f32.s32 s0, s0",
                "vcvt.f32.s32 s1, s1",
                "vcvt.f32.s32 s2, s2",
                "vcvt.f32.s32 s3, s3",
                "vmul.f32 s0, s0, s8",
                "vmul.f32 s1, s1, s8",
                "vmul.f32 s2, s2, s8",
                "vmul.f32 s3, s3, s8",
                $($add,)*
                "vcvtr.s32.f32 s0, s0",
                "vcvtr.s32.f32 s1, s1",
                "vcvtr.s32.f32 s2, s2",
                "vcvtr.s32.f32 s3, s3",
                "vmov r7, r8, s0, s1",
                "vmov r9, r10, s2, s3",
                "qadd r7, r7, r5",
                "qadd r8, r8, r5",
                "qadd r9, r9, r5",
                "qadd r10, r10, r5",
                "ssat r7, #8, r7",
                "ssat r8, #8, r8",
                "ssat r9, #8, r9",
                "ssat r10, #8, r10",
                "strb r8, [r3, r4]",
                "strb r9, [r3, r4, lsl #1]",
                "strb r10, [r3, r11]",
                "strb r7, [r3], #1",
                "subs r6, r6, #1",
                "bne 2b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

codes!(codes_of_sums, [], []);
codes!(
    codes_of_sums_and_codes,
    ["ldrd r12, lr, [r0, #24]", "vldr s9, [r0, #32]"],
    [
        "ldrsb r8, [r12, r4]",
        "ldrsb r9, [r12, r4, lsl #1]",
        "ldrsb r10, [r12, r11]",
        "ldrsb r7, [r12], #1",
        "subs r7, r7, lr",
        "subs r8, r8, lr",
        "subs r9, r9, lr",
        "subs r10, r10, lr",
        "vmov s4, s5, r7, r8",
        "vmov s6, s7, r9, r10",
        "vcvt.f32.s32 s4, s4",
        "vcvt.f32.s32 s5, s5",
        "vcvt.f32.s32 s6, s6",
        "vcvt.f32.s32 s7, s7",
        "vmul.f32 s4, s4, s9",
        "vmul.f32 s5, s5, s9",
        "vmul.f32 s6, s6, s9",
        "vmul.f32 s7, s7, s9",
        "vadd.f32 s0, s0, s4",
        "vadd.f32 s1, s1, s5",
        "vadd.f32 s2, s2, s6",
        "vadd.f32 s3, s3, s7"
    ]
);
codes!(
    codes_of_two_sums,
    ["ldr r12, [r0, #24]", "ldr lr, [r0, #36]"],
    [
        "vldmia r12!, {{s4-s7}}",
        "vldmia lr!, {{s9}}",
        "vcvt.f32.s32 s4, s4",
        "vcvt.f32.s32 s5, s5",
        "vcvt.f32.s32 s6, s6",
        "vcvt.f32.s32 s7, s7",
        "vmul.f32 s4, s4, s9",
        "vmul.f32 s5, s5, s9",
        "vmul.f32 s6, s6, s9",
        "vmul.f32 s7, s7, s9",
        "vadd.f32 s0, s0, s4",
        "vadd.f32 s1, s1, s5",
        "vadd.f32 s2, s2, s6",
        "vadd.f32 s3, s3, s7"
    ]
);

/// Writes a quad's pairs.
///
/// # Safety
/// `to` has two words.
#[inline(always)]
unsafe fn widen(quad: u32, to: *mut u32) {
    let (even, odd): (u32, u32);
    // SAFETY: pure arithmetic, and the caller's two words.
    unsafe {
        asm!("sxtb16 {0}, {1}", lateout(reg) even, in(reg) quad, options(pure, nomem, nostack, preserves_flags));
        asm!("sxtb16 {0}, {1}, ror #8", lateout(reg) odd, in(reg) quad, options(pure, nomem, nostack, preserves_flags));
        to.write(even);
        to.add(1).write(odd);
    }
}
