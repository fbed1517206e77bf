//! The classifier.

use super::Isa;
use crate::arch::all::linear::linear_by;
use crate::kernels::LinearArgs;

/// Equation (8) of the quantization page.
///
/// # Safety
/// The CPU has the instruction set.
pub(crate) unsafe fn linear<I: Isa>(args: &LinearArgs<'_>, logits: &mut [f32]) {
    linear_by(args, logits, |inputs, weights, _, sums| {
        // SAFETY: the caller vouches for the CPU.
        unsafe { I::linear(inputs, weights, sums) };
    });
}
