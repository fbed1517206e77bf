//! The classifier. Inputs are int16 already; they are paired as the weights are widened.

use core::arch::asm;

use cardinal_format::weights::QUAD;

use super::super::linear::{CLASSES, Linear};
use super::Dsp;

// SAFETY: see the function.
unsafe impl Linear for Dsp {
    unsafe fn multiply_add(inputs: &[[i16; QUAD]], weights: *const u8, sums: &mut [i32; CLASSES]) {
        let [first, second, third, fourth] = sums;
        // SAFETY: the caller's, and `thumb_dsp` says that the core has the instructions. The Q flag is nobody's.
        unsafe {
            asm!(
                "2:",
                "ldr {word}, [{inputs}], #4",
                "ldr {odd}, [{inputs}], #4",
                "pkhbt {even}, {word}, {odd}, lsl #16",
                "pkhtb {odd}, {odd}, {word}, asr #16",
                "ldr {word}, [{weights}, #4]",
                "sxtb16 {half}, {word}",
                "smlad {second}, {even}, {half}, {second}",
                "sxtb16 {half}, {word}, ror #8",
                "smlad {second}, {odd}, {half}, {second}",
                "ldr {word}, [{weights}, #8]",
                "sxtb16 {half}, {word}",
                "smlad {third}, {even}, {half}, {third}",
                "sxtb16 {half}, {word}, ror #8",
                "smlad {third}, {odd}, {half}, {third}",
                "ldr {word}, [{weights}, #12]",
                "sxtb16 {half}, {word}",
                "smlad {fourth}, {even}, {half}, {fourth}",
                "sxtb16 {half}, {word}, ror #8",
                "smlad {fourth}, {odd}, {half}, {fourth}",
                "ldr {word}, [{weights}], #64",
                "sxtb16 {half}, {word}",
                "smlad {first}, {even}, {half}, {first}",
                "sxtb16 {half}, {word}, ror #8",
                "smlad {first}, {odd}, {half}, {first}",
                "subs {quads}, {quads}, #1",
                "bne 2b",
                quads = inout(reg) inputs.len() => _,
                inputs = inout(reg) inputs.as_ptr() => _,
                weights = inout(reg) weights => _,
                even = out(reg) _,
                odd = out(reg) _,
                word = out(reg) _,
                half = out(reg) _,
                first = inout(reg) *first,
                second = inout(reg) *second,
                third = inout(reg) *third,
                fourth = inout(reg) *fourth,
                options(nostack, readonly),
            );
        }
    }
}
