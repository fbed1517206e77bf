//! The products: four positions and two output channels at a time, a window's vectors one after another without a loop.

use core::arch::naked_asm;

use cardinal_format::weights::{QUAD, QUAD_BYTES};

use super::super::conv::{Params, Sums, Weights};

/// Positions and channels that are computed together.
pub(super) const POSITIONS_TOGETHER: usize = 4;
const PAIR: usize = 2;
/// Quads of a vector.
pub(super) const LANES: usize = 4;

/// Where positions' windows start.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Windows {
    pub first: *const u8,
    /// Bytes from one to the next.
    pub next: usize,
}

/// What [`of_vectors`] works on.
#[repr(C)]
struct Work {
    sums: *mut i32,
    /// Of the first position's channels.
    end_of_sums: *const i32,
    /// Of the last vector's.
    quads: usize,
    fours_of_positions: usize,
    /// [`advance`] before the first channel's.
    weights: *const u8,
    bias: *const i32,
    /// Of a channel's weights in four quads.
    offsets: [u32; LANES],
    windows: Windows,
}

/// How sums start.
const FROM_BIASES: u32 = 0;
const ON: u32 = 1;

/// Where a pair's first weights lie, seen from where the pair before ended: its loads move the pointers on by a vector each, but
/// for the first and the last one's.
const fn advance(vectors: usize) -> i32 {
    let moved = vectors.saturating_sub(2) * LANES * QUAD_BYTES;
    (PAIR * QUAD) as i32 - moved as i32
}

/// Whether the pair's first load can do that itself: by at most 508 bytes, and unless predication might suppress it.
const fn advances_in_load(vectors: usize) -> bool {
    vectors > 1 && advance(vectors) >= -508
}

/// Multiplies `windows` by weights: sets the sums of all positions and pairs of channels, from their biases or going on from
/// what they are. The windows have so many vectors; if `TAILED`, the last one has `work.quads` quads.
///
/// Even registers to lr are sums: of each position, of the first and of the second channel. r1, r3, r5 and r7 are windows, q1
/// and q2 the two channels' weights, q4 points to them. q5 to q7 are the first vectors of three positions.
///
/// # Safety
/// `work` describes windows, weights, sums and biases that are there, at multiples of 4. There are fours of positions, and pairs
/// of channels. Of windows, whole vectors can be read.
#[unsafe(naked)]
unsafe extern "C" fn of_vectors<const VECTORS: usize, const TAILED: u32, const START: u32>(work: *const Work) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r2, r3, [r0, #8]",
        "vctp.32 r2",
        ".if !{in_load}",
        "movw r4, #{advance_low}",
        "movt r4, #{advance_high}",
        "vdup.32 q3, r4",
        ".endif",
        "ldrd r11, r1, [r0]",
        "ldr r2, [r0, #40]",
        "push {{r0-r3}}", // sp: the work, the end of sums, windows, fours of positions
        "1:",
        "ldr r4, [r0, #44]",
        "mov r1, r2",
        "add r3, r1, r4",
        "add r5, r3, r4",
        "add r7, r5, r4",
        "add r4, r4, r7",
        "str r4, [sp, #8]",
        "ldrd r4, r9, [r0, #16]",
        "vldrw.u32 q4, [r0, #24]",
        "vadd.i32 q4, q4, r4",
        "vldrw.u32 q5, [r1]",
        "vldrw.u32 q6, [r3]",
        "vldrw.u32 q7, [r5]",
        "2:", // A pair.
        ".if {start}",
        "ldrd r0, r2, [r11]",
        "ldrd r4, r6, [r11, #64]",
        "ldrd r8, r10, [r11, #128]",
        "ldrd r12, lr, [r11, #192]",
        ".else",
        "ldrd r0, r2, [r9]",
        "ldrd r4, r6, [r9]",
        "ldrd r8, r10, [r9]",
        "ldrd r12, lr, [r9], #8",
        ".endif",
        ".if !{in_load}",
        "vadd.i32 q4, q4, q3",
        ".endif",
        ".set .Lvector, 0",
        ".rept {vectors}",
        ".if {tailed} && .Lvector == {vectors} - 1",
        "vpstt",
        "vldrwt.u32 q1, [q4, #{tail}]",
        "vldrwt.u32 q2, [q4, #{tail} + 4]",
        ".elseif .Lvector == 0",
        ".if {in_load}",
        "vldrw.u32 q1, [q4, #{advance}]!",
        ".else",
        "vldrw.u32 q1, [q4]",
        ".endif",
        "vldrw.u32 q2, [q4, #4]",
        ".elseif .Lvector == {vectors} - 1",
        "vldrw.u32 q1, [q4, #256]",
        "vldrw.u32 q2, [q4, #260]",
        ".else",
        "vldrw.u32 q1, [q4, #256]!",
        "vldrw.u32 q2, [q4, #4]",
        ".endif",
        ".if .Lvector == 0",
        "vmladava.s8 r0, q5, q1",
        "vmladava.s8 r2, q5, q2",
        "vmladava.s8 r4, q6, q1",
        "vmladava.s8 r6, q6, q2",
        "vmladava.s8 r8, q7, q1",
        "vmladava.s8 r10, q7, q2",
        ".else",
        "vldrw.u32 q0, [r1, #16 * .Lvector]",
        "vmladava.s8 r0, q0, q1",
        "vmladava.s8 r2, q0, q2",
        "vldrw.u32 q0, [r3, #16 * .Lvector]",
        "vmladava.s8 r4, q0, q1",
        "vmladava.s8 r6, q0, q2",
        "vldrw.u32 q0, [r5, #16 * .Lvector]",
        "vmladava.s8 r8, q0, q1",
        "vmladava.s8 r10, q0, q2",
        ".endif",
        "vldrw.u32 q0, [r7, #16 * .Lvector]",
        "vmladava.s8 r12, q0, q1",
        "vmladava.s8 lr, q0, q2",
        ".set .Lvector, .Lvector + 1",
        ".endr",
        "strd r4, r6, [r11, #64]",
        "strd r8, r10, [r11, #128]",
        "strd r12, lr, [r11, #192]",
        "strd r0, r2, [r11], #8",
        "ldr r0, [sp, #4]",
        "cmp r11, r0",
        "bne 2b",
        "ldrd r2, r3, [sp, #8]",
        "subs r3, r3, #1",
        "beq 3f",
        "str r3, [sp, #12]",
        // The next four positions' sums.
        "add r0, r0, #256",
        "str r0, [sp, #4]",
        "mov r11, r0",
        "ldr r0, [sp]",
        "ldrd r4, r6, [r0]",
        "sub r6, r6, r4",
        "sub r11, r11, r6",
        "b 1b",
        "3:",
        "add sp, sp, #16",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        vectors = const VECTORS,
        tailed = const TAILED,
        start = const START,
        tail = const if VECTORS > 1 { LANES * QUAD_BYTES } else { 0 },
        in_load = const advances_in_load(VECTORS) as u32,
        advance = const advance(VECTORS),
        advance_low = const advance(VECTORS) as u32 & 0xFFFF,
        advance_high = const advance(VECTORS) as u32 >> 16,
    )
}

/// One of the functions above.
struct Kernel {
    vectors: usize,
    advance: i32,
    run: unsafe extern "C" fn(*const Work),
}

impl Kernel {
    const fn new<const VECTORS: usize, const TAILED: u32, const START: u32>() -> Self {
        Kernel { vectors: VECTORS, advance: advance(VECTORS), run: of_vectors::<VECTORS, TAILED, START> }
    }

    /// The one that does most of so many whole vectors and of a last one with fewer quads, `tail` of them.
    fn of<const START: u32>(whole: usize, tail: usize) -> Self {
        match (whole, tail) {
            (2, 1..) => const { Kernel::new::<3, 1, START>() },
            (0, _) => const { Kernel::new::<1, 1, START>() },
            (1, _) => const { Kernel::new::<1, 0, START>() },
            (..4, _) => const { Kernel::new::<2, 0, START>() },
            (..8, _) => const { Kernel::new::<4, 0, START>() },
            _ => const { Kernel::new::<8, 0, START>() },
        }
    }
}

/// See [`Core::dot`](super::Core::dot).
///
/// # Safety
/// As there. Of each window, whole vectors can be read; the first channel has an even number in its block.
#[inline(always)]
pub(super) unsafe fn dot(windows: Windows, weights: Weights, start: Option<Params>, positions: usize, sums: &mut Sums) {
    let (mut whole, tail) = (weights.quads / LANES, weights.quads % LANES);
    let first = sums.as_mut_ptr().wrapping_add(weights.column);
    let mut kernel =
        if start.is_some() { Kernel::of::<FROM_BIASES>(whole, tail) } else { Kernel::of::<ON>(whole, tail) };
    let mut work = Work {
        sums: first,
        end_of_sums: first.wrapping_add(weights.channels.next_multiple_of(PAIR)),
        quads: tail,
        fours_of_positions: positions.div_ceil(POSITIONS_TOGETHER),
        weights: weights.first,
        bias: start.map_or(core::ptr::null(), |params| params.bias),
        offsets: [0, 1, 2, 3].map(|quad| quad * QUAD_BYTES as u32),
        windows,
    };
    loop {
        let here = work.weights;
        work.weights = here.wrapping_offset(-(kernel.advance as isize));
        // SAFETY: the caller's: windows and weights have so many quads, and `sums` sixteen numbers a position.
        unsafe { (kernel.run)(&work) };
        let quads = kernel.vectors * LANES;
        if quads >= whole * LANES + tail {
            return;
        }
        whole -= kernel.vectors;
        work.weights = here.wrapping_add(quads * QUAD_BYTES);
        work.windows.first = work.windows.first.wrapping_add(quads * QUAD);
        kernel = Kernel::of::<ON>(whole, tail);
    }
}
