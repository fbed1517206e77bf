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
        let mut source = Source { flip: u32::from_ne_bytes([flip; 4]), ..Self::point(args.input, args.input_shape, layout) };
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

    /// The bytes that a position reads in place, if its window is one position of whole quads as they are stored: from there
    /// on there are `quads` · 4.
    pub fn in_place(&self, [y, x]: Place) -> Option<&'a [u8]> {
        let point = self.kernel == [1, 1] && self.before == [0, 0] && self.flip == 0;
        let [height, width, channels] = self.extent;
        let [row, column] = [y * self.stride[0], x * self.stride[1]];
        if !(point && self.quads * QUAD == channels && row < height && column < width) {
            return None;
        }
        let at = (row * width + column) * channels;
        self.input.get(at..at + channels)
    }

    /// A quad of these codes as the input stores them.
    pub fn stored(&self, codes: [i8; QUAD]) -> u32 {
        u32::from_ne_bytes(codes.map(|code| code as u8)) ^ self.flip
    }

    /// Whether it can be read: longer runs of several positions have no room in [`Source::mixed`].
    pub fn is_readable(&self) -> bool {
        self.columns == 1 || self.run_quads * QUAD <= LONGEST
    }

    /// Reads windows into a core's room, from quad `to` of it on. `padding` holds at least as many padded quads as the part
    /// has of one tap.
    ///
    /// # Safety
    /// The part's quads, over all groups, fit into the room behind `to`.
    pub unsafe fn read<C: Core>(&self, places: &[Place], part: &Part, padding: &[u32], to: usize, room: &mut C::Room) {
        let [height, width, channels] = self.extent;
        let [rows, columns] = self.kernel;
        let whole = part.quads.len() == self.quads;
        // The last quad of a run may end up to three bytes behind it; a further row keeps these inside the input.
        let behind = usize::from(self.columns > 1);
        let from = part.groups.start * self.run_len;
        for (position, &[y, x]) in places.iter().enumerate() {
            let top = (y * self.stride[0]).wrapping_sub(self.before[0]);
            let left = (x * self.stride[1]).wrapping_sub(self.before[1]);
            let mut strip =
                Strip { position, place: to, run: self.run_quads, groups: part.groups.len(), window: self.quads };
            if whole && top < height && top + rows + behind <= height && left < width && left + columns <= width {
                let taps = Taps { rows, columns: self.runs, down: width * channels, across: channels };
                let from = self.input.as_ptr().wrapping_add((top * width + left) * channels + from);
                // SAFETY: the caller's, and the window lies inside the input.
                unsafe { C::put(room, strip, from, taps, self.flip) };
                continue;
            }
            // Of the window's quads, the first of this run.
            let mut first = 0;
            for row in (0..rows).map(|down| top.wrapping_add(down)) {
                for column in (0..self.runs).map(|across| left.wrapping_add(across)) {
                    let (start, end) = (first.max(part.quads.start), (first + self.run_quads).min(part.quads.end));
                    let skip = (start - first) * QUAD;
                    first += self.run_quads;
                    strip.run = end.saturating_sub(start);
                    if strip.run == 0 {
                        continue;
                    }
                    // SAFETY: the caller's: the strip is the part's, of this run, which lies inside the input or elsewhere.
                    unsafe {
                        if self.columns > 1 {
                            let run = self.mixed([row, column]);
                            C::put(room, strip, run.as_ptr().wrapping_add(skip), Taps::ONE, self.flip);
                        } else if row < height && column < width {
                            let at = (row * width + column) * channels + from + skip;
                            C::put(room, strip, self.input.as_ptr().wrapping_add(at), Taps::ONE, self.flip);
                        } else {
                            C::put(room, strip, padding.as_ptr().cast(), Taps::ONE, self.flip);
                        }
                    }
                    strip.place += strip.run;
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

/// A window's runs, in bytes of the input.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    pub rows: usize,
    pub columns: usize,
    /// From one row to the next, and from one column.
    pub down: usize,
    pub across: usize,
}

impl Taps {
    pub const ONE: Taps = Taps { rows: 1, columns: 1, down: 0, across: 0 };
}

/// Where bytes go in a core's room: into `run` quads from `place` on; then, `window` quads behind the first of these, into
/// those of the next of the `groups`. The next tap's follow on the first.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Of the tile.
    pub position: usize,
    pub place: usize,
    pub run: usize,
    pub groups: usize,
    pub window: usize,
}
