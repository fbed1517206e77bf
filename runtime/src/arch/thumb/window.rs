//! Windows of a convolution, read for a tile of output positions.
//!
//! A window's bytes become *quads*, four inputs each, in the order of the weights: those of a group side by side. What lies
//! outside the input is padding.

use core::ops::Range;

use cardinal_format::Shape;
use cardinal_format::weights::{QUAD, WeightLayout};

use super::Core;
use crate::kernels::{ConvArgs, ProjectionArgs, Storage};

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
    /// A padded position's bytes as they are stored, by channel mod 4.
    pad: [u8; 4],
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
        let pad = args.pad_codes.map(|code| code as u8 ^ flip);
        let (kernel, stride) = (args.window.kernel.map(usize::from), args.window.stride.map(usize::from));
        Source { before: [top, left], pad, flip: u32::from_ne_bytes([flip; 4]), kernel, stride, ..Self::point(args.input, args.input_shape, &args.layout) }
            .with_columns(&args.layout)
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
            pad: [0; 4],
            flip: 0,
            columns: 1,
            runs: 1,
            run_len: layout.run_len(),
            run_quads: layout.run_quads(),
            quads: layout.quads(),
        }
    }

    fn with_columns(self, layout: &WeightLayout) -> Self {
        let (columns, runs) = if layout.row_runs() { (self.kernel[1], 1) } else { (1, self.kernel[1]) };
        Source { columns, runs, ..self }
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

    /// Reads windows into a core's room, from quad `to` of it on.
    ///
    /// # Safety
    /// The part's quads, over all groups, fit into the room behind `to`.
    pub unsafe fn read<C: Core>(&self, places: &[Place], part: &Part, to: usize, room: &mut C::Room) {
        let [height, width, channels] = self.extent;
        let [rows, columns] = self.kernel;
        let groups = part.groups.len();
        let whole = part.quads.len() == self.quads;
        for (position, &[y, x]) in places.iter().enumerate() {
            let top = (y * self.stride[0]).wrapping_sub(self.before[0]);
            let left = (x * self.stride[1]).wrapping_sub(self.before[1]);
            let mut strip = Strip { position, place: to, run: self.run_quads, groups, window: self.quads };
            let from = part.groups.start * self.run_len;
            let inside = top < height && top + rows < height && left < width && left + columns <= width;
            if whole && (inside || self.is_point()) {
                let mut at = self.input.as_ptr().wrapping_add((top * width + left) * channels + from);
                for _ in 0..rows {
                    let mut run = at;
                    for _ in 0..self.runs {
                        // SAFETY: the caller's, and the window lies inside the input. The last quad of a run may end up to
                        // three bytes behind it, where the next row begins, of which there is one.
                        unsafe { C::put(room, strip, run, self.flip) };
                        strip.place += strip.run;
                        run = run.wrapping_add(channels);
                    }
                    at = at.wrapping_add(width * channels);
                }
                continue;
            }
            // Of the window's quads, the first of this run.
            let mut first = 0;
            for row in (0..rows).map(|down| top.wrapping_add(down)) {
                for across in (0..columns).step_by(self.columns) {
                    let (start, end) = (first.max(part.quads.start), (first + self.run_quads).min(part.quads.end));
                    let skip = start - first;
                    first += self.run_quads;
                    strip.run = end.saturating_sub(start);
                    if strip.run == 0 {
                        continue;
                    }
                    let column = left.wrapping_add(across);
                    // SAFETY: the caller's: the strip is the part's, of this run.
                    unsafe {
                        if self.columns > 1 {
                            self.mixed::<C>(room, strip, [row, column], skip * QUAD);
                        } else if row < height && column < width {
                            let at = (row * width + column) * channels + from + skip * QUAD;
                            C::put(room, strip, self.input.as_ptr().wrapping_add(at), self.flip);
                        } else {
                            C::fill(room, strip, self.pad, self.flip);
                        }
                    }
                    strip.place += strip.run;
                }
            }
        }
    }

    /// A window of one position, which never leaves the input.
    fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.columns == 1 && self.run_len.is_multiple_of(QUAD)
    }

    /// Reads a run of several positions, byte by byte: some lie outside, or its last quad is not all there. It starts `skip`
    /// bytes behind its first position's.
    ///
    /// # Safety
    /// The strip lies in the room.
    unsafe fn mixed<C: Core>(&self, room: &mut C::Room, strip: Strip, [row, column]: Place, skip: usize) {
        let [height, width, channels] = self.extent;
        let (mut column, mut channel) = (column.wrapping_add(skip / channels.max(1)), skip % channels.max(1));
        let pixels = if row < height { self.input.get(row * width * channels..).unwrap_or_default() } else { &[] };
        let mut next = || {
            let byte = match pixels.get(column.wrapping_mul(channels).wrapping_add(channel)) {
                Some(&byte) if column < width => byte,
                _ => self.pad[channel % QUAD],
            };
            channel += 1;
            if channel == channels {
                (channel, column) = (0, column.wrapping_add(1));
            }
            byte
        };
        for quad in 0..strip.run {
            let bytes = [next(), next(), next(), next()];
            // SAFETY: the caller's: it is one quad of the strip.
            unsafe { C::put(room, Strip { place: strip.place + quad, run: 1, ..strip }, bytes.as_ptr(), self.flip) };
        }
    }
}

/// Where bytes go in a core's room: into `run` quads from `place` on; then, `window` quads behind the first of these, into
/// those of the next of the `groups`.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Of the tile.
    pub position: usize,
    pub place: usize,
    pub run: usize,
    pub groups: usize,
    pub window: usize,
}
