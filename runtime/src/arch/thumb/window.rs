//! Windows of a convolution, read for a tile of output positions.
//!
//! A window's bytes become *quads*, four inputs each, in the order of the weights: those of a group side by side. What lies
//! outside the input is padding.

use core::ops::Range;

use cardinal_format::Shape;
use cardinal_format::weights::{QUAD, WeightLayout};

use super::Core;
use crate::kernels::{ConvArgs, ProjectionArgs, Storage};

/// Bytes of the longest run of several positions: a kernel row of an image.
const LONGEST: usize = 64;

/// Row and column of an output position.
pub(super) type Place = [usize; 2];

/// What a convolution's windows are read from.
pub(super) struct Source<'a> {
    input: &'a [u8],
    extent: [usize; 3],
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Rows above, columns left of the input.
    before: [usize; 2],
    /// A run's bytes outside the input, as they are stored.
    padded: [u8; LONGEST],
    /// Bits of the input's bytes that are inverted on the way, in all four bytes of a word.
    flip: u32,
    /// A run is a kernel row: positions across that lie side by side, or 1.
    columns: usize,
    /// Runs of a kernel row.
    runs: usize,
    /// Bytes of one group's run, and quads.
    run_len: usize,
    run_quads: usize,
    /// Quads of one group's window.
    pub quads: usize,
}

/// Which quads of a tile's windows are read: those of some groups, or a part of one group's.
pub(super) struct Part {
    pub groups: Range<usize>,
    /// Of each group; all of them unless there is one group.
    pub quads: Range<usize>,
}

impl<'a> Source<'a> {
    pub fn new(args: &ConvArgs<'a>) -> Self {
        let [top, left, ..] = args.window.padding.map(usize::from);
        // Pixels become codes by inverting a bit: q = p − 128.
        let flip = if args.pixels { Storage::Biased.flip() } else { 0 };
        let layout = &args.layout;
        let mut source =
            Source { flip: u32::from_ne_bytes([flip; 4]), ..Self::point(args.input, args.input_shape, layout) };
        source.kernel = args.window.kernel.map(usize::from);
        source.stride = args.window.stride.map(usize::from);
        source.before = [top, left];
        (source.columns, source.runs) = if layout.row_runs() { (source.kernel[1], 1) } else { (1, source.kernel[1]) };
        let channels = source.extent[2].max(1);
        for (i, byte) in source.padded.iter_mut().enumerate() {
            *byte = args.pad_codes[i % channels % QUAD] as u8 ^ flip;
        }
        source
    }

    pub fn of_projection(args: &ProjectionArgs<'a>) -> Self {
        Source { stride: args.stride.map(usize::from), ..Self::point(args.input, args.input_shape, &args.layout) }
    }

    /// A 1×1 window with stride 1.
    fn point(input: &'a [u8], shape: Shape, layout: &WeightLayout) -> Self {
        Source {
            input,
            extent: [shape.height, shape.width, shape.channels].map(|n| n as usize),
            kernel: [1, 1],
            stride: [1, 1],
            before: [0, 0],
            padded: [0; LONGEST],
            flip: 0,
            columns: 1,
            runs: 1,
            run_len: layout.run_len(),
            run_quads: layout.run_quads(),
            quads: layout.quads(),
        }
    }

    /// Whether every window is one position of whole quads as they are stored.
    pub fn lies_in_place(&self) -> bool {
        let point = self.kernel == [1, 1] && self.before == [0, 0] && self.flip == 0;
        point && self.quads * QUAD == self.extent[2]
    }

    /// First byte of the window of an output position, if that lies inside.
    pub fn at(&self, [y, x]: Place) -> *const u8 {
        let [_, width, channels] = self.extent;
        self.input.as_ptr().wrapping_add((y * self.stride[0] * width + x * self.stride[1]) * channels)
    }

    /// Bytes from an output position's window to the next one's.
    pub fn step(&self) -> usize {
        self.stride[1] * self.extent[2]
    }

    /// A quad of these codes as the input stores them.
    pub fn stored(&self, codes: [i8; QUAD]) -> u32 {
        u32::from_ne_bytes(codes.map(|code| code as u8)) ^ self.flip
    }

    /// Whether runs may have to be put together byte by byte.
    fn is_mixed(&self) -> bool {
        self.columns > 1 || !self.run_len.is_multiple_of(QUAD)
    }

    /// Whether windows of so many groups can be read for an output of these sides: the input is there, its channels and the
    /// kernel are those of the weights, a 1×1 window lies inside, and runs of several positions have room in
    /// [`Source::mixed`].
    pub fn is_readable(&self, groups: usize, [out_height, out_width]: [usize; 2]) -> bool {
        let [height, width, channels] = self.extent;
        let volume = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        let run = if self.columns > 1 { self.columns * channels } else { channels / groups.max(1) };
        let inside = |output: usize, stride: usize, side: usize| output.saturating_sub(1).saturating_mul(stride) < side;
        volume.is_some_and(|volume| self.input.len() >= volume)
            && run == self.run_len
            && self.quads == self.kernel[0] * self.runs * self.run_quads
            && (!self.is_mixed() || self.run_quads * QUAD <= LONGEST)
            && inside(out_height, self.stride[0], height + self.before[0])
            && inside(out_width, self.stride[1], width + self.before[1])
    }

    /// Reads the windows of neighbouring positions of one output row into a core's room, as those of `first` on, from quad `to`
    /// of it on. `padding` holds at least as many padded quads as the part has of one tap.
    ///
    /// # Safety
    /// The part's quads, over all groups, fit into the room behind `to`; so do the positions.
    pub unsafe fn read<C: Core>(
        &self,
        [y, x]: Place,
        positions: Range<usize>,
        part: &Part,
        padding: &[u32],
        to: usize,
        room: &mut C::Room,
    ) {
        let [height, width, channels] = self.extent;
        let [down, across] = self.stride.map(|step| step.max(1));
        let top = (y * down).wrapping_sub(self.before[0]);
        let group = part.groups.start * self.run_len;
        let count = positions.len();
        for run in 0..self.runs {
            // The first position's column, and the positions whose columns all lie inside.
            let column = (x * across).wrapping_sub(self.before[1]).wrapping_add(run);
            let outside = if column < width { 0 } else { column.wrapping_neg() };
            let room_left = (width + outside).checked_sub(self.columns + if outside == 0 { column } else { 0 });
            let left = outside.div_ceil(across).min(count);
            let right = room_left.map_or(0, |columns| columns / across + 1).min(count).max(left);
            for kernel_row in 0..self.kernel[0] {
                let first = (kernel_row * self.runs + run) * self.run_quads;
                let quads = first.max(part.quads.start)..(first + self.run_quads).min(part.quads.end);
                if quads.is_empty() {
                    continue;
                }
                let row = top.wrapping_add(kernel_row);
                let skip = (quads.start - first) * QUAD;
                let strip = Strip {
                    first: positions.start,
                    count,
                    place: to + quads.start - part.quads.start,
                    run: quads.len(),
                    groups: part.groups.len(),
                    window: self.quads,
                };
                // The last quad of a run may end up to three bytes behind it; in the last row, these may lie behind the input.
                let inside = match row {
                    row if row >= height || (!self.run_len.is_multiple_of(QUAD) && row + 1 == height) => 0..0,
                    _ => left..right,
                };
                if !inside.is_empty() {
                    let column = column.wrapping_add(inside.start * across);
                    let from = self.input.as_ptr().wrapping_add((row * width + column) * channels + group + skip);
                    // SAFETY: the caller's; these positions' runs lie inside the input.
                    unsafe { C::put(room, strip.part(&inside), from, across * channels, self.flip) };
                }
                for rest in [0..inside.start, inside.end..count] {
                    if !self.is_mixed() && !rest.is_empty() {
                        // SAFETY: the caller's.
                        unsafe { C::put(room, strip.part(&rest), padding.as_ptr().cast(), 0, self.flip) };
                    } else {
                        for position in rest {
                            let run = self.mixed([row, column.wrapping_add(position * across)]);
                            let from = run.as_ptr().wrapping_add(skip);
                            // SAFETY: the caller's.
                            unsafe { C::put(room, strip.part(&(position..position + 1)), from, 0, self.flip) };
                        }
                    }
                }
            }
        }
    }

    /// A run of several positions, of which some may lie outside the input, or the bytes behind it.
    fn mixed(&self, [row, column]: Place) -> [u8; LONGEST] {
        let [height, width, channels] = self.extent;
        let mut run = self.padded;
        if row < height {
            // The run's positions inside.
            let left = column.wrapping_neg().min(self.columns) * usize::from(column >= width);
            let right = width.saturating_sub(column.wrapping_add(left)).min(self.columns - left);
            let at = (row * width + column.wrapping_add(left)) * channels;
            let from = self.input.get(at..at + right * channels).unwrap_or_default();
            let to = run.get_mut(left * channels..).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        run
    }
}

/// Where bytes go in a core's room. Of each position, into `run` quads from `place` on; then, `window` quads behind the first of
/// these, into those of the next of the `groups`.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Positions of the tile: the first, and how many.
    pub first: usize,
    pub count: usize,
    pub place: usize,
    pub run: usize,
    pub groups: usize,
    pub window: usize,
}

impl Strip {
    /// Some of its positions.
    fn part(&self, positions: &Range<usize>) -> Self {
        Strip { first: self.first + positions.start, count: positions.len(), ..*self }
    }
}
