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
            run_len: layout.run_len(),
            run_quads: layout.run_quads(),
            quads: layout.quads(),
        }
    }

    fn with_columns(self, layout: &WeightLayout) -> Self {
        let columns = if layout.row_runs() { self.kernel[1] } else { 1 };
        Source { columns, ..self }
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
        for (position, &[y, x]) in places.iter().enumerate() {
            let corner = [
                (y * self.stride[0]).wrapping_sub(self.before[0]),
                (x * self.stride[1]).wrapping_sub(self.before[1]),
            ];
            let mut first = 0;
            for down in 0..self.kernel[0] {
                for across in (0..self.kernel[1]).step_by(self.columns) {
                    let quads = first.max(part.quads.start)..(first + self.run_quads).min(part.quads.end);
                    if !quads.is_empty() {
                        let at = [corner[0].wrapping_add(down), corner[1].wrapping_add(across)];
                        let skip = quads.start - first;
                        let place = to + quads.start - part.quads.start;
                        let to = Strip { position, place, run: quads.len(), window: self.quads };
                        // SAFETY: the caller's: the strip is the part's, of this run.
                        unsafe { self.read_run::<C>(at, &part.groups, skip, to, room) };
                    }
                    first += self.run_quads;
                }
            }
        }
    }

    /// Reads the same run of some groups, from quad `skip` of each on.
    ///
    /// # Safety
    /// As in `read`: the strip lies in the room, once per group.
    unsafe fn read_run<C: Core>(
        &self,
        [row, column]: Place,
        groups: &Range<usize>,
        skip: usize,
        to: Strip,
        room: &mut C::Room,
    ) {
        let [height, width, channels] = self.extent;
        let inside = row < height && column < width && column + self.columns <= width;
        let (from, len) = (groups.start * self.run_len + skip * QUAD, to.run * QUAD);
        if inside {
            let at = (row * width + column) * channels + from;
            // Of several groups, whole runs lie side by side.
            let len = if groups.len() == 1 { len.min(self.run_len - skip * QUAD) } else { groups.len() * len };
            let bytes = self.input.get(at..at + len).unwrap_or_default();
            // SAFETY: the caller's.
            return unsafe { C::put(room, to, bytes, self.flip) };
        }
        let padded = self.columns == 1 || row >= height;
        for group in 0..groups.len() {
            for quad in 0..to.run {
                let bytes: [u8; QUAD] = core::array::from_fn(|i| {
                    let byte = from + quad * QUAD + i;
                    let column = column.wrapping_add(byte / channels.max(1));
                    match self.input.get(row.wrapping_mul(width).wrapping_add(column).wrapping_mul(channels).wrapping_add(byte % channels.max(1))) {
                        Some(&byte) if !padded && column < width => byte,
                        _ => self.pad[byte % channels.max(1) % QUAD],
                    }
                });
                let to = Strip { place: to.place + group * to.window + quad, run: 1, ..to };
                // SAFETY: the caller's: it is one quad of the strip.
                unsafe { C::put(room, to, &bytes, self.flip) };
            }
        }
    }
}

/// Where bytes go in a core's room: into `run` quads from `place` on; then, `window` quads behind the first of these, into
/// those of the next group, and so on.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Of the tile.
    pub position: usize,
    pub place: usize,
    pub run: usize,
    pub window: usize,
}
