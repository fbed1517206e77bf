//! MVE (Helium): `vmladava`, sixteen products of int8 and their sum in one instruction, into a general register.
//!
//! Three positions and two output channels at a time: a vector of each position meets a vector of each channel. 1×1
//! convolutions read the input in place. A channel's weights, four bytes of every quad, are gathered from the file's layout;
//! tail predication cuts the last vector off.

mod codes;

use core::arch::{asm, naked_asm};

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use codes::{codes_of_blocks, codes_of_sums, codes_of_sums_and_codes, codes_of_two_sums};

use super::Core;
use super::conv::{Added, Finish, Params, QUADS, Sums, Weights, conv};
use super::dsp;
use super::window::Strip;
use crate::arch::all;
use crate::kernels::{ConvArgs, Kernels, Storage};

pub(super) const KERNELS: Kernels = Kernels {
    name: "mve",
    storage: Storage::Signed,
    conv: either,
    max_pool: all::max_pool::<{ all::SIGNED }>,
    global_avg_pool: all::global_avg_pool::<{ all::SIGNED }>,
    linear: all::linear,
    spin: None,
};

/// Channels go in pairs; a group of an odd number of them, which no ResNeXt has, is left to the other kernels.
fn either(args: &ConvArgs<'_>, output: &mut [u8]) {
    let groups = args.input_shape.channels as usize / args.layout.in_per_group().max(1);
    let odd = args.layout.channels_out() / groups.max(1) % PAIR == 1;
    if groups > 1 && odd { dsp::conv(args, output) } else { conv::<Mve>(args, output) }
}

/// Cortex-M55 and its like.
struct Mve;

const POSITIONS: usize = 12;
/// Positions and channels that are computed together.
const TRIPLE: usize = 3;
const PAIR: usize = 2;
/// Quads of a vector.
const LANES: usize = 4;

/// Bytes of a position's windows in a room.
const ROW: usize = QUADS * size_of::<u32>();

/// A tile's windows, one row a position.
#[repr(C, align(16))]
struct Room([[u32; QUADS]; POSITIONS]);

/// What `dot_…` work on. They count up in it, and move the windows of the next positions to the front.
#[repr(C)]
struct Work {
    quads: usize,
    triples: usize,
    sums: *mut i32,
    end_of_sums: *const i32,
    /// A vector's bytes before the first pair's.
    weights: *const u8,
    bias: *const i32,
    /// Of a channel's weights in four quads.
    offsets: [u32; LANES],
    windows: [*const u8; POSITIONS],
}

/// Of each triple of positions and pair of channels: sets the sums, from a start on, adds the products, and stores them.
macro_rules! dot {
    ($name:ident, $($start:literal),+) => {
        /// # Safety
        /// `work` describes windows, weights, sums and biases that are there. There are quads, triples, and pairs of channels;
        /// weights and biases start at multiples of 4.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(work: *mut Work) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d11}}",
                "mov r7, r0",
                "add r0, r7, #24",
                "vldrw.u32 q5, [r0]",
                "1:", // A triple.
                "ldr r11, [r7, #8]",
                "ldrd r9, r12, [r7, #16]",
                "2:", // A pair.
                "ldr r5, [r7]",
                "vadd.i32 q4, q5, r9",
                "ldrd r1, r3, [r7, #40]",
                $($start,)+
                "dlstp.32 lr, r5",
                "ldr r5, [r7, #48]",
                "3:",
                "vldrb.u8 q0, [r1], #16",
                "vldrw.u32 q3, [q4, #256]!",
                "vmladava.s8 r0, q0, q3",
                "vldrb.u8 q1, [r3], #16",
                "vmladava.s8 r2, q1, q3",
                "vldrb.u8 q2, [r5], #16",
                "vmladava.s8 r4, q2, q3",
                "vldrw.u32 q3, [q4, #4]",
                "vmladava.s8 r6, q0, q3",
                "vmladava.s8 r8, q1, q3",
                "vmladava.s8 r10, q2, q3",
                "letp lr, 3b",
                "adds r9, r9, #8",
                "strd r2, r8, [r11, #64]",
                "strd r4, r10, [r11, #128]",
                "strd r0, r6, [r11], #8",
                "ldr r5, [r7, #12]",
                "cmp r11, r5",
                "bne 2b",
                "ldr r0, [r7, #4]",
                "subs r0, r0, #1",
                "str r0, [r7, #4]",
                "beq 4f",
                // The next triple's sums, and its windows.
                "ldr r11, [r7, #8]",
                "add r5, r5, #192",
                "add r11, r11, #192",
                "strd r11, r5, [r7, #8]",
                "add r0, r7, #52",
                "ldmia r0, {{r1-r6, r8-r10}}",
                "sub r0, r0, #12",
                "stmia r0, {{r1-r6, r8-r10}}",
                "b 1b",
                "4:",
                "vpop {{d8-d11}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

/// As `dot_from_biases`, of 32 inputs: their windows stay in registers for all channels.
///
/// # Safety
/// As there; there are 8 quads.
#[unsafe(naked)]
unsafe extern "C" fn dot_of_32(work: *mut Work, channels: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r9, r11, lr}}",
        "vpush {{d8-d15}}",
        "mov r7, r0",
        "mov r8, r1",
        "add r9, r7, #40", // The windows.
        "1:",
        "ldmia r9!, {{r1, r3, r5}}",
        "vldrb.u8 q0, [r1]",
        "vldrb.u8 q1, [r1, #16]",
        "vldrb.u8 q2, [r3]",
        "vldrb.u8 q3, [r3, #16]",
        "vldrb.u8 q4, [r5]",
        "vldrb.u8 q5, [r5, #16]",
        "ldrd r1, r12, [r7, #16]",
        "add r1, r1, #252", // A channel before the first.
        "add r0, r7, #24",
        "vldrw.u32 q7, [r0]",
        "vadd.i32 q7, q7, r1",
        "ldr r11, [r7, #8]",
        "dls lr, r8",
        "2:",
        "ldr r0, [r12], #4",
        "vldrw.u32 q6, [q7, #4]!",
        "mov r2, r0",
        "mov r4, r0",
        "vmladava.s8 r0, q0, q6",
        "vmladava.s8 r2, q2, q6",
        "vmladava.s8 r4, q4, q6",
        "vldrw.u32 q6, [q7, #256]",
        "vmladava.s8 r0, q1, q6",
        "vmladava.s8 r2, q3, q6",
        "vmladava.s8 r4, q5, q6",
        "str r2, [r11, #64]",
        "str r4, [r11, #128]",
        "str r0, [r11], #4",
        "le lr, 2b",
        "ldr r0, [r7, #8]",
        "add r0, r0, #192",
        "str r0, [r7, #8]",
        "ldr r0, [r7, #4]",
        "subs r0, r0, #1",
        "str r0, [r7, #4]",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r9, r11, pc}}",
    )
}

dot!(dot_from_biases, "ldrd r0, r6, [r12], #8", "mov r2, r0", "mov r4, r0", "mov r8, r6", "mov r10, r6");
dot!(dot_on, "ldrd r0, r6, [r11]", "ldrd r2, r8, [r11, #64]", "ldrd r4, r10, [r11, #128]");

// SAFETY: the functions below keep to the trait's words; see each.
unsafe impl Core for Mve {
    const POSITIONS: usize = POSITIONS;
    const READS_IN_PLACE: bool = true;
    type Room = Room;
    type Reading = [*const u8; POSITIONS];

    fn room() -> Room {
        Room([[0; QUADS]; POSITIONS])
    }

    unsafe fn put(room: &mut Room, to: Strip, from: *const u8, next: usize, flip: u32) {
        let place = room.0.as_mut_ptr().wrapping_add(to.first).cast::<u32>().wrapping_add(to.place);
        let window = to.window;
        // SAFETY: the caller's.
        unsafe {
            match to.run {
                1 => scatter(place, from, next, to, [0, 1, 2, 3].map(|group| group * window), LANES * window, flip),
                2 => scatter(place, from, next, to, [0, 1, window, window + 1], 2 * window, flip),
                run => {
                    for group in 0..to.groups {
                        copy(place.wrapping_add(group * window), from.wrapping_add(group * run * QUAD), next, to, flip);
                    }
                }
            }
        }
    }

    fn reading(room: &Room, place: usize) -> [*const u8; POSITIONS] {
        core::array::from_fn(|position| room.0[position].as_ptr().wrapping_add(place).cast())
    }

    fn reading_in_place(windows: &[*const u8; POSITIONS]) -> [*const u8; POSITIONS] {
        *windows
    }

    #[inline(always)]
    unsafe fn dot(
        windows: [*const u8; POSITIONS],
        weights: Weights,
        start: Option<Params>,
        positions: usize,
        sums: &mut Sums,
    ) {
        let sums = sums.0.as_mut_ptr();
        let mut work = Work {
            quads: weights.quads,
            triples: positions.div_ceil(TRIPLE),
            sums,
            end_of_sums: sums.wrapping_add(weights.channels.next_multiple_of(PAIR)),
            weights: weights.first.wrapping_sub(LANES * QUAD_BYTES),
            bias: start.map_or(core::ptr::null(), |params| params.bias),
            offsets: [0, 1, 2, 3].map(|quad| quad * QUAD_BYTES as u32),
            windows,
        };
        // SAFETY: the caller's: windows and weights have so many quads. There are one to sixteen channels, the first of an
        // even number, so a pair never leaves its block; `sums` has sixteen numbers a position.
        unsafe {
            match start {
                Some(_) if weights.quads == 8 => dot_of_32(&mut work, weights.channels),
                Some(_) => dot_from_biases(&mut work),
                None => dot_on(&mut work),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: &Sums, finish: &Finish<'_>, output: *mut u8) {
        if let (Added::Nothing, BLOCK) = (&finish.added, finish.channels) {
            // SAFETY: the caller's; there is a position.
            unsafe {
                codes_of_blocks(
                    sums,
                    finish.multiplier,
                    finish.bounds.zero_point,
                    output,
                    finish.stride,
                    finish.positions,
                );
                if !finish.bounds.are_widest() {
                    dsp::clamp(finish, output);
                }
            }
            return;
        }
        for position in 0..finish.positions {
            let row = |sums: &Sums| sums.0.as_ptr().wrapping_add(position * BLOCK);
            let (own, offset) = (row(sums), position * finish.stride);
            let output = output.wrapping_add(offset);
            // SAFETY: the caller's: a position's channels. Sums and multipliers have as many.
            unsafe {
                match finish.added {
                    Added::Nothing => codes_of_sums(own, finish, output),
                    Added::Codes { at, zero_point, multiplier } => {
                        codes_of_sums_and_codes(own, finish, output, at.wrapping_add(offset), zero_point, multiplier);
                    }
                    Added::Sums(sums, multiplier) => codes_of_two_sums(own, finish, output, row(sums), multiplier),
                }
            }
        }
    }
}

/// Copies each position's quads of all groups to places: four at these offsets, in quads, the next four `step` behind them, and
/// so on.
///
/// # Safety
/// As of [`Core::put`].
#[inline(always)]
unsafe fn scatter(
    to: *mut u32,
    from: *const u8,
    next: usize,
    strip: Strip,
    offsets: [usize; LANES],
    step: usize,
    flip: u32,
) {
    let offsets = offsets.map(|offset| offset * size_of::<u32>());
    // SAFETY: the caller's; predication leaves out what is beyond the quads of a position.
    unsafe {
        asm!(
            "vldrw.u32 q1, [{at}]",
            "vdup.32 q2, {place}",
            "2:",
            "mov {at}, {from}",
            "mov {place}, {to}",
            "dlstp.32 lr, {quads}",
            "3:",
            "vldrb.u8 q0, [{at}], #16",
            "veor q0, q0, q2",
            "vstrw.32 q0, [{place}, q1]",
            "add {place}, {place}, {step}",
            "letp lr, 3b",
            "add {from}, {from}, {next}",
            "add {to}, {to}, #{row}",
            "subs {count}, {count}, #1",
            "bne 2b",
            at = inout(reg) offsets.as_ptr() => _,
            place = inout(reg) flip => _,
            quads = in(reg) strip.groups * strip.run,
            from = inout(reg) from => _,
            next = in(reg) next,
            to = inout(reg) to => _,
            row = const ROW,
            step = in(reg) step * size_of::<u32>(),
            count = inout(reg) strip.count => _,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
            options(nostack),
        );
    }
}

/// Copies each position's quads of one group.
///
/// # Safety
/// As of [`Core::put`].
#[inline(always)]
unsafe fn copy(to: *mut u32, from: *const u8, next: usize, strip: Strip, flip: u32) {
    // SAFETY: the caller's; predication leaves out what is beyond `bytes`.
    unsafe {
        asm!(
            "vdup.32 q1, {place}",
            "2:",
            "mov {at}, {from}",
            "mov {place}, {to}",
            "dlstp.8 lr, {bytes}",
            "3:",
            "vldrb.u8 q0, [{at}], #16",
            "veor q0, q0, q1",
            "vstrb.8 q0, [{place}], #16",
            "letp lr, 3b",
            "add {from}, {from}, {next}",
            "add {to}, {to}, #{row}",
            "subs {count}, {count}, #1",
            "bne 2b",
            place = inout(reg) flip => _,
            at = out(reg) _,
            bytes = in(reg) strip.run * QUAD,
            from = inout(reg) from => _,
            next = in(reg) next,
            to = inout(reg) to => _,
            row = const ROW,
            count = inout(reg) strip.count => _,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            options(nostack),
        );
    }
}
