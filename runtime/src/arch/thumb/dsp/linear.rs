//! The classifier.

use core::arch::asm;

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::LinearArgs;

/// Channels that are computed together.
const CHANNELS: usize = 4;

/// Equation (8) of the quantization page. Inputs are int16 already; they are paired as the weights are widened.
pub(super) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    let (whole, rest) = args.input.as_chunks::<QUAD>();
    // The last quad's weights are zero where there is no input.
    let mut last = [0; QUAD];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let last: &[_] = if rest.is_empty() { &[] } else { &[last] };
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let ChannelBlock { bias: mut sums, multiplier } = ChannelBlock::read(params);
        let (mut weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for inputs in [whole, last] {
            let Some((these, others)) = weights.split_at_checked(inputs.len()) else { break };
            weights = others;
            if inputs.is_empty() {
                continue;
            }
            let (fours, _) = sums.as_chunks_mut();
            for (four, sums) in fours.iter_mut().enumerate().take(logits.len().div_ceil(CHANNELS)) {
                let first = these.as_ptr().cast::<u8>().wrapping_add(four * CHANNELS * QUAD);
                // SAFETY: of each of the block's channels, there are as many weights.
                unsafe { multiply_add(inputs, first, sums) };
            }
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}

/// Adds quads of inputs times weights to the sums of four channels.
///
/// # Safety
/// There is a quad; of as many quads, 64 bytes apart, the channels' weights can be read.
unsafe fn multiply_add(inputs: &[[i16; QUAD]], weights: *const u8, sums: &mut [i32; CHANNELS]) {
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
