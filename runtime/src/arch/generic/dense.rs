//! Convolutions in one group: every output reads all inputs of its window.

use cardinal_format::weights::{BLOCK, QUAD};

use super::{Added, Finish, Isa, MOST_BLOCKS, MOST_PIXELS, NO_SUMS, Params, Tile, pad_bytes};
use crate::kernels::{ConvArgs, ProjectionArgs, ResidualArgs};

/// The longest gathered window, in bytes: 8 KiB of stack for a tile.
const WINDOW: usize = 512;

/// A matrix product: what each position reads, and the weights.
struct Product<'a> {
    input: &'a [u8],
    /// Extent of the input.
    width: usize,
    channels: usize,
    stride: [usize; 2],
    /// Quads that one output reads.
    quads: usize,
    weights: &'a [u8],
    params: &'a [u8],
}

impl<'a> Product<'a> {
    /// A 1×1 convolution whose positions are read in place, if the slices are as long as they have to be.
    fn in_place(args: &ProjectionArgs<'a>, [height, width]: [usize; 2]) -> Option<Self> {
        let [down, across] = args.stride.map(usize::from);
        let shape = args.input_shape;
        let channels = shape.channels as usize;
        let inside = (height - 1) * down < shape.height as usize && (width - 1) * across < shape.width as usize;
        let whole = channels.is_multiple_of(QUAD) && args.layout.quads() * QUAD == channels;
        let stride = [down, across];
        let (quads, width) = (args.layout.quads(), shape.width as usize);
        let long = args.input.len() >= shape.volume();
        let product =
            Product { input: args.input, width, channels, stride, quads, weights: args.weights, params: args.channels };
        (inside && whole && long).then_some(product)
    }

    /// First byte of what an output position reads.
    fn at(&self, [y, x]: [usize; 2]) -> usize {
        ((y * self.stride[0]) * self.width + x * self.stride[1]) * self.channels
    }

    /// Params of a tile's blocks.
    ///
    /// # Safety
    /// The CPU has the instruction set, and the blocks are there.
    unsafe fn params<I: Isa>(&self, first: usize, blocks: usize) -> [Params; MOST_BLOCKS] {
        let mut params = [Params::NONE; MOST_BLOCKS];
        for (i, params) in params.iter_mut().enumerate().take(blocks) {
            let weights = self.weights.as_ptr().wrapping_add((first + i) * self.quads * 64);
            // SAFETY: the caller vouches for the CPU and for the block's weights.
            *params = Params::of(self.params, first + i, I::FLIP, || unsafe { I::weight_sums(weights, self.quads) });
        }
        params
    }
}

/// A window of more than one position, to be copied together for each output.
struct Gather<'a> {
    args: &'a ConvArgs<'a>,
    pad: [u8; 4],
    /// Positions and bytes of a run.
    run: [usize; 2],
    runs: usize,
}

impl<'a> Gather<'a> {
    fn new(args: &'a ConvArgs<'a>, flip: u8) -> Option<Self> {
        let layout = &args.layout;
        let columns = if layout.row_runs() { usize::from(args.window.kernel[1]) } else { 1 };
        let fits = layout.quads() * QUAD <= WINDOW && args.input.len() >= args.input_shape.volume();
        let pad = pad_bytes(args, if args.pixels { 0x80 } else { flip });
        fits.then(|| Gather { args, pad, run: [columns, layout.run_len()], runs: layout.runs() })
    }

    /// Copies an output position's window; what fills a run up to whole quads meets zero weights.
    fn copy(&self, [y, x]: [usize; 2], to: &mut [u8; WINDOW]) {
        let args = self.args;
        let [height, width, channels] =
            [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
        let [down, across] = args.window.stride.map(usize::from);
        let [top, left, ..] = args.window.padding.map(usize::from);
        let [columns, len] = self.run;
        let per_row = usize::from(args.window.kernel[1]) / columns.max(1);
        let (row, column) = ((y * down).wrapping_sub(top), (x * across).wrapping_sub(left));
        for (run, to) in to.chunks_exact_mut((len.div_ceil(QUAD) * QUAD).max(1)).enumerate().take(self.runs) {
            let (row, column) = (row.wrapping_add(run / per_row.max(1)), column.wrapping_add(run % per_row.max(1)));
            let last = column.wrapping_add(columns - 1);
            let Some(to) = to.get_mut(..len) else { continue };
            if row < height && column < width && last < width {
                let from = (row * width + column) * channels;
                to.copy_from_slice(args.input.get(from..from + len).unwrap_or_default());
                continue;
            }
            for (i, to) in to.chunks_mut(channels.max(1)).enumerate() {
                let column = column.wrapping_add(i);
                let from = (row.wrapping_mul(width).wrapping_add(column)).wrapping_mul(channels);
                match args.input.get(from..from.wrapping_add(channels)) {
                    Some(from) if row < height && column < width => to.copy_from_slice(from),
                    _ => to.iter_mut().zip(self.pad.iter().cycle()).for_each(|(to, &pad)| *to = pad),
                }
            }
        }
    }
}

/// Whether it did the convolution.
///
/// # Safety
/// The CPU has the instruction set.
pub(super) unsafe fn conv<I: Isa>(args: &ConvArgs<'_>, output: &mut [u8]) -> bool {
    let channels = args.layout.channels_out();
    let [height, width] = [args.output_shape.height, args.output_shape.width].map(|side| side as usize);
    let positions = output.len() / channels.max(1);
    let one_group = args.layout.in_per_group() == args.input_shape.channels as usize;
    let parts = args.first + positions <= height * width && output.len() == positions * channels;
    if !one_group || !channels.is_multiple_of(BLOCK) || !parts || height * width == 0 {
        return false;
    }
    let product_of = |args: &ProjectionArgs<'_>| args.weights.len() >= args.layout.byte_len();
    let own = ProjectionArgs {
        input: args.input,
        input_shape: args.input_shape,
        stride: args.window.stride,
        layout: args.layout,
        weights: args.weights,
        channels: args.channels,
    };
    let point = args.window.kernel == [1, 1] && args.window.padding == [0; 4];
    let direct = point && (I::FLIP == 0x80 || !args.pixels);
    let in_place = if direct { Product::in_place(&own, [height, width]) } else { None };
    let gather = if in_place.is_none() { Gather::new(args, I::FLIP) } else { None };
    let product = match (in_place, &gather) {
        (Some(product), _) => product,
        (None, Some(_)) if I::FLIP == 0x80 || !args.pixels => {
            let quads = args.layout.quads();
            Product {
                input: &[],
                width: 0,
                channels: 0,
                stride: [0, 0],
                quads,
                weights: own.weights,
                params: own.channels,
            }
        }
        _ => return false,
    };
    let (projection, codes) = match &args.residual {
        ResidualArgs::None | ResidualArgs::InPlace { .. } => (None, None),
        ResidualArgs::Separate { codes, zero_point, multiplier } => {
            if codes.len() < height * width * channels {
                return false;
            }
            (None, Some((*codes, *zero_point, *multiplier)))
        }
        ResidualArgs::Projection(projection) => match Product::in_place(projection, [height, width]) {
            Some(product) if product_of(projection) => (Some(product), None),
            _ => return false,
        },
    };
    if !product_of(&own) {
        return false;
    }

    let [most_pixels, most_blocks] = I::DENSE;
    let quads = product.quads;
    let mut windows = [[0u8; WINDOW]; MOST_PIXELS];
    let mut sums: Tile = [NO_SUMS; 32];
    let mut shortcut: Tile = [NO_SUMS; 32];
    let blocks = channels / BLOCK;
    for first in (0..blocks).step_by(most_blocks) {
        let tile_blocks = most_blocks.min(blocks - first);
        // SAFETY: the caller vouches for the CPU; `product_of` has seen that all blocks' weights are there.
        let params = unsafe { product.params::<I>(first, tile_blocks) };
        let weights = product.weights.as_ptr().wrapping_add(first * quads * 64);
        let shortcut_params = projection.as_ref().map_or([Params::NONE; MOST_BLOCKS], |projection| {
            // SAFETY: as above.
            unsafe { projection.params::<I>(first, tile_blocks) }
        });
        let [mut y, mut x] = [args.first / width, args.first % width];
        for done in (0..positions).step_by(most_pixels) {
            let pixels = most_pixels.min(positions - done);
            let mut places = [[y, x]; MOST_PIXELS];
            for place in places.iter_mut().take(pixels) {
                *place = [y, x];
                x += 1;
                if x == width {
                    [y, x] = [y + 1, 0];
                }
            }
            let mut pointers = [product.input.as_ptr(); MOST_PIXELS];
            for i in 0..most_pixels {
                // Beyond the part's end the last position is computed again, and not written.
                let place = places[i.min(pixels - 1)];
                pointers[i] = match &gather {
                    None => product.input.as_ptr().wrapping_add(product.at(place)),
                    Some(gather) => {
                        if i < pixels {
                            gather.copy(place, &mut windows[i]);
                        }
                        windows[i].as_ptr()
                    }
                };
            }
            // SAFETY: the caller vouches for the CPU. Read in place, `Product::in_place` has seen that the last position
            // lies inside the input, and it has `quads` · 4 = channels bytes; a gathered window has WINDOW bytes, which
            // is more. The weights are there, as above.
            unsafe { I::dense(&pointers, quads, weights, quads * 64, tile_blocks, &params, &mut sums) };
            let at = done * channels + first * BLOCK;
            let output = output.as_mut_ptr().wrapping_add(at);
            let added = match (&args.residual, &projection, codes) {
                (_, Some(projection), _) => {
                    let mut pointers = [projection.input.as_ptr(); MOST_PIXELS];
                    for i in 0..most_pixels {
                        let place = places[i.min(pixels - 1)];
                        pointers[i] = projection.input.as_ptr().wrapping_add(projection.at(place));
                    }
                    let (quads, params) = (projection.quads, &shortcut_params);
                    let weights = projection.weights.as_ptr().wrapping_add(first * quads * 64);
                    // SAFETY: as above.
                    unsafe {
                        I::dense(&pointers, quads, weights, quads * 64, tile_blocks, params, &mut shortcut);
                    }
                    Added::Sums { sums: &shortcut, params }
                }
                (_, _, Some((codes, zero_point, multiplier))) => Added::Codes {
                    at: codes.as_ptr().wrapping_add(args.first * channels + at),
                    zero_point: i32::from(zero_point),
                    multiplier,
                },
                (&ResidualArgs::InPlace { zero_point, multiplier }, ..) => {
                    Added::Codes { at: output.cast_const(), zero_point: i32::from(zero_point), multiplier }
                }
                _ => Added::Nothing,
            };
            let finish = Finish {
                params: &params,
                requantize: args.requantize,
                added,
                pixels,
                blocks: tile_blocks,
                stride: channels,
                transposed: false,
            };
            // SAFETY: the caller vouches for the CPU. `pixels` positions behind `done` lie in the output, each has
            // `channels` bytes, and the tile's blocks end with the channels; added codes have the same extent, checked
            // above.
            unsafe { I::finish(&sums, &finish, output) };
        }
    }
    true
}
