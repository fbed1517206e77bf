//! The classifier.

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::LinearArgs;

/// Equation (8) of the quantization page.
#[inline(always)]
pub(crate) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let params = ChannelBlock::read(params);
        let mut sums = params.bias;
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for (weights, input) in weights.iter().zip(args.input.chunks(QUAD)) {
            // The last quad's weights are zero where there is no input.
            let mut x = [0; QUAD];
            x.iter_mut().zip(input).for_each(|(to, from)| *to = i32::from(*from));
            let (weights, _) = weights.as_chunks::<QUAD>();
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum += x.iter().zip(w).map(|(x, &w)| x * i32::from(w as i8)).sum::<i32>();
            }
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(params.multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}
