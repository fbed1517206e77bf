//! The classifier.

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES};

use super::sums::accumulate;
use crate::kernels::LinearArgs;

/// Equation (8) of the quantization page.
#[inline(always)]
pub(crate) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let params = ChannelBlock::read(params);
        let mut acc = [params.bias];
        accumulate(&mut acc, [args.input], 0, weights);
        for ((to, acc), multiplier) in logits.iter_mut().zip(acc[0]).zip(params.multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}
