//! Windows into the room: quads scattered to where their group's lie.

use core::arch::naked_asm;

use cardinal_format::weights::QUAD;

use super::super::window::{Origin, Strip};
use super::dot::LANES;
use super::{ROW, ROW_QUADS};

/// What [`scatter`] works on: `quads` that lie side by side, of each run, row and position.
#[repr(C)]
struct Work {
    from: *const u8,
    to: *mut u32,
    /// Bytes from where a vector goes to where the next one does.
    step: usize,
    runs: usize,
    rows: usize,
    positions: usize,
    quads: usize,
    flip: u32,
    /// Bytes to the next, in `from` and in `to`: from a run's end to the next run, from a row's end to the next row, and likewise
    /// positions.
    run: [usize; 2],
    row: [usize; 2],
    next: [usize; 2],
    /// Bytes from a vector's first quad to each.
    offsets: [usize; LANES],
}

/// See [`Core::put`](super::Core::put).
///
/// # Safety
/// As there, of a room that starts here.
pub(super) unsafe fn put(room: *mut u32, strip: &Strip, from: &Origin, flip: u32) {
    let to = room.wrapping_add(strip.first * ROW_QUADS + strip.place);
    let window = strip.window;
    // SAFETY: the caller's.
    unsafe {
        match strip.run_quads {
            1 => put_groups(
                to,
                strip,
                strip.groups,
                [0, 1, 2, 3].map(|group| group * window),
                LANES * window,
                from,
                flip,
            ),
            2 => put_groups(to, strip, strip.groups, [0, 1, window, window + 1], 2 * window, from, flip),
            LANES => put_groups(to, strip, strip.groups, [0, 1, 2, 3], window, from, flip),
            quads => {
                for group in 0..strip.groups {
                    let from = Origin { at: from.at.wrapping_add(group * quads * QUAD), ..*from };
                    put_groups(to.wrapping_add(group * window), strip, 1, [0, 1, 2, 3], LANES, &from, flip);
                }
            }
        }
    }
}

/// Writes so many neighbouring groups, whose quads go to `offsets`, the next four `step` quads behind them, and so on.
///
/// # Safety
/// As of [`put`].
#[inline(never)]
unsafe fn put_groups(
    to: *mut u32,
    strip: &Strip,
    groups: usize,
    offsets: [usize; LANES],
    step: usize,
    from: &Origin,
    flip: u32,
) {
    let quads = groups * strip.run_quads;
    let step = step * QUAD;
    // Loads and stores move on by whole vectors.
    let vectors = quads.div_ceil(LANES);
    let moved = [vectors * LANES * QUAD, vectors * step];
    // One run a row is as well one row of runs.
    let run = [from.run, strip.run_quads * QUAD];
    let row = [from.row, strip.row_quads * QUAD];
    let (runs, rows, run) = if strip.runs == 1 { (strip.rows, 1, row) } else { (strip.runs, strip.rows, run) };
    let less = |a: [usize; 2], b: [usize; 2], times: usize| {
        [a[0].wrapping_sub(b[0].wrapping_mul(times)), a[1].wrapping_sub(b[1].wrapping_mul(times))]
    };
    let work = Work {
        from: from.at,
        to,
        step,
        runs,
        rows,
        positions: strip.count,
        quads,
        flip,
        run: less(run, moved, 1),
        row: less(row, run, runs),
        next: less([from.next, ROW], row, rows),
        offsets: offsets.map(|offset| offset * QUAD),
    };
    // SAFETY: the caller's.
    unsafe { scatter(&work) };
}

/// Copies quads, four at a time, with the bits of `flip` inverted.
///
/// # Safety
/// `work` describes what can be read and written. There are positions, rows, runs and quads.
#[unsafe(naked)]
unsafe extern "C" fn scatter(work: *const Work) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vldrw.u32 q1, [r0, #56]",
        "ldmia r0!, {{r1-r6, r12}}",
        "ldr r11, [r0], #4",
        "vdup.32 q2, r11",
        "ldrd r10, r11, [r0]",
        "1:",
        "mov r8, r5",
        "2:",
        "mov r7, r4",
        "3:",
        "dlstp.32 lr, r12",
        "4:",
        "vldrb.u8 q0, [r1], #16",
        "veor q0, q0, q2",
        "vstrw.32 q0, [r2, q1]",
        "add r2, r2, r3",
        "letp lr, 4b",
        "add r1, r1, r10",
        "add r2, r2, r11",
        "subs r7, r7, #1",
        "bne 3b",
        "ldrd r7, r9, [r0, #8]",
        "add r1, r1, r7",
        "add r2, r2, r9",
        "subs r8, r8, #1",
        "bne 2b",
        "ldrd r7, r9, [r0, #16]",
        "add r1, r1, r7",
        "add r2, r2, r9",
        "subs r6, r6, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}
