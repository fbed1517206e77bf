//! Convolutions in one group: every output reads all inputs of its window.
//!
//! Blocks of output channels outside, positions inside, so that weights stay in the nearest cache. A 1×1 convolution reads
//! the input in place. Of other windows, a chunk of positions at a time is gathered into rows first.

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::gather::{Gather, Rows};
use super::{Added, Finish, Isa, MOST_BLOCKS, MOST_PIXELS, NO_SUMS, Params, Positions, Tile, Weights};
use crate::kernels::{ConvArgs, ProjectionArgs, ResidualArgs, Storage};

/// Output channels of a gathered convolution at most, in blocks: their params are kept on the stack.
const GATHERED_BLOCKS: usize = 64;

/// A matrix product: weights, and what a position reads of a tensor.
struct Product<'a> {
    input: &'a [u8],
    width: usize,
    channels: usize,
    stride: [usize; 2],
    /// Quads that one output reads.
    quads: usize,
    weights: &'a [u8],
    params: &'a [u8],
}

impl<'a> Product<'a> {
    /// Of a convolution; `None` if its weights are not all there.
    fn new(args: &ProjectionArgs<'a>) -> Option<Self> {
        (args.weights.len() >= args.layout.byte_len()).then(|| Product {
            input: args.input,
            width: args.input_shape.width as usize,
            channels: args.input_shape.channels as usize,
            stride: args.stride.map(usize::from),
            quads: args.layout.quads(),
            weights: args.weights,
            params: args.channels,
        })
    }

    /// Of a 1×1 convolution; `None` unless every output position finds whole quads in the input.
    fn in_place(args: &ProjectionArgs<'a>, [height, width]: [usize; 2]) -> Option<Self> {
        let product = Self::new(args)?;
        let [down, across] = product.stride;
        let shape = args.input_shape;
        let inside = (height - 1) * down < shape.height as usize && (width - 1) * across < shape.width as usize;
        let whole = product.quads * QUAD == product.channels;
        (inside && whole && args.input.len() >= shape.volume()).then_some(product)
    }

    /// First byte of what an output position reads.
    fn at(&self, [y, x]: [usize; 2]) -> *const u8 {
        self.input.as_ptr().wrapping_add((y * self.stride[0] * self.width + x * self.stride[1]) * self.channels)
    }

    /// Weights of neighbouring blocks.
    fn blocks(&self, first: usize, blocks: usize) -> Weights {
        let first = self.weights.as_ptr().wrapping_add(first * self.quads * QUAD_BYTES);
        Weights { first, quads: self.quads, blocks }
    }

    /// Params of a block.
    ///
    /// # Safety
    /// The CPU has the instruction set, and the block is there.
    unsafe fn params<I: Isa>(&self, block: usize) -> Params {
        // SAFETY: the caller vouches for the CPU and for the block's weights.
        Params::of(self.params, block, I::STORAGE, || unsafe {
            I::weight_sums(self.blocks(block, 1).first, self.quads)
        })
    }

    /// Params of a tile's blocks.
    ///
    /// # Safety
    /// The CPU has the instruction set, and the blocks are there.
    unsafe fn tile_params<I: Isa>(&self, first: usize, blocks: usize) -> [Params; MOST_BLOCKS] {
        let mut params = [Params::NONE; MOST_BLOCKS];
        for (i, params) in params.iter_mut().enumerate().take(blocks) {
            // SAFETY: the caller's.
            *params = unsafe { self.params::<I>(first + i) };
        }
        params
    }
}

/// A convolution whose numbers have been looked at: all of its output positions and blocks are there.
struct Job<'a> {
    args: &'a ConvArgs<'a>,
    product: Product<'a>,
    projection: Option<Product<'a>>,
    output: *mut u8,
    /// Output positions of the part, and of a row.
    positions: usize,
    per_row: usize,
    channels: usize,
}

/// Whether it did the convolution.
///
/// # Safety
/// The CPU has the instruction set.
pub(super) unsafe fn conv<I: Isa>(args: &ConvArgs<'_>, output: &mut [u8]) -> bool {
    let channels = args.layout.channels_out();
    let [height, width] = [args.output_shape.height, args.output_shape.width].map(|side| side as usize);
    let positions = output.len() / channels.max(1);
    let inside = args.first + positions <= height * width && output.len() == positions * channels;
    let one_group = args.layout.in_per_group() == args.input_shape.channels as usize;
    if !(one_group && inside && channels.is_multiple_of(BLOCK) && height * width > 0) {
        return false;
    }
    let projection = match &args.residual {
        ResidualArgs::Separate { codes, .. } if codes.len() < height * width * channels => return false,
        ResidualArgs::Projection(projection) => match Product::in_place(projection, [height, width]) {
            None => return false,
            product => product,
        },
        _ => None,
    };
    let own = ProjectionArgs {
        input: args.input,
        input_shape: args.input_shape,
        stride: args.window.stride,
        layout: args.layout,
        weights: args.weights,
        channels: args.channels,
    };
    // Pixels are read in place only where codes are stored as they are.
    let stored = !args.pixels || I::STORAGE == Storage::Biased;
    let point = args.window.kernel == [1, 1] && args.window.padding == [0; 4] && stored;
    let of = |product| {
        let output = output.as_mut_ptr();
        Job { args, product, projection, output, positions, per_row: width, channels }
    };
    if let Some(product) = if point { Product::in_place(&own, [height, width]) } else { None } {
        // SAFETY: the caller vouches for the CPU.
        unsafe { of(product).in_place::<I>() };
        return true;
    }
    match (Product::new(&own), Gather::new(args, I::STORAGE, I::DENSE[0])) {
        (Some(product), Some(gather)) if channels <= GATHERED_BLOCKS * BLOCK => {
            // SAFETY: the caller vouches for the CPU.
            unsafe { of(product).gathered::<I>(&gather) };
            true
        }
        _ => false,
    }
}

impl Job<'_> {
    /// # Safety
    /// The CPU has the instruction set, and the product is [`Product::in_place`].
    unsafe fn in_place<I: Isa>(&self) {
        let blocks = self.channels / BLOCK;
        for first in (0..blocks).step_by(I::DENSE[1]) {
            let count = I::DENSE[1].min(blocks - first);
            // SAFETY: the caller's; the blocks are there.
            unsafe {
                let params = self.product.tile_params::<I>(first, count);
                self.blocks::<I>([first, count], &params, [0, self.positions], |place, _| self.product.at(place));
            }
        }
    }

    /// # Safety
    /// The CPU has the instruction set, and `gather` is of this convolution.
    unsafe fn gathered<I: Isa>(&self, gather: &Gather<'_>) {
        let blocks = self.channels / BLOCK;
        let mut all = [Params::NONE; GATHERED_BLOCKS];
        for (block, params) in all.iter_mut().enumerate().take(blocks) {
            // SAFETY: the caller's; the block is there.
            *params = unsafe { self.product.params::<I>(block) };
        }
        let mut rows = Rows::new();
        for from in (0..self.positions).step_by(gather.positions()) {
            let to = (from + gather.positions()).min(self.positions);
            for position in from..to {
                let place = self.args.first + position;
                gather.copy([place / self.per_row, place % self.per_row], position - from, &mut rows);
            }
            for first in (0..blocks).step_by(I::DENSE[1]) {
                let count = I::DENSE[1].min(blocks - first);
                let mut params = [Params::NONE; MOST_BLOCKS];
                params.iter_mut().zip(&all[first..]).take(count).for_each(|(to, from)| *to = *from);
                // SAFETY: the caller's; a row has the quads of one output.
                unsafe {
                    let row = |_, position| gather.row(&rows, position - from);
                    self.blocks::<I>([first, count], &params, [from, to], row);
                }
            }
        }
    }

    /// Computes some blocks of the part's positions `from` to `to`.
    ///
    /// # Safety
    /// The CPU has the instruction set; the blocks are there; `reads(place, position)` has the product's quads.
    unsafe fn blocks<I: Isa>(
        &self,
        [first, blocks]: [usize; 2],
        params: &[Params; MOST_BLOCKS],
        [from, to]: [usize; 2],
        reads: impl Fn([usize; 2], usize) -> *const u8,
    ) {
        let &Job { args, channels, per_row, .. } = self;
        let most = I::DENSE[0];
        let mut sums: Tile = [NO_SUMS; 32];
        let mut shortcut: Tile = [NO_SUMS; 32];
        let shortcut_params = self.projection.as_ref().map_or([Params::NONE; MOST_BLOCKS], |projection| {
            // SAFETY: the caller's; a projection has the blocks of its convolution.
            unsafe { projection.tile_params::<I>(first, blocks) }
        });
        let [mut y, mut x] = [(args.first + from) / per_row, (args.first + from) % per_row];
        for position in (from..to).step_by(most) {
            let pixels = most.min(to - position);
            // Beyond the end the last position is computed again, and not written.
            let mut places = [[y, x]; MOST_PIXELS];
            let mut reading = Positions { at: [self.output.cast_const(); MOST_PIXELS], count: pixels };
            for i in 0..most {
                places[i] = [y, x];
                reading.at[i] = reads([y, x], position + i.min(pixels - 1));
                if i + 1 < pixels {
                    [y, x] = if x + 1 == per_row { [y + 1, 0] } else { [y, x + 1] };
                }
            }
            [y, x] = if x + 1 == per_row { [y + 1, 0] } else { [y, x + 1] };
            // SAFETY: the caller's.
            unsafe { I::dense(&reading, self.product.blocks(first, blocks), params, &mut sums) };
            let at = position * channels + first * BLOCK;
            let output = self.output.wrapping_add(at);
            let added = match (&args.residual, &self.projection) {
                (_, Some(projection)) => {
                    for (at, place) in reading.at.iter_mut().zip(places).take(most) {
                        *at = projection.at(place);
                    }
                    let (weights, params) = (projection.blocks(first, blocks), &shortcut_params);
                    // SAFETY: the caller's; `Product::in_place` has seen that every position reads whole quads.
                    unsafe { I::dense(&reading, weights, params, &mut shortcut) };
                    Added::Sums { sums: &shortcut, params }
                }
                (&ResidualArgs::Separate { codes, zero_point, multiplier }, _) => Added::Codes {
                    at: codes.as_ptr().wrapping_add(args.first * channels + at),
                    zero_point: i32::from(zero_point),
                    multiplier,
                },
                (&ResidualArgs::InPlace { zero_point, multiplier }, _) => {
                    Added::Codes { at: output.cast_const(), zero_point: i32::from(zero_point), multiplier }
                }
                _ => Added::Nothing,
            };
            let finish = Finish {
                params,
                requantize: args.requantize,
                added,
                pixels,
                blocks,
                stride: channels,
                transposed: false,
            };
            // SAFETY: the caller vouches for the CPU. `pixels` positions from here on lie in the output, each has
            // `channels` bytes, and the blocks are among them; added codes have the same extent, which `conv` checked.
            unsafe { I::finish(&sums, &finish, output) };
        }
    }
}
