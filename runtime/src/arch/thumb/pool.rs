//! Pools: the largest code of a window, and the mean over all positions.

use crate::arch::all::SIGNED;
use crate::arch::all::pool::{add_codes, global_avg_pool_by, max_pool_by};
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

/// Positions whose sum fits an int16 for sure.
const POSITIONS: usize = 256;

/// The largest code of each channel in the part of the window inside the input.
pub(super) fn max_pool<C: Pool>(args: &MaxPoolArgs<'_>, output: &mut [u8]) {
    max_pool_by(args, output, i8::MIN as u8, C::larger);
}

/// Equation (7) of the quantization page.
pub(super) fn global_avg_pool<C: Pool>(args: &GlobalAvgPoolArgs<'_>, output: &mut [i16]) {
    let [height, width, channels] =
        [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
    let positions = height * width;
    let there = args.input.len() >= positions * channels && output.len() <= channels;
    global_avg_pool_by(args, output, |first, sums| {
        for (column, sums) in sums.chunks_mut(C::COLUMN).enumerate() {
            let from = first + column * C::COLUMN;
            if !there || sums.len() < C::COLUMN {
                add_codes::<SIGNED>(args, from, sums);
                continue;
            }
            for first in (0..positions).step_by(POSITIONS) {
                let at = args.input.as_ptr().wrapping_add(first * channels + from);
                // SAFETY: these channels of these positions are in the input.
                let part = unsafe { C::column(at, channels, POSITIONS.min(positions - first)) };
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += i32::from(part));
            }
        }
    });
}
