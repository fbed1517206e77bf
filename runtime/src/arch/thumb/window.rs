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

/// Which quads of a tile's windows are read, and where to: those of some groups, or a part of one group's.
pub(super) struct Part {
    pub groups: Range<usize>,
    /// Of each group; all of them unless there is one group.
    pub quads: Range<usize>,
    /// Where they go in the room: the first one's place.
    pub to: usize,
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

    /// Bytes from one position's window to the next one's, if these of so many positions from a place on are as they are stored:
    /// one position of the input each, of whole quads at multiples of 4, evenly spaced. `out_width` is the output's.
    pub fn step_in_place(&self, [_, x]: Place, count: usize, out_width: usize) -> Option<usize> {
        let [_, width, channels] = self.extent;
        let point = self.kernel == [1, 1] && self.before == [0, 0] && self.flip == 0;
        let whole = self.quads * QUAD == channels && self.input.as_ptr().addr().is_multiple_of(QUAD);
        let even = x + count <= out_width || (self.stride == [1, 1] && out_width == width);
        (point && whole && even).then_some(self.stride[1] * channels)
    }

    /// First byte of the window of an output position, if that is in place.
    pub fn at(&self, [y, x]: Place) -> *const u8 {
        let [_, width, channels] = self.extent;
        self.input.as_ptr().wrapping_add((y * self.stride[0] * width + x * self.stride[1]) * channels)
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

    /// Reads the windows of neighbouring positions of one output row into a core's room, as those of `positions`. `padding` holds
    /// at least as many padded quads as the part has of one tap.
    ///
    /// # Safety
    /// The part's quads, over all groups, fit into the room behind its place; so do the positions.
    pub unsafe fn read<C: Core>(
        &self,
        [y, x]: Place,
        positions: Range<usize>,
        part: &Part,
        padding: &[u32],
        room: &mut C::Room,
    ) {
        let [_, width, channels] = self.extent;
        let across = self.stride[1];
        let top = (y * self.stride[0]).wrapping_sub(self.before[0]);
        // The last quad of a run may end up to three bytes behind it; in the last row, these may lie behind the input.
        let height = self.extent[0].saturating_sub(usize::from(!self.run_len.is_multiple_of(QUAD)));
        let rows = inside(top, height, self.kernel[0]);
        let padding = Origin { at: padding.as_ptr().cast(), next: 0, row: 0, run: 0, quad: 0 };
        let mut put = |positions: &Range<usize>, rows: Range<usize>, runs: Range<usize>, from: &Origin| {
            // SAFETY: the caller's, and `from` has what is read of it: see below.
            unsafe { self.put::<C>(positions, rows, runs, from, part, room) };
        };
        let mut first = positions.start;
        while first < positions.end {
            let left = ((x + first - positions.start) * across).wrapping_sub(self.before[1]);
            let runs = inside(left, (width + 1).saturating_sub(self.columns), self.runs);
            // Positions that have the same runs inside.
            let spare = (width + 1).wrapping_sub(self.columns + self.runs + left);
            let count = if runs == (0..self.runs) { spare.checked_div(across).map_or(1, |more| more + 1) } else { 1 };
            let same = first..positions.end.min(first + count);
            first = same.end;
            let at = top.wrapping_mul(width).wrapping_add(left).wrapping_mul(channels);
            let from = Origin {
                at: self.input.as_ptr().wrapping_add(at.wrapping_add(part.groups.start * self.run_len)),
                next: across * channels,
                row: width * channels,
                run: channels,
                quad: QUAD,
            };
            put(&same, rows.clone(), runs.clone(), &from);
            let outside = [0..rows.start, rows.end..self.kernel[0]];
            if !self.is_mixed() {
                for rows in outside {
                    put(&same, rows, 0..self.runs, &padding);
                }
                for runs in [0..runs.start, runs.end..self.runs] {
                    put(&same, rows.clone(), runs, &padding);
                }
                continue;
            }
            // There is one run a row: all of it, or less.
            let rest = if runs.is_empty() { [0..self.kernel[0], 0..0] } else { outside };
            for row in rest.into_iter().flatten() {
                for position in same.clone() {
                    let column = left.wrapping_add((position - same.start) * across);
                    let run = self.mixed([top.wrapping_add(row), column]);
                    let from = Origin { at: run.as_ptr(), quad: QUAD, ..padding };
                    put(&(position..position + 1), row..row + 1, 0..1, &from);
                }
            }
        }
    }

    /// Reads some rows and runs of some positions' windows, those that the part has.
    ///
    /// # Safety
    /// As of [`Source::read`]; the runs can be read.
    #[inline(never)]
    unsafe fn put<C: Core>(
        &self,
        positions: &Range<usize>,
        rows: Range<usize>,
        runs: Range<usize>,
        from: &Origin,
        part: &Part,
        room: &mut C::Room,
    ) {
        if rows.is_empty() || runs.is_empty() {
            return;
        }
        let strip = Strip {
            first: positions.start,
            count: positions.len(),
            rows: rows.len(),
            runs: runs.len(),
            place: part.to + (rows.start * self.runs + runs.start) * self.run_quads,
            row_quads: self.runs * self.run_quads,
            run_quads: self.run_quads,
            groups: part.groups.len(),
            window: self.quads,
        };
        if part.quads.len() == self.quads {
            let from = Origin { at: from.of(rows.start, runs.start, 0), ..*from };
            // SAFETY: the caller's.
            unsafe { C::put(room, &strip, &from, self.flip) };
            return;
        }
        for (row, run) in rows.flat_map(|row| runs.clone().map(move |run| (row, run))) {
            let first = (row * self.runs + run) * self.run_quads;
            let quads = first.max(part.quads.start)..(first + self.run_quads).min(part.quads.end);
            if quads.is_empty() {
                continue;
            }
            let place = part.to + quads.start - part.quads.start;
            let strip = Strip { place, rows: 1, runs: 1, run_quads: quads.len(), ..strip };
            let from = Origin { at: from.of(row, run, quads.start - first), ..*from };
            // SAFETY: the caller's.
            unsafe { C::put(room, &strip, &from, self.flip) };
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

/// Which of so many neighbours, the first of them at `first` or, wrapped, before 0, lie below `end`.
fn inside(first: usize, end: usize, count: usize) -> Range<usize> {
    let before = if first.cast_signed() < 0 { first.wrapping_neg().min(count) } else { 0 };
    let below = end.saturating_sub(first.wrapping_add(before)).min(count - before);
    before..before + below
}

/// Where the bytes of windows lie.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    /// The first of the first position.
    pub at: *const u8,
    /// Bytes from a position to the next one, from a kernel row to the next, from a run to the next.
    pub next: usize,
    pub row: usize,
    pub run: usize,
    /// From a run's start to its next quad, for a run that is not read from its start. Of padding, any quad is like the first.
    pub quad: usize,
}

impl Origin {
    /// A quad of a run of the first position.
    fn of(&self, row: usize, run: usize, quad: usize) -> *const u8 {
        self.at.wrapping_add(row * self.row + run * self.run + quad * self.quad)
    }
}

/// Where they go in a core's room: of each position and run, `run_quads` quads; then, `window` quads behind the first of these,
/// those of the next of the `groups`, which lie side by side in the input.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Positions of the tile: the first, and how many.
    pub first: usize,
    pub count: usize,
    /// Kernel rows, and runs of each.
    pub rows: usize,
    pub runs: usize,
    /// Of the first run.
    pub place: usize,
    /// Quads from a row to the next, from a run to the next.
    pub row_quads: usize,
    pub run_quads: usize,
    pub groups: usize,
    pub window: usize,
}
