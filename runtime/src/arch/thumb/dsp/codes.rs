//! From sums to codes: equations (5), (6) and (6b) of the quantization page.

use core::arch::naked_asm;

use cardinal_format::weights::BLOCK;

use super::super::conv::{Added, Finish};
use super::POSITIONS;

/// Writes fewer than six positions: all six into a buffer, and from there those that are wanted.
///
/// # Safety
/// As of [`Core::finish`](super::Core::finish).
#[inline(never)]
pub(super) unsafe fn write_some(codes: Codes, finish: &Finish<'_>) {
    let mut buffer = [[0u8; BLOCK]; POSITIONS];
    let mut added = [[0i8; BLOCK]; POSITIONS];
    // SAFETY: the caller's; both buffers have six positions of all channels.
    unsafe {
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
        write(Codes { output: buffer.as_mut_ptr().cast(), stride: BLOCK, ..codes }, &whole);
        for (position, buffer) in buffer.iter().enumerate().take(finish.positions) {
            let to = codes.output.wrapping_add(position * finish.stride);
            buffer.as_ptr().copy_to_nonoverlapping(to, finish.channels);
        }
    }
}

/// What `codes_of_…` work on.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Codes {
    pub sums: *const i32,
    pub multiplier: *const f32,
    pub output: *mut u8,
    /// Bytes from one position to the next, in the output and in added codes.
    pub stride: usize,
    pub zero_point: i32,
    pub channels: usize,
    /// Codes or sums.
    pub added: *const (),
    pub added_zero_point: i32,
    pub added_multiplier: f32,
    pub added_multipliers: *const f32,
}

/// Chooses by what is added. Its own `codes` say all but that.
///
/// # Safety
/// Six positions of so many channels can be written, and read from what is added.
#[inline(always)]
pub(super) unsafe fn write(codes: Codes, added: &Added<'_>) {
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
            Added::Sums(sums, multiplier) => {
                codes_of_two_sums(&Codes { added: sums.as_ptr().cast(), added_multipliers: multiplier, ..codes })
            }
        }
    }
}

/// Adds s6 to s11, times s13, to the six products.
macro_rules! add_products {
    () => {
        concat!(
            "vmul.f32 s6, s6, s13\n",
            "vmul.f32 s7, s7, s13\n",
            "vmul.f32 s8, s8, s13\n",
            "vmul.f32 s9, s9, s13\n",
            "vmul.f32 s10, s10, s13\n",
            "vmul.f32 s11, s11, s13\n",
            "vadd.f32 s0, s0, s6\n",
            "vadd.f32 s1, s1, s7\n",
            "vadd.f32 s2, s2, s8\n",
            "vadd.f32 s3, s3, s9\n",
            "vadd.f32 s4, s4, s10\n",
            "vadd.f32 s5, s5, s11\n",
        )
    };
}

/// Of each channel: multiplies the sums of six positions, adds, rounds, saturates to int8 and writes. `vcvtr` rounds as FPSCR
/// says, which is to nearest, ties to even, unless a program has changed it.
macro_rules! codes {
    ($name:ident, [$($before:literal),*], [$($add:expr),*]) => {
        /// # Safety
        /// `codes` describes what is there; `channels` is not 0.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(codes: *const Codes) {
            naked_asm!(
                ".cpu cortex-m4",
                "push {{r4-r11, lr}}",
                "ldm r0, {{r1-r6}}",
                $($before,)*
                "2:",
                "vldmia r1!, {{s0-s5}}",
                "vldmia r2!, {{s12}}",
                "vcvt.f32.s32 s0, s0",
                "vcvt.f32.s32 s1, s1",
                "vcvt.f32.s32 s2, s2",
                "vcvt.f32.s32 s3, s3",
                "vcvt.f32.s32 s4, s4",
                "vcvt.f32.s32 s5, s5",
                "vmul.f32 s0, s0, s12",
                "vmul.f32 s1, s1, s12",
                "vmul.f32 s2, s2, s12",
                "vmul.f32 s3, s3, s12",
                "vmul.f32 s4, s4, s12",
                "vmul.f32 s5, s5, s12",
                $($add,)*
                "vcvtr.s32.f32 s0, s0",
                "vcvtr.s32.f32 s1, s1",
                "vcvtr.s32.f32 s2, s2",
                "vcvtr.s32.f32 s3, s3",
                "vcvtr.s32.f32 s4, s4",
                "vcvtr.s32.f32 s5, s5",
                "vmov r7, r8, s0, s1",
                "vmov r9, r10, s2, s3",
                "vmov r11, r12, s4, s5",
                "qadd r7, r7, r5",
                "qadd r8, r8, r5",
                "qadd r9, r9, r5",
                "qadd r10, r10, r5",
                "qadd r11, r11, r5",
                "qadd r12, r12, r5",
                "ssat r7, #8, r7",
                "ssat r8, #8, r8",
                "ssat r9, #8, r9",
                "ssat r10, #8, r10",
                "ssat r11, #8, r11",
                "ssat r12, #8, r12",
                "strb r8, [r3, r4]",
                "strb r9, [r3, r4, lsl #1]",
                "add lr, r3, r4, lsl #1",
                "strb r7, [r3], #1",
                "add lr, lr, r4",
                "strb r10, [lr]",
                "strb r11, [lr, r4]",
                "strb r12, [lr, r4, lsl #1]",
                "subs r6, r6, #1",
                "bne 2b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

codes!(codes_of_sums, [], []);
// A code less its zero point is exact in float32, in whichever order.
codes!(
    codes_of_sums_and_codes,
    ["vldr s13, [r0, #32]", "vldr s14, [r0, #28]", "vcvt.f32.s32 s14, s14", "ldr r0, [r0, #24]"],
    [
        "ldrsb r8, [r0, r4]",
        "ldrsb r9, [r0, r4, lsl #1]",
        "add lr, r0, r4, lsl #1",
        "ldrsb r7, [r0], #1",
        "add lr, lr, r4",
        "ldrsb r10, [lr]",
        "ldrsb r11, [lr, r4]",
        "ldrsb r12, [lr, r4, lsl #1]",
        "vmov s6, s7, r7, r8",
        "vmov s8, s9, r9, r10",
        "vmov s10, s11, r11, r12",
        "vcvt.f32.s32 s6, s6",
        "vcvt.f32.s32 s7, s7",
        "vcvt.f32.s32 s8, s8",
        "vcvt.f32.s32 s9, s9",
        "vcvt.f32.s32 s10, s10",
        "vcvt.f32.s32 s11, s11",
        "vsub.f32 s6, s6, s14",
        "vsub.f32 s7, s7, s14",
        "vsub.f32 s8, s8, s14",
        "vsub.f32 s9, s9, s14",
        "vsub.f32 s10, s10, s14",
        "vsub.f32 s11, s11, s14",
        add_products!()
    ]
);
// Registers are full: s14 keeps the pointer to the other multipliers.
codes!(
    codes_of_two_sums,
    ["vldr s14, [r0, #36]", "ldr r0, [r0, #24]"],
    [
        "vldmia r0!, {{s6-s11}}",
        "vmov r7, s14",
        "vldmia r7!, {{s13}}",
        "vmov s14, r7",
        "vcvt.f32.s32 s6, s6",
        "vcvt.f32.s32 s7, s7",
        "vcvt.f32.s32 s8, s8",
        "vcvt.f32.s32 s9, s9",
        "vcvt.f32.s32 s10, s10",
        "vcvt.f32.s32 s11, s11",
        add_products!()
    ]
);
