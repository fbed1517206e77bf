//! The DSP extension: `smlad`, two products of 16 bits and their sum in one instruction.
//!
//! Inputs are widened once per tile, to pairs (k₀, k₂) and (k₁, k₃) of each quad, six positions side by side: 48 bytes that
//! meet each channel's four weights, which `sxtb16` widens in the same order.
//!
//! `.cpu` tells the assembler what the compiler's target says already, but does not tell it in every pass over naked functions.

use core::arch::{asm, naked_asm};

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use super::Core;
use super::conv::{self, Added, Finish, Params, QUADS, Sums, Weights};
use super::window::Strip;
use crate::arch::all;
use crate::kernels::{ConvArgs, Kernels, LinearArgs, Storage};

pub(super) const KERNELS: Kernels = Kernels {
    name: "dsp",
    storage: Storage::Signed,
    conv,
    max_pool: all::max_pool::<{ all::SIGNED }>,
    global_avg_pool: all::global_avg_pool::<{ all::SIGNED }>,
    linear,
    spin: None,
};

pub(super) fn conv(args: &ConvArgs<'_>, output: &mut [u8]) {
    conv::conv::<Dsp>(args, output);
}

/// Cortex-M4, M7, M33.
struct Dsp;

/// Words of a quad: two pairs of six positions.
const WORDS: usize = 2 * POSITIONS;
const POSITIONS: usize = 6;

/// A tile's windows, widened.
#[repr(C, align(8))]
struct Room([u32; QUADS * WORDS]);

/// Inputs of a classifier that are paired at a time, in quads.
const PAIRED: usize = 64;

/// Equation (8) of the quantization page. Inputs are int16 already; they are paired as the weights are widened.
pub(super) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let ChannelBlock { bias: mut sums, multiplier } = ChannelBlock::read(params);
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for (inputs, weights) in args.input.chunks(PAIRED * QUAD).zip(weights.chunks(PAIRED)) {
            let mut pairs = [[0u32; 2]; PAIRED];
            for (pairs, inputs) in pairs.iter_mut().zip(inputs.chunks(QUAD)) {
                // The last quad's weights are zero where there is no input.
                let mut x = [0; QUAD];
                x.iter_mut().zip(inputs).for_each(|(to, from)| *to = u32::from(*from as u16));
                *pairs = [x[2] << 16 | x[0], x[3] << 16 | x[1]];
            }
            // Of a shorter last block, the channels that there are.
            for (channel, sum) in sums.iter_mut().enumerate().take(logits.len()) {
                for (quad, &[even, odd]) in weights.iter().zip(&pairs) {
                    let word = u32::from_le_bytes(quad.as_chunks().0[channel]);
                    *sum = multiply_add(even, sxtb16(word), *sum);
                    *sum = multiply_add(odd, sxtb16(word.rotate_right(8)), *sum);
                }
            }
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}

/// Bytes 0 and 2, widened to halves.
#[inline(always)]
fn sxtb16(word: u32) -> u32 {
    let pair;
    // SAFETY: pure arithmetic, and `thumb_dsp` says that the core has it.
    unsafe {
        asm!("sxtb16 {0}, {1}", lateout(reg) pair, in(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    pair
}

/// A sum, plus the products of the lower and of the upper halves.
#[inline(always)]
fn multiply_add(a: u32, b: u32, sum: i32) -> i32 {
    let added;
    // SAFETY: pure arithmetic, and `thumb_dsp` says that the core has it. The Q flag, which it may set, is nobody's.
    unsafe {
        asm!("smlad {0}, {1}, {2}, {3}", lateout(reg) added, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack));
    }
    added
}

/// What `dot_…` work on; they count up in it.
#[repr(C)]
struct Work {
    windows: *const u32,
    weights: *const u8,
    /// Of the windows' quads: of as many as four go into, and of all.
    end_of_fours: *const u32,
    end_of_windows: *const u32,
    sums: *mut i32,
    /// From a channel's weights behind the last quad to the next channel's.
    back: usize,
    end_of_sums: *const i32,
    bias: *const i32,
}

/// One quad: twelve words of inputs, one of weights. r1 and r2 point to them, r3 to r8 are sums.
macro_rules! quad {
    () => {
        concat!(
            "ldr r9, [r2], #64\n",
            "ldmia r1!, {{r0, r11, r12, lr}}\n",
            "sxtb16 r10, r9, ror #8\n",
            "sxtb16 r9, r9\n",
            "smlad r3, r0, r9, r3\n",
            "smlad r3, r11, r10, r3\n",
            "smlad r4, r12, r9, r4\n",
            "smlad r4, lr, r10, r4\n",
            "ldmia r1!, {{r0, r11, r12, lr}}\n",
            "smlad r5, r0, r9, r5\n",
            "smlad r5, r11, r10, r5\n",
            "smlad r6, r12, r9, r6\n",
            "smlad r6, lr, r10, r6\n",
            "ldmia r1!, {{r0, r11, r12, lr}}\n",
            "smlad r7, r0, r9, r7\n",
            "smlad r7, r11, r10, r7\n",
            "smlad r8, r12, r9, r8\n",
            "smlad r8, lr, r10, r8\n",
        )
    };
}

/// Of each channel: sets the sums of six positions, from a start on, adds the products, and stores them.
macro_rules! dot {
    ($name:ident, $($start:literal),+) => {
        /// # Safety
        /// `work` describes windows, weights, sums and biases that are there. There are channels, and the windows' end lies
        /// behind their start by whole quads, `end_of_fours` by whole fours of them.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(work: *mut Work) {
            naked_asm!(
                ".cpu cortex-m4",
                "push {{r4-r11, lr}}",
                "ldrd r2, r3, [r0, #4]",
                "ldr r4, [r0, #12]",
                "push {{r0, r3, r4}}", // sp: the work, the end of fours, the end
                "1:",
                "ldr r0, [sp]",
                "ldr r1, [r0]",
                $($start,)+
                "ldr r9, [sp, #4]",
                "cmp r1, r9",
                "beq 4f",
                "3:",
                quad!(),
                quad!(),
                quad!(),
                quad!(),
                "ldr r9, [sp, #4]",
                "cmp r1, r9",
                "bne 3b",
                "4:",
                "ldr r9, [sp, #8]",
                "cmp r1, r9",
                "beq 6f",
                "5:",
                quad!(),
                "ldr r9, [sp, #8]",
                "cmp r1, r9",
                "bne 5b",
                "6:",
                "ldr r0, [sp]",
                "ldrd r9, r10, [r0, #16]",
                "ldr r11, [r0, #24]",
                "stmia r9!, {{r3-r8}}",
                "subs r2, r2, r10",
                "str r9, [r0, #16]",
                "cmp r9, r11",
                "bne 1b",
                "add sp, sp, #12",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

dot!(
    dot_from_biases,
    "ldr r9, [r0, #28]",
    "ldr r3, [r9], #4",
    "str r9, [r0, #28]",
    "mov r4, r3",
    "mov r5, r3",
    "mov r6, r3",
    "mov r7, r3",
    "mov r8, r3"
);
dot!(dot_on, "ldr r9, [r0, #16]", "ldmia r9, {{r3-r8}}");

// SAFETY: the functions below keep to the trait's words; see each.
unsafe impl Core for Dsp {
    const POSITIONS: usize = POSITIONS;
    const READS_IN_PLACE: bool = false;
    type Room = Room;
    type Reading = *const u32;

    fn room() -> Room {
        Room([0; QUADS * WORDS])
    }

    unsafe fn put(room: &mut Room, to: Strip, mut from: *const u8, next: usize, flip: u32) {
        let mut place = room.0.as_mut_ptr().wrapping_add(to.place * WORDS + 2 * to.first);
        let jump = (to.window - to.run) * WORDS * size_of::<u32>();
        for _ in 0..to.count {
            // SAFETY: the caller's.
            unsafe { widen(place, from, to.run, to.groups, jump, flip) };
            place = place.wrapping_add(2);
            from = from.wrapping_add(next);
        }
    }

    fn reading(room: &Room, place: usize) -> *const u32 {
        room.0.as_ptr().wrapping_add(place * WORDS)
    }

    fn reading_in_place(_windows: &[*const u8; conv::MOST_POSITIONS]) -> *const u32 {
        core::ptr::null() // Never asked for.
    }

    #[inline(always)]
    unsafe fn dot(reading: *const u32, weights: Weights, start: Option<Params>, _positions: usize, sums: &mut Sums) {
        let bias = start.map_or(core::ptr::null(), |params| params.bias);
        let sums = sums.0.as_mut_ptr();
        let mut work = Work {
            windows: reading,
            weights: weights.first,
            end_of_fours: reading.wrapping_add(weights.quads / 4 * 4 * WORDS),
            end_of_windows: reading.wrapping_add(weights.quads * WORDS),
            sums,
            back: weights.quads * QUAD_BYTES - QUAD,
            end_of_sums: sums.wrapping_add(POSITIONS * weights.channels),
            bias,
        };
        // SAFETY: the caller's: windows and weights have so many quads. There are one to sixteen channels, of which `sums`
        // has six numbers each, and the block's biases have those from `channel` on.
        unsafe {
            match start {
                Some(_) => dot_from_biases(&mut work),
                None => dot_on(&mut work),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: &Sums, finish: &Finish<'_>, output: *mut u8) {
        let codes = Codes {
            sums: sums.0.as_ptr(),
            multiplier: finish.multiplier,
            output,
            stride: finish.stride,
            zero_point: finish.bounds.zero_point,
            channels: finish.channels,
            added: core::ptr::null(),
            added_zero_point: 0,
            added_multiplier: 0.0,
            added_multipliers: core::ptr::null(),
        };
        // SAFETY: the caller's: six positions of the output, or of `buffer`, have so many channels, and so do sums,
        // multipliers and what is added.
        unsafe {
            if finish.positions == POSITIONS {
                write(codes, &finish.added);
            } else {
                write_some(codes, finish);
            }
            if !finish.bounds.are_widest() {
                clamp(finish, output);
            }
        }
    }
}

/// Writes fewer than six positions: all six into a buffer, and from there those that are wanted.
///
/// # Safety
/// As in [`Core::finish`].
#[inline(never)]
unsafe fn write_some(codes: Codes, finish: &Finish<'_>) {
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

/// Clamps codes that are there, for outputs with other bounds than int8's.
///
/// # Safety
/// As in [`Core::finish`].
#[inline(never)]
pub(super) unsafe fn clamp(finish: &Finish<'_>, output: *mut u8) {
    for position in 0..finish.positions {
        for channel in 0..finish.channels {
            let at = output.wrapping_add(position * finish.stride + channel).cast::<i8>();
            // SAFETY: the caller's.
            unsafe { at.write(i32::from(at.read()).max(finish.bounds.low).min(finish.bounds.high) as i8) };
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
/// Six positions of so many channels can be written, and read from what is added.
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
            Added::Sums(sums, multiplier) => {
                codes_of_two_sums(&Codes { added: sums.0.as_ptr().cast(), added_multipliers: multiplier, ..codes })
            }
        }
    }
}

/// Of each channel: multiplies the sums of six positions, adds, rounds, saturates to int8 and writes. `vcvtr` rounds as FPSCR
/// says, which is to nearest, ties to even, unless a program has changed it.
macro_rules! codes {
    ($name:ident, [$($before:literal),*], [$($add:literal),*]) => {
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
        "vmul.f32 s6, s6, s13",
        "vmul.f32 s7, s7, s13",
        "vmul.f32 s8, s8, s13",
        "vmul.f32 s9, s9, s13",
        "vmul.f32 s10, s10, s13",
        "vmul.f32 s11, s11, s13",
        "vadd.f32 s0, s0, s6",
        "vadd.f32 s1, s1, s7",
        "vadd.f32 s2, s2, s8",
        "vadd.f32 s3, s3, s9",
        "vadd.f32 s4, s4, s10",
        "vadd.f32 s5, s5, s11"
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
        "vmul.f32 s6, s6, s13",
        "vmul.f32 s7, s7, s13",
        "vmul.f32 s8, s8, s13",
        "vmul.f32 s9, s9, s13",
        "vmul.f32 s10, s10, s13",
        "vmul.f32 s11, s11, s13",
        "vadd.f32 s0, s0, s6",
        "vadd.f32 s1, s1, s7",
        "vadd.f32 s2, s2, s8",
        "vadd.f32 s3, s3, s9",
        "vadd.f32 s4, s4, s10",
        "vadd.f32 s5, s5, s11"
    ]
);

/// Widens `run` words of each of `groups`, with the bits of `flip` inverted, to the places of neighbouring quads; from one
/// group to the next, `jump` bytes are left out.
///
/// # Safety
/// `run` and `groups` are not 0; so many words can be read and two words of each quad written.
#[unsafe(naked)]
unsafe extern "C" fn widen(to: *mut u32, from: *const u8, run: usize, groups: usize, jump: usize, flip: u32) {
    naked_asm!(
        ".cpu cortex-m4",
        "push {{r4-r8, lr}}",
        "ldrd r4, r5, [sp, #24]",
        "1:",
        "cmp r2, #1",
        "beq 5f",
        "lsrs r8, r2, #1",
        "2:", // Two words at a time.
        "ldr r6, [r1], #4",
        "ldr lr, [r1], #4",
        "eor r6, r6, r5",
        "eor lr, lr, r5",
        "sxtb16 r7, r6, ror #8",
        "sxtb16 r6, r6",
        "strd r6, r7, [r0], #48",
        "sxtb16 r12, lr, ror #8",
        "sxtb16 lr, lr",
        "strd lr, r12, [r0], #48",
        "subs r8, r8, #1",
        "bne 2b",
        "lsls r8, r2, #31",
        "beq 4f",
        "3:", // The odd word.
        "ldr r6, [r1], #4",
        "eor r6, r6, r5",
        "sxtb16 r7, r6, ror #8",
        "sxtb16 r6, r6",
        "strd r6, r7, [r0], #48",
        "4:",
        "add r0, r0, r4",
        "subs r3, r3, #1",
        "bne 1b",
        "pop {{r4-r8, pc}}",
        "5:", // One word of each group.
        "adds r4, r4, #48",
        "6:",
        "ldr r6, [r1], #4",
        "eor r6, r6, r5",
        "sxtb16 r7, r6, ror #8",
        "sxtb16 r6, r6",
        "strd r6, r7, [r0]",
        "add r0, r0, r4",
        "subs r3, r3, #1",
        "bne 6b",
        "pop {{r4-r8, pc}}",
    )
}
