//! The classifier.

use core::arch::asm;

use cardinal_format::weights::QUAD;

use super::super::linear::{CLASSES, Linear};
use super::Mve;

/// Where a channel's weights for eight inputs lie: in two quads.
static OFFSETS: [u16; 8] = [0, 1, 2, 3, 64, 65, 66, 67];

// SAFETY: see the function.
unsafe impl Linear for Mve {
    unsafe fn multiply_add(inputs: &[[i16; QUAD]], weights: *const u8, sums: &mut [i32; CLASSES]) {
        let [first, second, third, fourth] = sums;
        // SAFETY: the caller's; predication leaves out what is beyond the inputs.
        unsafe {
            asm!(
                "vldrh.u16 q4, [{offsets}]",
                "vadd.i16 q5, q4, {four}",
                "vadd.i16 q6, q5, {four}",
                "vadd.i16 q7, q6, {four}",
                "dlstp.16 lr, {len}",
                "2:",
                "vldrh.u16 q0, [{inputs}], #16",
                "vldrb.s16 q1, [{weights}, q4]",
                "vmladava.s16 r0, q0, q1",
                "vldrb.s16 q1, [{weights}, q5]",
                "vmladava.s16 r2, q0, q1",
                "vldrb.s16 q1, [{weights}, q6]",
                "vmladava.s16 r4, q0, q1",
                "vldrb.s16 q1, [{weights}, q7]",
                "vmladava.s16 r8, q0, q1",
                "add {weights}, {weights}, #128",
                "letp lr, 2b",
                offsets = in(reg) OFFSETS.as_ptr(),
                four = in(reg) QUAD,
                len = in(reg) inputs.as_flattened().len(),
                inputs = inout(reg) inputs.as_ptr() => _,
                weights = inout(reg) weights => _,
                inout("r0") *first,
                inout("r2") *second,
                inout("r4") *third,
                inout("r8") *fourth,
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _, out("d15") _,
                options(nostack),
            );
        }
    }
}
