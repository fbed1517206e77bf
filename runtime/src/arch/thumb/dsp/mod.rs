//! The DSP extension: `smlad`, two products of 16 bits and their sum in one instruction.
//!
//! Inputs are widened once per tile, to pairs (k₀, k₂) and (k₁, k₃) of each quad, six positions side by side: 48 bytes that
//! meet each channel's four weights, which `sxtb16` widens in the same order.
//!
//! `.cpu` tells the assembler what the compiler's target says already, but does not tell it in every pass over naked functions.

mod codes;
mod linear;
mod pool;

use core::arch::naked_asm;
use core::mem::MaybeUninit;

use cardinal_format::weights::{QUAD, QUAD_BYTES};

use codes::Codes;

use super::Core;
use super::conv::{Finish, Params, QUADS, Sums, Weights, conv};
use super::linear::linear;
use super::pool::{global_avg_pool, max_pool};
use super::window::{Origin, Strip};
use crate::kernels::{Kernels, Storage};

pub(super) const KERNELS: Kernels = Kernels {
    name: "dsp",
    storage: Storage::Signed,
    conv: conv::<Dsp>,
    max_pool: max_pool::<Dsp>,
    global_avg_pool: global_avg_pool::<Dsp>,
    linear: linear::<Dsp>,
    spin: None,
};

/// Cortex-M4, M7, M33.
struct Dsp;

/// Words of a quad: two pairs of six positions.
const WORDS: usize = 2 * POSITIONS;
const POSITIONS: usize = 6;

/// A tile's windows, widened.
#[repr(C, align(8))]
struct Room(MaybeUninit<[u32; QUADS * WORDS]>);

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
    type Room = Room;
    type Reading = *const u32;

    fn room() -> Room {
        Room(MaybeUninit::uninit())
    }

    unsafe fn put(room: &mut Room, to: &Strip, from: &Origin, flip: u32) {
        let jump = (to.window - to.run_quads) * WORDS * size_of::<u32>();
        let mut position = room.0.as_mut_ptr().cast::<u32>().wrapping_add(to.place * WORDS + 2 * to.first);
        let mut at = from.at;
        for _ in 0..to.count {
            let mut row = (position, at);
            for _ in 0..to.rows {
                let mut run = row;
                for _ in 0..to.runs {
                    // SAFETY: the caller's.
                    unsafe { widen(run.0, run.1, to.run_quads, to.groups, jump, flip) };
                    run = (run.0.wrapping_add(to.run_quads * WORDS), run.1.wrapping_add(from.run));
                }
                row = (row.0.wrapping_add(to.row_quads * WORDS), row.1.wrapping_add(from.row));
            }
            position = position.wrapping_add(2);
            at = at.wrapping_add(from.next);
        }
    }

    fn reading(room: &Room, place: usize) -> *const u32 {
        room.0.as_ptr().cast::<u32>().wrapping_add(place * WORDS)
    }

    fn in_place(_first: *const u8, _next: usize, _positions: usize, _quads: usize) -> Option<*const u32> {
        None
    }

    #[inline(always)]
    unsafe fn dot(reading: *const u32, weights: Weights, start: Option<Params>, _positions: usize, sums: &mut Sums) {
        let bias = start.map_or(core::ptr::null(), |params| params.bias);
        let sums = sums.as_mut_ptr().wrapping_add(POSITIONS * weights.column);
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
            sums: sums.as_ptr(),
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
                codes::write(codes, &finish.added);
            } else {
                codes::write_some(codes, finish);
            }
            if !finish.bounds.are_widest() {
                finish.clamp(output);
            }
        }
    }
}

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
