//! Pools, eight or sixteen channels at a time.

use core::arch::asm;

use super::super::pool::{Pool, WIDEST};
use super::Mve;

// SAFETY: see the functions.
unsafe impl Pool for Mve {
    const COLUMN: usize = WIDEST;

    fn larger(best: &mut [u8], other: &[u8]) {
        // SAFETY: predication leaves out what is beyond the shorter one.
        unsafe {
            asm!(
                "wlstp.8 lr, {len}, 3f",
                "2:",
                "vldrb.u8 q0, [{best}]",
                "vldrb.u8 q1, [{other}], #16",
                "vmax.s8 q0, q0, q1",
                "vstrb.8 q0, [{best}], #16",
                "letp lr, 2b",
                "3:",
                len = in(reg) best.len().min(other.len()),
                best = inout(reg) best.as_mut_ptr() => _,
                other = inout(reg) other.as_ptr() => _,
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack),
            );
        }
    }

    unsafe fn column(from: *const u8, next: usize, positions: usize) -> [i16; WIDEST] {
        let mut sums = [0; WIDEST];
        // SAFETY: the caller's; `sums` is a vector.
        unsafe {
            asm!(
                "vmov.i16 q0, #0",
                "dls lr, {positions}",
                "2:",
                "vldrb.s16 q1, [r0]", // Widening loads take r0 to r7.
                "vadd.i16 q0, q0, q1",
                "add r0, r0, {next}",
                "le lr, 2b",
                "vstrh.16 q0, [{sums}]",
                positions = in(reg) positions,
                inout("r0") from => _,
                next = in(reg) next,
                sums = in(reg) sums.as_mut_ptr(),
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack),
            );
        }
        sums
    }
}
