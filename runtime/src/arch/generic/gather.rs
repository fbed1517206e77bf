//! Windows of more than one position, copied into rows: one row an output, its runs side by side.

use cardinal_format::weights::QUAD;

use super::pad_bytes;
use crate::kernels::{ConvArgs, Storage};

/// Bytes of all rows.
const LEN: usize = 32 * 1024;
/// Bytes that are copied at once, at least: short runs are copied with what follows them.
const AT_ONCE: usize = 32;
/// Rows that are gathered together, at most.
const POSITIONS: usize = 48;

/// Gathered windows.
#[repr(C, align(64))]
pub(super) struct Rows([u8; LEN + AT_ONCE]);

impl Rows {
    pub fn new() -> Self {
        Rows([0; LEN + AT_ONCE])
    }

    /// First byte of the first row.
    pub fn first(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

/// How a convolution's windows are gathered.
pub(super) struct Gather<'a> {
    args: &'a ConvArgs<'a>,
    /// A padded position, in bytes as the input has them.
    pad: [u8; 4],
    /// Their bits that are inverted in the rows.
    flip: u8,
    /// Positions of a run, and runs of a kernel row.
    columns: usize,
    per_row: usize,
    /// Bytes of a run, and of a row.
    run: usize,
    row: usize,
    positions: usize,
}

impl<'a> Gather<'a> {
    /// `None` if fewer than `least` rows fit.
    pub fn new(args: &'a ConvArgs<'a>, storage: Storage, least: usize) -> Option<Self> {
        let layout = &args.layout;
        let across = usize::from(args.window.kernel[1]);
        let columns = if layout.row_runs() { across } else { 1 };
        let row = layout.quads() * QUAD;
        // Whole tiles, so that only the last is filled up.
        let positions = LEN.checked_div(row)?.min(POSITIONS) / least * least;
        let stored = if args.pixels { Storage::Biased } else { storage };
        let (pad, flip) = (pad_bytes(args, stored), stored.flip() ^ storage.flip());
        let fits = positions > 0 && args.input.len() >= args.input_shape.volume();
        let (per_row, run) = (across / columns.max(1), layout.run_len());
        fits.then_some(Gather { args, pad, flip, columns, per_row: per_row.max(1), run, row, positions })
    }

    /// Rows that are gathered together.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes of a row.
    pub fn row_len(&self) -> usize {
        self.row
    }

    /// Copies the windows of neighbouring output positions. What fills a run up to whole quads is any byte: it meets zero
    /// weights.
    pub fn copy(&self, first: usize, positions: usize, rows: &mut Rows) {
        let width = self.args.output_shape.width.max(1) as usize;
        for position in 0..positions {
            let place = first + position;
            self.copy_window([place / width, place % width], position * self.row, rows);
        }
        if self.flip != 0 {
            let bytes = rows.0.get_mut(..positions * self.row).unwrap_or_default();
            bytes.iter_mut().for_each(|byte| *byte ^= self.flip);
        }
    }

    /// Copies a window to this place.
    fn copy_window(&self, [y, x]: [usize; 2], mut to: usize, rows: &mut Rows) {
        let args = self.args;
        let [height, width, channels] =
            [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
        let [down, across] = args.window.stride.map(usize::from);
        let [top, left, ..] = args.window.padding.map(usize::from);
        let (top, left) = ((y * down).wrapping_sub(top), (x * across).wrapping_sub(left));
        let step = self.run.next_multiple_of(QUAD);
        let rows_inside = top < height && top + usize::from(args.window.kernel[0]) <= height;
        if rows_inside && left < width && left + self.columns <= width && self.per_row == 1 && self.run <= AT_ONCE {
            return self.copy_inside((top * width + left) * channels, to, step, rows);
        }
        for row in 0..usize::from(args.window.kernel[0]) {
            let row = top.wrapping_add(row);
            for run in 0..self.per_row {
                let column = left.wrapping_add(run * self.columns);
                self.copy_run([row, column], to, rows);
                to += step;
            }
        }
    }

    /// Copies a window of short runs that lies inside the input. What follows a run in its row is written after it.
    #[inline(always)]
    fn copy_inside(&self, from: usize, to: usize, step: usize, rows: &mut Rows) {
        let pitch = self.args.input_shape.width as usize * self.args.input_shape.channels as usize;
        let mut from = self.args.input.get(from..).unwrap_or_default();
        let mut to = rows.0.get_mut(to..).unwrap_or_default();
        for _ in 0..self.args.window.kernel[0] {
            match (to.first_chunk_mut::<AT_ONCE>(), from.first_chunk::<AT_ONCE>()) {
                (Some(to), Some(from)) => *to = *from,
                _ => copy(to, from, self.run),
            }
            from = from.get(pitch..).unwrap_or_default();
            to = to.get_mut(step..).unwrap_or_default();
        }
    }

    /// Copies a run that starts at this place, inside the input or not.
    #[inline(never)]
    fn copy_run(&self, [row, column]: [usize; 2], to: usize, rows: &mut Rows) {
        let shape = self.args.input_shape;
        let [height, width, channels] = [shape.height, shape.width, shape.channels].map(|n| n as usize);
        let from = row.wrapping_mul(width).wrapping_add(column).wrapping_mul(channels);
        let to = rows.0.get_mut(to..to + self.run).unwrap_or_default();
        if row < height && column < width && column + self.columns <= width {
            return copy(to, self.args.input.get(from..).unwrap_or_default(), self.run);
        }
        for (i, to) in to.chunks_mut(channels.max(1)).enumerate() {
            let column = column.wrapping_add(i);
            let from = from.wrapping_add(i * channels);
            match self.args.input.get(from..from.wrapping_add(channels)) {
                Some(from) if row < height && column < width => to.copy_from_slice(from),
                _ => to.iter_mut().zip(self.pad.iter().cycle()).for_each(|(to, &pad)| *to = pad),
            }
        }
    }
}

/// Copies so many bytes, or as many as there are.
#[inline(never)]
fn copy(to: &mut [u8], from: &[u8], len: usize) {
    to.iter_mut().zip(from).take(len).for_each(|(to, from)| *to = *from);
}
