//! The classifier.

use core::arch::asm;

use cardinal_format::ChannelBlock;
use cardinal_format::quant::logit;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::LinearArgs;

/// Channels that are computed together.
const CHANNELS: usize = 4;

/// Where a channel's weights for eight inputs lie: in two quads.
static OFFSETS: [u16; 8] = [0, 1, 2, 3, 64, 65, 66, 67];

/// Equation (8) of the quantization page.
pub(super) fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for ((logits, weights), params) in logits.chunks_mut(BLOCK).zip(blocks).zip(params) {
        let ChannelBlock { bias: mut sums, multiplier } = ChannelBlock::read(params);
        let input = args.input.get(..weights.len() / QUAD_BYTES * QUAD).unwrap_or(args.input);
        let (fours, _) = sums.as_chunks_mut();
        for (four, sums) in fours.iter_mut().enumerate().take(logits.len().div_ceil(CHANNELS)) {
            let weights = weights.as_ptr().wrapping_add(four * CHANNELS * QUAD);
            // SAFETY: of each channel of the block, there are as many weights as inputs, in whole quads.
            unsafe { multiply_add(input, weights, sums) };
        }
        for ((to, acc), multiplier) in logits.iter_mut().zip(sums).zip(multiplier) {
            *to = logit(acc, multiplier);
        }
    }
}

/// Adds inputs times weights to the sums of four channels.
///
/// # Safety
/// Of quads for all inputs, 64 bytes apart, the channels' weights can be read.
unsafe fn multiply_add(input: &[i16], weights: *const u8, sums: &mut [i32; CHANNELS]) {
    let [first, second, third, fourth] = sums;
    // SAFETY: the caller's; predication leaves out what is beyond the inputs.
    unsafe {
        asm!(
            "vldrh.u16 q4, [{offsets}]",
            "vadd.i16 q5, q4, {four}",
            "vadd.i16 q6, q5, {four}",
            "vadd.i16 q7, q6, {four}",
            "wlstp.16 lr, {inputs}, 3f",
            "2:",
            "vldrh.u16 q0, [{input}], #16",
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
            "3:",
            offsets = in(reg) OFFSETS.as_ptr(),
            four = in(reg) QUAD,
            inputs = in(reg) input.len(),
            input = inout(reg) input.as_ptr() => _,
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
