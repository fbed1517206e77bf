//! The classifier: blocks of sixteen classes.

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use super::Isa;
use crate::kernels::LinearArgs;

/// Equation (8) of the quantization page.
///
/// # Safety
/// The CPU has the instruction set.
pub(crate) unsafe fn linear<I: Isa>(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    let (quads, rest) = args.input.as_chunks::<QUAD>();
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let params = ChannelBlock::read(params);
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        let whole = quads.len().min(weights.len());
        let (first, last) = weights.split_at(whole);
        let mut sums = params.bias;
        // SAFETY: the caller vouches for the CPU.
        unsafe { I::linear(&quads[..whole], first, &mut sums) };
        // The last quad's weights are zero where there is no input.
        if let (false, Some(weights)) = (rest.is_empty(), last.first()) {
            let mut x = [0; QUAD];
            x.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            // SAFETY: the caller vouches for the CPU.
            unsafe { I::linear(&[x], &[*weights], &mut sums) };
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(params.multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}
