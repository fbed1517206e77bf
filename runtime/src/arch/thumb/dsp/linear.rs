//! The classifier.

use core::arch::asm;

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::LinearArgs;

/// Inputs of a classifier that are paired at a time, in quads.
const PAIRED: usize = 64;

/// Equation (8) of the quantization page. Inputs are int16 already; they are paired as the weights are widened.
pub(super) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let ChannelBlock { bias: mut sums, multiplier } = ChannelBlock::read(params);
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for (inputs, weights) in args.input.chunks(PAIRED * QUAD).zip(weights.chunks(PAIRED)) {
            let mut pairs = [[0u32; 2]; PAIRED];
            for (pairs, inputs) in pairs.iter_mut().zip(inputs.chunks(QUAD)) {
                // The last quad's weights are zero where there is no input.
                let mut x = [0; QUAD];
                x.iter_mut().zip(inputs).for_each(|(to, from)| *to = u32::from(*from as u16));
                *pairs = [x[2] << 16 | x[0], x[3] << 16 | x[1]];
            }
            // Of a shorter last block, the channels that there are.
            for (channel, sum) in sums.iter_mut().enumerate().take(logits.len()) {
                for (quad, &[even, odd]) in weights.iter().zip(&pairs) {
                    let word = u32::from_le_bytes(quad.as_chunks().0[channel]);
                    *sum = multiply_add(even, sxtb16(word), *sum);
                    *sum = multiply_add(odd, sxtb16(word.rotate_right(8)), *sum);
                }
            }
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}

/// Bytes 0 and 2, widened to halves.
#[inline(always)]
fn sxtb16(word: u32) -> u32 {
    let pair;
    // SAFETY: pure arithmetic, and `thumb_dsp` says that the core has it.
    unsafe {
        asm!("sxtb16 {0}, {1}", lateout(reg) pair, in(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    pair
}

/// A sum, plus the products of the lower and of the upper halves.
#[inline(always)]
fn multiply_add(a: u32, b: u32, sum: i32) -> i32 {
    let added;
    // SAFETY: pure arithmetic, and `thumb_dsp` says that the core has it. The Q flag, which it may set, is nobody's.
    unsafe {
        asm!("smlad {0}, {1}, {2}, {3}", lateout(reg) added, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack));
    }
    added
}
