//! A layer divided between threads, by output positions.

use crate::kernels::{ConvArgs, Kernels};

/// Multiply-adds of a part at least: below, waking a thread takes longer than it saves.
const LEAST: usize = 1 << 20;

/// Computes all of `output` in up to `most` parts, side by side in rayon's current pool. The result does not depend on it.
pub(crate) fn conv(kernels: &Kernels, args: &ConvArgs<'_>, output: &mut [u8], most: usize) {
    let channels = args.layout.channels_out().max(1);
    let positions = output.len() / channels;
    let multiply_adds = output.len().saturating_mul(args.layout.quads() * 4);
    let parts = most.min(positions).min(multiply_adds / LEAST).max(1);
    if parts == 1 {
        return (kernels.conv)(args, output);
    }
    let of_part = positions.div_ceil(parts);
    rayon::scope(|scope| {
        for (number, part) in output.chunks_mut(of_part * channels).enumerate() {
            let args = ConvArgs { first: number * of_part, ..*args };
            scope.spawn(move |_| (kernels.conv)(&args, part));
        }
    });
}
