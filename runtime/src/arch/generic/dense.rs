//! Convolutions in one group: every output reads all inputs of its window.
//!
//! Blocks of output channels outside, positions inside, so that weights stay in the nearest cache. A 1×1 convolution reads
//! the input in place. Of other windows, a chunk of positions at a time is gathered into rows first.

use core::mem::MaybeUninit;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::gather::{Gather, Rows};
use super::{Added, Finish, Isa, MOST_BLOCKS, MOST_PIXELS, NO_SUMS, Params, Positions, TILE, Tile, Weights};
use crate::kernels::{ConvArgs, ProjectionArgs, ResidualArgs, Storage};

/// Output channels of a gathered convolution at most, in blocks: their params are kept on the stack.
const GATHERED_BLOCKS: usize = 64;

/// Positions for which weights are prepared.
const WORTHWHILE: usize = 24;
/// Bytes of prepared weights at most: a block of 4,096 inputs, and what AVX2 notes of it.
const ROOM: usize = 72 * 1024;

/// Where prepared weights lie.
#[repr(C, align(64))]
struct Room([MaybeUninit<u8>; ROOM]);

impl Room {
    fn new() -> Self {
        Room([const { MaybeUninit::uninit() }; ROOM])
    }
}

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

    /// What output positions read in place, from this one on; an output row has `per_row`.
    fn from(&self, position: usize, per_row: usize) -> Cursor {
        let [down, across] = [self.stride[0] * self.width * self.channels, self.stride[1] * self.channels];
        let (y, x) = (position / per_row, position % per_row);
        let at = self.input.as_ptr().wrapping_add(y * down + x * across);
        // Where rows follow each other without a gap, all positions are one row.
        let one_row = down == per_row * across;
        let left = if one_row { usize::MAX } else { per_row - x };
        Cursor { at, next: across, left, per_row, wrap: down.wrapping_sub((per_row - 1) * across) }
    }

    /// Weights of neighbouring blocks.
    fn blocks(&self, first: usize, blocks: usize) -> Weights {
        let first = self.weights.as_ptr().wrapping_add(first * self.quads * QUAD_BYTES);
        Weights { first, quads: self.quads, blocks, prepared: false }
    }

    /// The same, prepared if the tiles want it and there is room.
    ///
    /// # Safety
    /// The CPU has the instruction set, and the blocks are there.
    unsafe fn prepared<I: Isa>(&self, first: usize, blocks: usize, room: &mut Room) -> Weights {
        let weights = self.blocks(first, blocks);
        let len = I::prepared_len(self.quads);
        if len == 0 || blocks * len > ROOM {
            return weights;
        }
        let to = room.0.as_mut_ptr().cast::<u8>();
        for block in 0..blocks {
            let from = weights.first.wrapping_add(block * self.quads * QUAD_BYTES);
            // SAFETY: the caller's; there is room for `blocks` · `len` bytes.
            unsafe { I::prepare(from, self.quads, to.wrapping_add(block * len)) };
        }
        Weights { first: to, prepared: true, ..weights }
    }

    /// [`Product::prepared`] unless there are so few positions that it is more work than it saves.
    ///
    /// # Safety
    /// As there.
    unsafe fn worth_preparing<I: Isa>(
        &self,
        first: usize,
        blocks: usize,
        positions: usize,
        room: &mut Room,
    ) -> Weights {
        match positions {
            ..WORTHWHILE => self.blocks(first, blocks),
            // SAFETY: the caller's.
            _ => unsafe { self.prepared::<I>(first, blocks, room) },
        }
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

/// Where neighbouring output positions read, row by row.
struct Cursor {
    at: *const u8,
    /// Bytes to the next position, and to that of the next row.
    next: usize,
    wrap: usize,
    /// Positions to the end of this row, and of a whole one.
    left: usize,
    per_row: usize,
}

impl Cursor {
    /// The next `count` positions, and the last one again, up to `most`.
    #[inline(always)]
    fn read(&mut self, most: usize, count: usize, to: &mut Positions) {
        to.count = count;
        if count == most && self.left > count {
            for at in to.at.iter_mut().take(most) {
                *at = self.at;
                self.at = self.at.wrapping_add(self.next);
            }
            self.left -= count;
            return;
        }
        let mut last = self.at;
        for (i, at) in to.at.iter_mut().enumerate().take(most) {
            if i < count {
                last = self.at;
                self.left -= 1;
                self.at = self.at.wrapping_add(if self.left == 0 { self.wrap } else { self.next });
                self.left = if self.left == 0 { self.per_row } else { self.left };
            }
            *at = last;
        }
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
        let (mut room, mut tiles) = (Room::new(), [[NO_SUMS; TILE]; 2]);
        for first in (0..blocks).step_by(I::DENSE[1]) {
            let count = I::DENSE[1].min(blocks - first);
            let cursor = self.product.from(self.args.first, self.per_row);
            // SAFETY: the caller's; the blocks are there.
            unsafe {
                let params = self.product.tile_params::<I>(first, count);
                let weights = self.product.worth_preparing::<I>(first, count, self.positions, &mut room);
                self.blocks::<I>(first, weights, &params, [0, self.positions], cursor, &mut tiles);
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
        let (mut rows, mut room, mut tiles) = (Rows::new(), Room::new(), [[NO_SUMS; TILE]; 2]);
        // SAFETY: the caller's; all blocks are there.
        let weights = unsafe { self.product.prepared::<I>(0, blocks, &mut room) };
        let quads = self.product.quads;
        let block_len = if weights.prepared { I::prepared_len(quads) } else { quads * QUAD_BYTES };
        for from in (0..self.positions).step_by(gather.positions()) {
            let to = (from + gather.positions()).min(self.positions);
            gather.copy(self.args.first + from, to - from, &mut rows);
            for first in (0..blocks).step_by(I::DENSE[1]) {
                let count = I::DENSE[1].min(blocks - first);
                let mut params = [Params::NONE; MOST_BLOCKS];
                params.iter_mut().zip(&all[first..]).take(count).for_each(|(to, from)| *to = *from);
                let row = gather.row_len();
                let cursor = Cursor { at: rows.first(), next: row, wrap: row, left: usize::MAX, per_row: 1 };
                let weights =
                    Weights { first: weights.first.wrapping_add(first * block_len), blocks: count, ..weights };
                // SAFETY: the caller's; a row has the quads of one output.
                unsafe { self.blocks::<I>(first, weights, &params, [from, to], cursor, &mut tiles) };
            }
        }
    }

    /// Computes blocks from `first` on, those of `weights`, of the part's positions `from` to `to`.
    ///
    /// # Safety
    /// The CPU has the instruction set; the blocks are there; `cursor`, at `from`, finds the product's quads at every
    /// position.
    unsafe fn blocks<I: Isa>(
        &self,
        first: usize,
        weights: Weights,
        params: &[Params; MOST_BLOCKS],
        [from, to]: [usize; 2],
        mut cursor: Cursor,
        tiles: &mut [Tile; 2],
    ) {
        let &Job { args, channels, .. } = self;
        let blocks = weights.blocks;
        let most = I::DENSE[0];
        let [sums, shortcut] = tiles;
        let mut room = Room::new();
        let mut projection = self.projection.as_ref().map(|projection| {
            // SAFETY: the caller's; a projection has the blocks of its convolution.
            let (params, weights) = unsafe {
                (
                    projection.tile_params::<I>(first, blocks),
                    projection.worth_preparing::<I>(first, blocks, to - from, &mut room),
                )
            };
            (params, weights, projection.from(args.first + from, self.per_row))
        });
        let mut reading = Positions { at: [self.output.cast_const(); MOST_PIXELS], count: 0 };
        for position in (from..to).step_by(most) {
            // Beyond the end the last position is read again, and not written.
            let pixels = most.min(to - position);
            cursor.read(most, pixels, &mut reading);
            // SAFETY: the caller's.
            unsafe { I::dense(&reading, weights, params, sums) };
            let at = position * channels + first * BLOCK;
            let output = self.output.wrapping_add(at);
            let added = match (&args.residual, &mut projection) {
                (_, Some((params, weights, cursor))) => {
                    cursor.read(most, pixels, &mut reading);
                    // SAFETY: the caller's; `Product::in_place` has seen that every position reads whole quads.
                    unsafe { I::dense(&reading, *weights, params, shortcut) };
                    Added::Sums { sums: shortcut, params }
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
            unsafe { I::finish(sums, &finish, output) };
        }
    }
}
