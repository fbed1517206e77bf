//! Pools: the largest code of a window, and the mean over all positions.

use cardinal_format::quant::Mean;

use super::window::inside;
use crate::arch::all;
use crate::kernels::{GlobalAvgPoolArgs, MaxPoolArgs};

/// What pools need of a core.
///
/// # Safety
/// Implementations read what the functions say, and no more.
pub(super) unsafe trait Pool {
    /// Neighbouring channels that are summed together: at most [`WIDEST`].
    const COLUMN: usize;

    /// Sets each code to the larger one of two.
    fn larger(best: &mut [u8], other: &[u8]);

    /// Sums of a column's codes over at most 256 positions.
    ///
    /// # Safety
    /// There is a position. At each, `next` bytes behind the one before, `COLUMN` codes can be read.
    unsafe fn column(from: *const u8, next: usize, positions: usize) -> [i16; WIDEST];
}

pub(super) const WIDEST: usize = 8;

/// Channels whose means are rounded together; bounds the stack.
const STRIP: usize = 64;

/// Positions whose sum fits an int16 for sure.
const POSITIONS: usize = 256;

/// The largest code of each channel in the part of the window inside the input.
pub(super) fn max_pool<C: Pool>(args: &MaxPoolArgs<'_>, output: &mut [u8]) {
    let [height, width, channels] =
        [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
    let [rows, columns] = args.window.kernel.map(usize::from);
    let [down, across] = args.window.stride.map(usize::from);
    let [above, before, ..] = args.window.padding.map(usize::from);
    let row_bytes = args.output_shape.width as usize * channels;
    for (y, row) in output.chunks_exact_mut(row_bytes.max(1)).enumerate() {
        let top = (y * down).wrapping_sub(above);
        let rows = inside(top, height, rows);
        for (x, best) in row.chunks_exact_mut(channels.max(1)).enumerate() {
            let left = (x * across).wrapping_sub(before);
            best.fill(i8::MIN as u8);
            for row in rows.clone() {
                for column in inside(left, width, columns) {
                    let at = (top.wrapping_add(row) * width + left.wrapping_add(column)) * channels;
                    C::larger(best, args.input.get(at..).unwrap_or_default());
                }
            }
        }
    }
}

/// Equation (7) of the quantization page.
pub(super) fn global_avg_pool<C: Pool>(args: &GlobalAvgPoolArgs<'_>, output: &mut [i16]) {
    let [height, width, channels] =
        [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
    let positions = height * width;
    if args.input.len() < positions * channels || output.len() > channels {
        return all::global_avg_pool::<{ all::SIGNED }>(args, output);
    }
    let mean = Mean::new(args.input_shape.height * args.input_shape.width);
    let zero = positions as i32 * i32::from(args.zero_point);
    for (strip, output) in output.chunks_mut(STRIP).enumerate() {
        let mut sums = [0i32; STRIP];
        for (column, sums) in sums.chunks_mut(C::COLUMN).enumerate() {
            let from = strip * STRIP + column * C::COLUMN;
            if from + C::COLUMN > channels {
                for (channel, sum) in (from..channels).zip(sums) {
                    let codes = args.input.iter().skip(channel).step_by(channels.max(1)).take(positions);
                    *sum = codes.map(|&code| i32::from(code as i8)).sum();
                }
                break;
            }
            for first in (0..positions).step_by(POSITIONS) {
                let at = args.input.as_ptr().wrapping_add(first * channels + from);
                // SAFETY: these channels of these positions are in the input.
                let part = unsafe { C::column(at, channels, POSITIONS.min(positions - first)) };
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += i32::from(part));
            }
        }
        for (code, sum) in output.iter_mut().zip(sums) {
            *code = mean.code(sum - zero);
        }
    }
}
