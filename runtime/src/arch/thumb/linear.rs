//! The classifier, four classes at a time.

use cardinal_format::weights::QUAD;

use crate::arch::all::linear::linear_by;
use crate::kernels::LinearArgs;

/// Classes that are computed together.
pub(super) const CLASSES: usize = 4;

/// What the classifier needs of a core.
///
/// # Safety
/// Implementations read what the function says, and no more.
pub(super) unsafe trait Linear {
    /// Adds quads of inputs times weights to the sums of four classes.
    ///
    /// # Safety
    /// There is a quad; of as many quads, 64 bytes apart, the classes' weights can be read.
    unsafe fn multiply_add(inputs: &[[i16; QUAD]], weights: *const u8, sums: &mut [i32; CLASSES]);
}

/// Equation (8) of the quantization page.
pub(super) fn linear<C: Linear>(args: &LinearArgs<'_>, logits: &mut [f32]) {
    linear_by(args, logits, |inputs, weights, classes, sums| {
        let inputs = inputs.get(..weights.len()).unwrap_or(inputs);
        if inputs.is_empty() {
            return;
        }
        let (fours, _) = sums.as_chunks_mut();
        for (four, sums) in fours.iter_mut().enumerate().take(classes.div_ceil(CLASSES)) {
            let weights = weights.as_ptr().cast::<u8>().wrapping_add(four * CLASSES * QUAD);
            // SAFETY: of each of the block's classes, there are as many weights.
            unsafe { C::multiply_add(inputs, weights, sums) };
        }
    });
}
