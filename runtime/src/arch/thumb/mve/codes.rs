//! From sums to codes: equations (5), (6) and (6b) of the quantization page.

use core::arch::asm;

use cardinal_format::weights::BLOCK;

use super::super::conv::{Finish, Sums};

/// Requantizes whole blocks: multiplies the sums, rounds to nearest, ties to even, saturates to int8 and writes. Sums and
/// multipliers are loaded so that a vector has every fourth channel, and narrowing twice puts them in order.
///
/// # Safety
/// There are `positions`, at least one, of sixteen sums, and as many places for sixteen bytes, `stride` apart; and sixteen
/// multipliers.
#[inline(always)]
pub(super) unsafe fn codes_of_blocks(sums: &Sums, finish: &Finish<'_>, output: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "vld40.32 {{q4, q5, q6, q7}}, [{multiplier}]",
            "vld41.32 {{q4, q5, q6, q7}}, [{multiplier}]",
            "vld42.32 {{q4, q5, q6, q7}}, [{multiplier}]",
            "vld43.32 {{q4, q5, q6, q7}}, [{multiplier}]",
            "dls lr, {positions}",
            "2:",
            "vld40.32 {{q0, q1, q2, q3}}, [{sums}]",
            "vld41.32 {{q0, q1, q2, q3}}, [{sums}]",
            "vld42.32 {{q0, q1, q2, q3}}, [{sums}]",
            "vld43.32 {{q0, q1, q2, q3}}, [{sums}]!",
            "vcvt.f32.s32 q0, q0",
            "vcvt.f32.s32 q1, q1",
            "vcvt.f32.s32 q2, q2",
            "vcvt.f32.s32 q3, q3",
            "vmul.f32 q0, q0, q4",
            "vmul.f32 q1, q1, q5",
            "vmul.f32 q2, q2, q6",
            "vmul.f32 q3, q3, q7",
            "vcvtn.s32.f32 q0, q0",
            "vcvtn.s32.f32 q1, q1",
            "vcvtn.s32.f32 q2, q2",
            "vcvtn.s32.f32 q3, q3",
            "vqmovnb.s32 q0, q0",
            "vqmovnb.s32 q1, q1",
            "vqmovnt.s32 q0, q2",
            "vqmovnt.s32 q1, q3",
            "vqadd.s16 q0, q0, {zero_point}",
            "vqadd.s16 q1, q1, {zero_point}",
            "vqmovnb.s16 q0, q0",
            "vqmovnt.s16 q0, q1",
            "vstrb.8 q0, [{output}]",
            "add {output}, {output}, {stride}",
            "le lr, 2b",
            multiplier = in(reg) finish.multiplier,
            sums = inout(reg) sums.as_ptr() => _,
            zero_point = in(reg) finish.bounds.zero_point,
            output = inout(reg) output => _,
            stride = in(reg) finish.stride,
            positions = in(reg) finish.positions,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _, out("d15") _,
            options(nostack),
        );
    }
}

/// Where the bytes of two narrowed pairs of vectors belong.
static ORDER: [u8; BLOCK] = [0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15];

/// Requantizes whole blocks to which something is added, four channels a vector.
macro_rules! added_to_blocks {
    ($name:ident($($argument:ident: $type:ty),*), [$($add:literal),*], $($operand:tt)*) => {
        /// # Safety
        /// As of [`codes_of_blocks`]; what is added has as many numbers.
        #[inline(always)]
        pub(super) unsafe fn $name(sums: &Sums, finish: &Finish<'_>, output: *mut u8, $($argument: $type),*) {
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    "vldrb.u8 q7, [{order}]",
                    "dls lr, {positions}",
                    "2:",
                    ".irp vector, 0, 1, 2, 3",
                    "vldrw.u32 q\\vector, [{sums}], #16",
                    "vldrw.u32 q4, [{multiplier}, #16 * \\vector]",
                    "vcvt.f32.s32 q\\vector, q\\vector",
                    "vmul.f32 q\\vector, q\\vector, q4",
                    $($add,)*
                    "vadd.f32 q\\vector, q\\vector, q4",
                    "vcvtn.s32.f32 q\\vector, q\\vector",
                    ".endr",
                    "vqmovnb.s32 q0, q0",
                    "vqmovnt.s32 q0, q1",
                    "vqmovnb.s32 q2, q2",
                    "vqmovnt.s32 q2, q3",
                    "vqadd.s16 q0, q0, {zero_point}",
                    "vqadd.s16 q2, q2, {zero_point}",
                    "vqmovnb.s16 q0, q0",
                    "vqmovnt.s16 q0, q2",
                    "vstrb.8 q0, [{output}, q7]",
                    "add {output}, {output}, {stride}",
                    "le lr, 2b",
                    order = in(reg) ORDER.as_ptr(),
                    positions = in(reg) finish.positions,
                    sums = inout(reg) sums.as_ptr() => _,
                    multiplier = in(reg) finish.multiplier,
                    zero_point = in(reg) finish.bounds.zero_point,
                    output = inout(reg) output => _,
                    stride = in(reg) finish.stride,
                    $($operand)*
                    out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                    out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d14") _, out("d15") _,
                    options(nostack),
                );
            }
        }
    };
}

added_to_blocks!(
    codes_of_blocks_and_codes(added: *const i8, zero: i32, factor: f32),
    ["vldrb.s32 q4, [r1, #4 * \\vector]", "vsub.i32 q4, q4, {zero}", "vcvt.f32.s32 q4, q4", "vmul.f32 q4, q4, {factor}",
     ".ifeq \\vector - 3", "add r1, r1, {stride}", ".endif"],
    inout("r1") added => _, // Widening loads take r0 to r7.
    zero = in(reg) zero,
    factor = in(reg) factor.to_bits(),
);
added_to_blocks!(
    codes_of_two_blocks(added: &Sums, factors: *const f32),
    ["vldrw.u32 q4, [{added}], #16", "vldrw.u32 q5, [{factors}, #16 * \\vector]", "vcvt.f32.s32 q4, q4", "vmul.f32 q4, q4, q5"],
    added = inout(reg) added.as_ptr() => _,
    factors = in(reg) factors,
);

/// Requantizes a part of a block at one position, four channels at a time: multiplies the sums, adds, rounds to nearest, ties to even, clamps and
/// writes. Each is one function with a variation in its middle.
macro_rules! codes {
    ($name:ident($($argument:ident: $type:ty),*), [$($add:literal),*], $($operand:tt)*) => {
        /// # Safety
        /// Sums, multipliers and what is added have `finish.channels` numbers, and as many bytes can be written.
        #[inline(always)]
        pub(super) unsafe fn $name(sums: *const i32, finish: &Finish<'_>, output: *mut u8, $($argument: $type),*) {
            // SAFETY: the caller's; predication leaves out what is beyond `channels`.
            unsafe {
                asm!(
                    "vdup.32 q2, {low}",
                    "vdup.32 q3, {high}",
                    "wlstp.32 lr, {channels}, 3f",
                    "2:",
                    "vldrw.u32 q0, [{sums}], #16",
                    "vldrw.u32 q1, [{multiplier}], #16",
                    "vcvt.f32.s32 q0, q0",
                    "vmul.f32 q0, q0, q1",
                    $($add,)*
                    "vcvtn.s32.f32 q0, q0",
                    "vqadd.s32 q0, q0, {zero_point}",
                    "vmax.s32 q0, q0, q2",
                    "vmin.s32 q0, q0, q3",
                    "vstrb.32 q0, [r0], #4",
                    "letp lr, 2b",
                    "3:",
                    low = in(reg) finish.bounds.low,
                    high = in(reg) finish.bounds.high,
                    channels = in(reg) finish.channels,
                    sums = inout(reg) sums => _,
                    multiplier = inout(reg) finish.multiplier => _,
                    zero_point = in(reg) finish.bounds.zero_point,
                    inout("r0") output => _, // Narrowing stores and widening loads take r0 to r7.
                    $($operand)*
                    out("lr") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                    options(nostack),
                );
            }
        }
    };
}

codes!(codes_of_sums(), [],);
codes!(
    codes_of_sums_and_codes(added: *const i8, zero: i32, factor: f32),
    ["vldrb.s32 q1, [r1], #4", "vsub.i32 q1, q1, {zero}", "vcvt.f32.s32 q1, q1", "vmul.f32 q1, q1, {factor}", "vadd.f32 q0, q0, q1"],
    inout("r1") added => _,
    zero = in(reg) zero,
    factor = in(reg) factor.to_bits(),
);
codes!(
    codes_of_two_sums(added: *const i32, factors: *const f32),
    ["vldrw.u32 q1, [{added}], #16", "vldrw.u32 q4, [{factors}], #16", "vcvt.f32.s32 q1, q1", "vmul.f32 q1, q1, q4", "vadd.f32 q0, q0, q1"],
    added = inout(reg) added => _,
    factors = inout(reg) factors => _,
    out("d8") _, out("d9") _,
);
