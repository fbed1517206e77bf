//! The classifier: blocks of sixteen classes.

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::LinearArgs;

/// Equation (8) of the quantization page.
#[inline(always)]
pub(crate) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    linear_by(args, logits, |inputs, weights, _, sums| {
        for (x, weights) in inputs.iter().zip(weights) {
            let (weights, _) = weights.as_chunks::<QUAD>();
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum += x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w as i8)).sum::<i32>();
            }
        }
    });
}

/// The classifier of any backend. `multiply_add` adds the products of quads of inputs by a block's weights, as many as there are
/// of both, to the sums of its classes, of which there are so many.
#[inline(always)]
pub(crate) fn linear_by(
    args: &LinearArgs<'_>,
    logits: &mut [f32],
    multiply_add: impl Fn(&[[i16; QUAD]], &[[u8; QUAD_BYTES]], usize, &mut [i32; BLOCK]),
) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    let (quads, rest) = args.input.as_chunks::<QUAD>();
    // The last quad's weights are zero where there is no input.
    let mut last = [0; QUAD];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let ChannelBlock { bias: mut sums, multiplier } = ChannelBlock::read(params);
        let (weights, _) = weights.as_chunks();
        multiply_add(quads, weights, logits.len(), &mut sums);
        if let (false, Some(weights)) = (rest.is_empty(), weights.get(quads.len()..)) {
            multiply_add(&[last], weights, logits.len(), &mut sums);
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}
