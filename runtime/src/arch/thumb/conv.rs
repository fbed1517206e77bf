//! Every convolution, tile by tile.
//!
//! Positions outside, output channels inside: a window is read once and serves all channels of its group. Where a window is
//! too large for the room, channels are outside in blocks, and it is read part by part.

use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use core::ops::Range;

use cardinal_format::quant::Requantize;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use super::Core;
use super::window::{Part, Place, Source};
use crate::arch::all;
use crate::kernels::{ConvArgs, ResidualArgs};

/// Positions of a tile on the core that takes most. Sums lie on the stack.
pub(super) const MOST_POSITIONS: usize = if cfg!(thumb_mve) { 16 } else { 6 };

/// Quads of each position's windows that there is room for: 576 channels of a 1×1 convolution, 64 of a grouped 3×3.
pub(super) const QUADS: usize = 144;

/// Sums of a tile by up to sixteen channels, in a core's own order.
#[repr(C, align(16))]
pub(super) struct Sums(MaybeUninit<[i32; BLOCK * MOST_POSITIONS]>);

impl Sums {
    const NONE: Self = Sums(MaybeUninit::uninit());

    pub fn as_ptr(&self) -> *const i32 {
        self.0.as_ptr().cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut i32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Parameters of neighbouring channels of a block, in the file.
#[derive(Clone, Copy)]
pub(super) struct Params {
    pub bias: *const i32,
    pub multiplier: *const f32,
}

/// Weights of neighbouring channels of a block.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// Of the first quad and channel; the next channel's lie 4 bytes behind it, the next quad's 64.
    pub first: *const u8,
    pub quads: usize,
    pub channels: usize,
    /// Of the first channel, among those of the sums.
    pub column: usize,
}

/// What is added to sums before they are rounded.
pub(super) enum Added<'a> {
    Nothing,
    /// Codes that lie as the output does, from here on. They may be the output itself.
    Codes {
        at: *const i8,
        zero_point: i32,
        multiplier: f32,
    },
    /// Sums of the same tile and channels, with their multipliers.
    Sums(&'a Sums, *const f32),
}

/// How sums become codes.
pub(super) struct Finish<'a> {
    pub multiplier: *const f32,
    pub channels: usize,
    pub positions: usize,
    /// Bytes from one position to the next in the output, and in added codes.
    pub stride: usize,
    pub bounds: Bounds,
    pub added: Added<'a>,
}

impl Finish<'_> {
    /// Clamps codes that are there, for outputs with other bounds than int8's.
    ///
    /// # Safety
    /// As of [`Core::finish`].
    #[inline(never)]
    pub unsafe fn clamp(&self, output: *mut u8) {
        for position in 0..self.positions {
            for channel in 0..self.channels {
                let at = output.wrapping_add(position * self.stride + channel).cast::<i8>();
                // SAFETY: the caller's.
                unsafe { at.write(i32::from(at.read()).max(self.bounds.low).min(self.bounds.high) as i8) };
            }
        }
    }
}

/// Of an output's codes. Clamping after rounding gives the same code as before it.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub zero_point: i32,
    pub low: i32,
    pub high: i32,
}

impl Bounds {
    fn new(requantize: Requantize) -> Self {
        let [zero_point, low, high] = [requantize.zero_point(), requantize.q_min(), requantize.q_max()].map(i32::from);
        Bounds { zero_point, low, high }
    }

    /// Whether they are int8's, so that saturating to int8 is all clamping that it takes.
    pub fn are_widest(self) -> bool {
        [self.low, self.high] == [i8::MIN, i8::MAX].map(i32::from)
    }
}

/// One of the two products that a sum is made of.
struct Product<'a> {
    source: Source<'a>,
    weights: &'a [u8],
    params: &'a [u8],
    block_bytes: usize,
}

impl<'a> Product<'a> {
    fn new(source: Source<'a>, weights: &'a [u8], params: &'a [u8], block_bytes: usize) -> Self {
        Product { source, weights, params, block_bytes }
    }

    /// Whether all weights and parameters of so many channels are there, at multiples of 4.
    fn is_whole(&self, channels: usize) -> bool {
        let blocks = channels.div_ceil(BLOCK);
        self.weights.len() >= blocks * self.block_bytes
            && self.params.len() >= blocks * CHANNEL_BLOCK_BYTES
            && self.weights.as_ptr().addr().is_multiple_of(QUAD)
            && self.params.as_ptr().addr().is_multiple_of(QUAD)
    }

    /// Parameters from a channel on: sixteen biases, sixteen multipliers a block.
    fn params(&self, channel: usize) -> Params {
        let block = self.params.as_ptr().wrapping_add(channel / BLOCK * CHANNEL_BLOCK_BYTES);
        let at = |number: usize| block.wrapping_add(number * size_of::<u32>());
        Params { bias: at(channel % BLOCK).cast(), multiplier: at(BLOCK + channel % BLOCK).cast() }
    }

    /// Weights of channels of one block, from a quad on.
    fn weights(&self, channels: &Range<usize>, quads: &Range<usize>) -> Weights {
        let (block, channel) = (channels.start / BLOCK, channels.start % BLOCK);
        let at = block * self.block_bytes + quads.start * QUAD_BYTES + channel * QUAD;
        let first = self.weights.as_ptr().wrapping_add(at);
        Weights { first, quads: quads.len(), channels: channels.len(), column: 0 }
    }

    /// Sets the sums of some channels of a span, of one group.
    ///
    /// # Safety
    /// The windows are those of their group, whole; weights and parameters are there.
    #[inline(always)]
    unsafe fn dot<C: Core>(
        &self,
        windows: C::Reading,
        channels: &Range<usize>,
        span: &Range<usize>,
        positions: usize,
        sums: &mut Sums,
    ) {
        let weights = self.weights(channels, &(0..self.source.quads));
        let weights = Weights { column: channels.start - span.start, ..weights };
        // SAFETY: the caller's.
        unsafe { C::dot(windows, weights, Some(self.params(channels.start)), positions, sums) };
    }

    /// Where a tile's positions read it without a copy, if they can and the core does.
    fn in_place<C: Core>(&self, tile: &Tile) -> Option<C::Reading> {
        let Tile { first, count, width } = *tile;
        let next = self.source.step_in_place(first, count, width)?;
        C::in_place(self.source.at(first), next, count, self.source.quads)
    }
}

/// Channels of a block.
const OF_BLOCK: NonZeroUsize = NonZeroUsize::new(BLOCK).unwrap();

/// Cuts a range at all multiples.
fn cut(range: Range<usize>, every: NonZeroUsize) -> impl Iterator<Item = Range<usize>> {
    let mut from = range.start;
    core::iter::from_fn(move || {
        let start = from;
        from = (start - start % every + every.get()).min(range.end);
        (start < range.end).then_some(start..from)
    })
}

/// Neighbouring output positions.
#[derive(Clone, Copy)]
struct Tile {
    first: Place,
    count: usize,
    /// Of an output row.
    width: usize,
}

impl Tile {
    /// The positions of each output row, behind the first one's place.
    fn rows(self) -> impl Iterator<Item = (Place, Range<usize>)> {
        let Tile { first: [mut y, mut x], count, width } = self;
        let mut from = 0;
        core::iter::from_fn(move || {
            let (start, place) = (from, [y, x]);
            from = count.min(start + width - x);
            (y, x) = (y + 1, 0);
            (start < count).then_some((place, start..from))
        })
    }
}

/// Equations (3), (5), (6) and (6b) of the quantization page.
pub(super) fn conv<C: Core>(args: &ConvArgs<'_>, output: &mut [u8]) {
    let layout = &args.layout;
    let product = Product::new(Source::new(args), args.weights, args.channels, layout.block_bytes());
    let projection = match &args.residual {
        ResidualArgs::Projection(args) => {
            let source = Source::of_projection(args);
            Some(Product::new(source, args.weights, args.channels, args.layout.block_bytes()))
        }
        _ => None,
    };
    let channels = layout.channels_out();
    let groups = (args.input_shape.channels as usize).checked_div(layout.in_per_group()).unwrap_or(0);
    let per_group = channels.checked_div(groups).unwrap_or(0);
    let positions = output.len().checked_div(channels).unwrap_or(0);
    let sides = [args.output_shape.height, args.output_shape.width].map(|side| side as usize);
    let codes = match &args.residual {
        ResidualArgs::Separate { codes, .. } => codes.len() >= (args.first + positions) * channels,
        _ => true,
    };
    let there = codes && args.first + positions <= sides[0] * sides[1];
    // A file may lie anywhere in memory; whole words are loaded from one that does not lie badly.
    let usable =
        |product: &Product<'_>, groups| product.source.is_readable(groups, sides) && product.is_whole(channels);
    let whole = usable(&product, groups) && projection.as_ref().is_none_or(|projection| usable(projection, 1));
    let per_group = NonZeroUsize::new(per_group).filter(|per_group| per_group.get() * groups == channels);
    let (Some(per_group), true, true) = (per_group, there, whole) else {
        return (all::KERNELS.conv)(args, output);
    };
    let width = NonZeroUsize::new(args.output_shape.width as usize).unwrap_or(NonZeroUsize::MIN);
    let padding_word = product.source.stored(args.pad_codes);
    let (bounds, padding) = (Bounds::new(args.requantize), [padding_word; QUADS]);
    let job = Job {
        args,
        product,
        projection,
        output: output.as_mut_ptr(),
        channels,
        per_group,
        groups,
        width,
        bounds,
        padding,
    };
    let (mut room, mut sums) = (C::room(), [Sums::NONE, Sums::NONE]);
    for first in (0..positions).step_by(C::POSITIONS) {
        let count = C::POSITIONS.min(positions - first);
        // SAFETY: the tile's positions are in the output, and the weights and added codes are there.
        unsafe { job.tile::<C>(first, count, &mut room, &mut sums) };
    }
}

/// A convolution whose slices have been looked at.
struct Job<'a> {
    args: &'a ConvArgs<'a>,
    product: Product<'a>,
    projection: Option<Product<'a>>,
    output: *mut u8,
    channels: usize,
    /// Output channels of a group.
    per_group: NonZeroUsize,
    groups: usize,
    /// Of the output.
    width: NonZeroUsize,
    bounds: Bounds,
    /// Quads outside the input, as they are stored.
    padding: [u32; QUADS],
}

impl Job<'_> {
    /// Computes all channels of `count` positions from `first` on.
    ///
    /// # Safety
    /// They lie in the output; weights and added codes are as long as the shapes say.
    unsafe fn tile<C: Core>(&self, first: usize, count: usize, room: &mut C::Room, sums: &mut [Sums; 2]) {
        let at = self.args.first + first;
        let tile = Tile { first: [at / self.width, at % self.width], count, width: self.width.get() };
        let quads = self.product.source.quads;
        let in_place = self.product.in_place::<C>(&tile);
        let projected = self.projection.as_ref().map(|projection| (projection, projection.in_place::<C>(&tile)));
        let own = if in_place.is_some() { 0 } else { quads };
        let shortcut = match &projected {
            Some((projection, None)) => projection.source.quads,
            _ => 0,
        };
        // Groups whose windows fit at once.
        let together = match own {
            0 => self.groups,
            own => (QUADS.saturating_sub(shortcut) / own).min(self.groups),
        };
        if together == 0 || shortcut > QUADS {
            for group in 0..self.groups {
                let channels = group * self.per_group.get()..(group + 1) * self.per_group.get();
                for channels in cut(channels, OF_BLOCK) {
                    // SAFETY: the caller's.
                    unsafe {
                        self.in_parts::<C>(group, &channels, &tile, room, sums);
                        self.finish::<C>(&channels, first, count, sums);
                    }
                }
            }
            return;
        }
        if let Some((projection, None)) = &projected {
            let part = Part { groups: 0..1, quads: 0..shortcut, to: QUADS - shortcut };
            // SAFETY: there is room for both products' windows.
            unsafe { self.read::<C>(projection, &tile, &part, room) };
        }
        for from in (0..self.groups).step_by(together) {
            let groups = from..(from + together).min(self.groups);
            let per_group = self.per_group.get();
            let channels = from * per_group..groups.end * per_group;
            if in_place.is_none() {
                let part = Part { groups, quads: 0..quads, to: 0 };
                // SAFETY: `together` groups fit.
                unsafe { self.read::<C>(&self.product, &tile, &part, room) };
            }
            for span in cut(channels, OF_BLOCK) {
                let [own, added] = &mut *sums;
                for channels in cut(span.clone(), self.per_group) {
                    let group = channels.start / self.per_group - from;
                    let reading = in_place.unwrap_or_else(|| C::reading(room, group * quads));
                    // SAFETY: the caller's; all quads of these channels have been read.
                    unsafe { self.product.dot::<C>(reading, &channels, &span, count, own) };
                }
                if let Some((projection, in_place)) = &projected {
                    let reading = in_place.unwrap_or_else(|| C::reading(room, QUADS - shortcut));
                    // SAFETY: as above.
                    unsafe { projection.dot::<C>(reading, &span, &span, count, added) };
                }
                // SAFETY: the caller's.
                unsafe { self.finish::<C>(&span, first, count, sums) };
            }
        }
    }

    /// Reads a product's windows of the tile's positions into a room.
    ///
    /// # Safety
    /// The part's quads fit there.
    unsafe fn read<C: Core>(&self, product: &Product<'_>, tile: &Tile, part: &Part, room: &mut C::Room) {
        for (place, positions) in tile.rows() {
            // SAFETY: the caller's; these positions share an output row.
            unsafe { product.source.read::<C>(place, positions, part, &self.padding, room) };
        }
    }

    /// The sums of some channels of one group and block, whose windows are read part by part.
    ///
    /// # Safety
    /// As in `tile`.
    unsafe fn in_parts<C: Core>(
        &self,
        group: usize,
        channels: &Range<usize>,
        tile: &Tile,
        room: &mut C::Room,
        sums: &mut [Sums; 2],
    ) {
        let products = [Some((&self.product, group)), self.projection.as_ref().map(|projection| (projection, 0))];
        for ((product, group), sums) in
            products.into_iter().zip(sums).filter_map(|(product, sums)| Some((product?, sums)))
        {
            let params = product.params(channels.start);
            for from in (0..product.source.quads).step_by(QUADS) {
                let quads = from..(from + QUADS).min(product.source.quads);
                let part = Part { groups: group..group + 1, quads, to: 0 };
                let weights = product.weights(channels, &part.quads);
                // SAFETY: a part is as large as the room; the weights are there, as the caller says.
                unsafe {
                    self.read::<C>(product, tile, &part, room);
                    C::dot(C::reading(room, 0), weights, (from == 0).then_some(params), tile.count, sums);
                }
            }
        }
    }

    /// Writes the codes of some channels of one block.
    ///
    /// # Safety
    /// As in `tile`.
    #[inline(always)]
    unsafe fn finish<C: Core>(&self, channels: &Range<usize>, first: usize, positions: usize, sums: &[Sums; 2]) {
        let args = self.args;
        let at = first * self.channels + channels.start;
        let output = self.output.wrapping_add(at);
        let [own, added] = sums;
        let added = match (&args.residual, &self.projection) {
            (_, Some(projection)) => Added::Sums(added, projection.params(channels.start).multiplier),
            (&ResidualArgs::Separate { codes, zero_point, multiplier }, _) => Added::Codes {
                at: codes.as_ptr().wrapping_add(args.first * self.channels + at).cast(),
                zero_point: i32::from(zero_point),
                multiplier,
            },
            (&ResidualArgs::InPlace { zero_point, multiplier }, _) => {
                Added::Codes { at: output.cast_const().cast(), zero_point: i32::from(zero_point), multiplier }
            }
            _ => Added::Nothing,
        };
        let finish = Finish {
            multiplier: self.product.params(channels.start).multiplier,
            channels: channels.len(),
            positions,
            stride: self.channels,
            bounds: self.bounds,
            added,
        };
        // SAFETY: the caller's.
        unsafe { C::finish(own, &finish, output) };
    }
}
