//! 3×3 convolutions in groups of 4, 8, 16, 32 or 64 channels that have as many outputs as inputs.
//!
//! A slice of up to 64 channels at a time, the rows that one output row needs are copied, padding included, into a ring of
//! three rows that stays in the nearest cache. Each input byte is copied once.

use cardinal_format::weights::{BLOCK, QUAD};

use super::{Added, Arranged, Finish, Isa, MOST_BLOCKS, MOST_PIXELS, NO_SUMS, Params, Row, TILE, Tile, pad_bytes};
use crate::kernels::{ConvArgs, ResidualArgs};

/// Channels of a slice.
const SLICE: usize = 64;
/// Output positions of a row that are computed from one ring.
const COLUMNS: usize = 64;
/// Positions of a ring's row: what the last tile of stride 1 or (half as many outputs) of stride 2 reads.
const POSITIONS: usize = COLUMNS + 2 * MOST_PIXELS + 2;

/// Three padded rows of a slice.
#[repr(C, align(64))]
struct Ring([[u8; POSITIONS * SLICE]; 3]);

/// Whether it did the convolution.
///
/// # Safety
/// The CPU has the instruction set.
pub(super) unsafe fn conv<I: Isa>(args: &ConvArgs<'_>, output: &mut [u8]) -> bool {
    let (layout, shape) = (&args.layout, args.input_shape);
    let channels = layout.channels_out();
    let width = layout.in_per_group();
    let square = channels == shape.channels as usize && channels.is_multiple_of(BLOCK) && channels > width;
    // SAFETY of what follows rests on these.
    let known = matches!(width, 4 | 8 | 16 | 32 | 64) && channels.is_multiple_of(width);
    let long = args.input.len() >= shape.volume() && args.weights.len() >= layout.byte_len();
    let stride = args.window.stride;
    let window = args.window.kernel == [3, 3] && (stride == [1, 1] || stride == [2, 2]);
    let simple = matches!(args.residual, ResidualArgs::None) && !args.pixels;
    if !(square && known && long && window && simple && layout.quads() * QUAD == 9 * width) {
        return false;
    }
    let per_row = args.output_shape.width as usize;
    if per_row == 0 || !output.len().is_multiple_of(channels) {
        return false;
    }
    let mut ring = Ring([[0; POSITIONS * SLICE]; 3]);
    for first in (0..channels).step_by(SLICE) {
        let mut pad = [0; SLICE];
        pad.as_chunks_mut().0.fill(pad_bytes(args, I::STORAGE));
        let slice = Slice { args, first, len: SLICE.min(channels - first), pad };
        // SAFETY: the caller vouches for the CPU; the conditions above hold.
        unsafe {
            match stride {
                [1, 1] => slice.conv::<I, 1>(&mut ring, output),
                _ => slice.conv::<I, 2>(&mut ring, output),
            }
        }
    }
    true
}

/// Some channels of a convolution.
struct Slice<'a> {
    args: &'a ConvArgs<'a>,
    first: usize,
    /// 16, 32, 48 or 64.
    len: usize,
    /// A padded position.
    pad: [u8; SLICE],
}

impl Slice<'_> {
    /// Computes these channels at all positions of the part.
    ///
    /// # Safety
    /// The CPU has the instruction set, and the convolution is one that [`conv`] takes.
    unsafe fn conv<I: Isa, const STRIDE: usize>(&self, ring: &mut Ring, output: &mut [u8]) {
        let args = self.args;
        let channels = args.layout.channels_out();
        let (per_row, width) = (args.output_shape.width as usize, args.layout.in_per_group());
        let (quads, block_bytes) = (width / QUAD, args.layout.block_bytes());
        let blocks = self.len / BLOCK;
        let weights_of = |block: usize| args.weights.as_ptr().wrapping_add((self.first / BLOCK + block) * block_bytes);
        // Behind the slice's blocks is room for a whole tile's.
        let mut params = [Params::NONE; 2 * MOST_BLOCKS];
        let arranged: [Arranged; MOST_BLOCKS] = core::array::from_fn(|i| {
            let at = (self.first / BLOCK + i.min(blocks - 1)) * block_bytes;
            Arranged::new(args.weights.get(at..at + block_bytes).unwrap_or_default(), quads)
        });
        for (i, params) in params.iter_mut().enumerate().take(blocks) {
            let (block, weights) = (self.first / BLOCK + i, weights_of(i));
            // SAFETY: the caller vouches for the CPU, and for the weights of all blocks: 9 · quads quads each.
            let of = Params::of(args.channels, block, I::STORAGE, || unsafe { I::weight_sums(weights, 9 * quads) });
            *params = if quads == 1 { of.transposed() } else { of };
        }
        let (from, to) = (args.first, args.first + output.len() / channels);
        let columns = COLUMNS / STRIDE;
        let mut sums: Tile = [NO_SUMS; TILE];
        for left in (0..per_row).step_by(columns) {
            // Which input row each row of the ring holds.
            let mut rows = [usize::MAX; 3];
            for y in from / per_row..to.div_ceil(per_row) {
                let begin = left.max(from.saturating_sub(y * per_row));
                let end = (left + columns).min(per_row).min(to - y * per_row);
                if begin >= end {
                    continue;
                }
                let top = (y * STRIDE).wrapping_sub(usize::from(args.window.padding[0]));
                let needed = [0, 1, 2].map(|row| top.wrapping_add(row));
                let slots = needed.map(|row| row.wrapping_add(3) % 3);
                for (row, slot) in needed.into_iter().zip(slots) {
                    if rows[slot] != row.wrapping_add(3) {
                        self.copy::<STRIDE>(row, left, columns.min(per_row - left), &mut ring.0[slot]);
                        rows[slot] = row.wrapping_add(3);
                    }
                }
                for x in (begin..end).step_by(I::ROW) {
                    let pixels = I::ROW.min(end - x);
                    for of_tile in (0..blocks).step_by(I::DENSE[1]) {
                        let tile = I::DENSE[1].min(blocks - of_tile);
                        for block in of_tile..of_tile + tile {
                            // Of groups narrower than a block, all sixteen channels are read.
                            let group = block * BLOCK / width.max(BLOCK) * width.max(BLOCK);
                            let at = (x - left) * STRIDE * SLICE + group;
                            let row = Row {
                                inputs: slots.map(|slot| ring.0[slot].as_ptr().wrapping_add(at)),
                                step: SLICE,
                                quads,
                                weights: weights_of(block),
                                arranged: &arranged[block],
                                params: &params[block],
                                pixels,
                                block: block - of_tile,
                                blocks: tile,
                            };
                            // SAFETY: the caller vouches for the CPU and the weights. (x − left) · STRIDE < COLUMNS, and
                            // the tile reads (ROW − 1) · STRIDE + 3 ≤ 2 · MOST_PIXELS + 1 positions from there, of which
                            // the ring has that many more; a group ends inside the slice.
                            unsafe { I::grouped::<STRIDE>(&row, &mut sums) };
                        }
                        let finish = Finish {
                            params: params[of_tile..].first_chunk().unwrap_or(&[Params::NONE; MOST_BLOCKS]),
                            requantize: args.requantize,
                            added: Added::Nothing,
                            pixels,
                            blocks: tile,
                            stride: channels,
                            transposed: quads == 1,
                        };
                        let at = (y * per_row + x - from) * channels + self.first + of_tile * BLOCK;
                        // SAFETY: positions x to x + pixels of row y are in the part, and the blocks in the channels.
                        unsafe { I::finish(&sums, &finish, output.as_mut_ptr().wrapping_add(at)) };
                    }
                }
            }
        }
    }

    /// Copies what so many outputs from `left` on read of an input row, or pads it.
    fn copy<const STRIDE: usize>(&self, row: usize, left: usize, outputs: usize, to: &mut [u8; POSITIONS * SLICE]) {
        let shape = self.args.input_shape;
        let [height, width, channels] = [shape.height, shape.width, shape.channels].map(|n| n as usize);
        let start = (left * STRIDE).wrapping_sub(usize::from(self.args.window.padding[1]));
        let input = self.args.input.get(row.wrapping_mul(width).wrapping_mul(channels)..).unwrap_or_default();
        let (positions, _) = to.as_chunks_mut::<SLICE>();
        for (i, to) in positions.iter_mut().enumerate().take((outputs - 1) * STRIDE + 3) {
            let column = start.wrapping_add(i);
            if row >= height || column >= width {
                *to = self.pad;
                continue;
            }
            let from = input.get(column * channels + self.first..).unwrap_or_default();
            match from.first_chunk::<SLICE>() {
                Some(from) if self.len == SLICE => *to = *from,
                _ => to.iter_mut().zip(from).take(self.len).for_each(|(to, from)| *to = *from),
            }
        }
    }
}
