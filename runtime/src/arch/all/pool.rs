//! Max-pool and global average pool.

use cardinal_format::quant::Mean;

use crate::kernels::{GlobalAvgPoolArgs, MaxPoolArgs};

/// The largest code of each channel in the part of the window inside the input.
#[inline(always)]
pub(crate) fn max_pool<const FLIP: u8>(args: &MaxPoolArgs<'_>, output: &mut [u8]) {
    max_pool_by(args, output, i8::MIN as u8 ^ FLIP, |best, bytes| {
        for (best, &byte) in best.iter_mut().zip(bytes) {
            let larger = ((*best ^ FLIP) as i8).max((byte ^ FLIP) as i8);
            *best = larger as u8 ^ FLIP;
        }
    });
}

/// The max-pool of any backend: it stores the least code as `least`, and `larger` sets each of a position's codes to the larger
/// one of two.
#[inline(always)]
pub(crate) fn max_pool_by(args: &MaxPoolArgs<'_>, output: &mut [u8], least: u8, larger: impl Fn(&mut [u8], &[u8])) {
    let (input, window) = (args.input_shape, args.window);
    let channels = (input.channels as usize).max(1);
    let width = (args.output_shape.width as usize).max(1);
    let inside = |out: usize, stride: u8, pad: u8, kernel: u8, size: u32| {
        let first = (out * usize::from(stride)).wrapping_sub(usize::from(pad));
        (0..usize::from(kernel)).map(move |k| first.wrapping_add(k)).filter(move |&i| i < size as usize)
    };
    let [kernel_h, kernel_w] = window.kernel;
    let [down, across] = window.stride;
    let [top, left, ..] = window.padding;
    for (y, row) in output.chunks_exact_mut((width * channels).max(1)).enumerate() {
        for (x, best) in row.chunks_exact_mut(channels).enumerate() {
            best.fill(least);
            for in_y in inside(y, down, top, kernel_h, input.height) {
                for in_x in inside(x, across, left, kernel_w, input.width) {
                    let at = (in_y * input.width as usize + in_x) * channels;
                    larger(best, args.input.get(at..).unwrap_or_default());
                }
            }
        }
    }
}

/// Channels summed at a time; bounds the stack.
const STRIP: usize = 64;

/// Equation (7) of the quantization page.
#[inline(always)]
pub(crate) fn global_avg_pool<const FLIP: u8>(args: &GlobalAvgPoolArgs<'_>, output: &mut [i16]) {
    global_avg_pool_by(args, output, |first, sums| add_codes::<FLIP>(args, first, sums));
}

/// The average pool of any backend: `add` adds, over all positions, the codes of neighbouring channels from the `first` on.
#[inline(always)]
pub(crate) fn global_avg_pool_by(args: &GlobalAvgPoolArgs<'_>, output: &mut [i16], add: impl Fn(usize, &mut [i32])) {
    let positions = args.input_shape.height * args.input_shape.width;
    let (mean, zero) = (Mean::new(positions), positions as i32 * i32::from(args.zero_point));
    for (strip, output) in output.chunks_mut(STRIP).enumerate() {
        let mut sums = [0i32; STRIP];
        add(strip * STRIP, sums.get_mut(..output.len()).unwrap_or_default());
        for (code, sum) in output.iter_mut().zip(sums) {
            *code = mean.code(sum - zero);
        }
    }
}

/// Adds the codes of neighbouring channels from the `first` on.
#[inline(always)]
pub(crate) fn add_codes<const FLIP: u8>(args: &GlobalAvgPoolArgs<'_>, first: usize, sums: &mut [i32]) {
    for position in args.input.chunks_exact((args.input_shape.channels as usize).max(1)) {
        for (sum, &byte) in sums.iter_mut().zip(position.iter().skip(first)) {
            *sum += i32::from((byte ^ FLIP) as i8);
        }
    }
}
