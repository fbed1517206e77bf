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
}

/// How a convolution's windows are gathered.
pub(super) struct Gather<'a> {
    args: &'a ConvArgs<'a>,
    pad: [u8; 4],
    /// Bits of an input byte that differ from how rows are stored.
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
        let (pad, stored) = (pad_bytes(args, storage), if args.pixels { Storage::Biased } else { storage });
        let flip = stored.flip() ^ storage.flip();
        let fits = positions > 0 && args.input.len() >= args.input_shape.volume();
        let (per_row, run) = (across / columns.max(1), layout.run_len());
        fits.then_some(Gather { args, pad, flip, columns, per_row: per_row.max(1), run, row, positions })
    }

    /// Rows that are gathered together.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// First byte of a row.
    pub fn row(&self, rows: &Rows, number: usize) -> *const u8 {
        rows.0.as_ptr().wrapping_add(number * self.row)
    }

    /// Copies an output position's window. What fills a run up to whole quads is any byte: it meets zero weights.
    pub fn copy(&self, [y, x]: [usize; 2], number: usize, rows: &mut Rows) {
        let args = self.args;
        let [height, width, channels] =
            [args.input_shape.height, args.input_shape.width, args.input_shape.channels].map(|n| n as usize);
        let [down, across] = args.window.stride.map(usize::from);
        let [top, left, ..] = args.window.padding.map(usize::from);
        let (top, left) = ((y * down).wrapping_sub(top), (x * across).wrapping_sub(left));
        let mut to = number * self.row;
        for row in 0..usize::from(args.window.kernel[0]) {
            let row = top.wrapping_add(row);
            for column in 0..self.per_row {
                let column = left.wrapping_add(column);
                let inside = row < height && column < width && column + self.columns <= width;
                let from = row.wrapping_mul(width).wrapping_add(column).wrapping_mul(channels);
                if inside {
                    self.copy_run(from, to, rows);
                } else {
                    let to = rows.0.get_mut(to..to + self.run).unwrap_or_default();
                    for (i, to) in to.chunks_mut(channels.max(1)).enumerate() {
                        let column = column.wrapping_add(i);
                        let from = from.wrapping_add(i * channels);
                        match args.input.get(from..from.wrapping_add(channels)) {
                            Some(from) if row < height && column < width => {
                                to.iter_mut().zip(from).for_each(|(to, from)| *to = from ^ self.flip);
                            }
                            _ => to.iter_mut().zip(self.pad.iter().cycle()).for_each(|(to, &pad)| *to = pad),
                        }
                    }
                }
                to += self.run.next_multiple_of(QUAD);
            }
        }
    }

    /// Copies a run that lies inside the input. What follows a short one in its row is written after it.
    fn copy_run(&self, from: usize, to: usize, rows: &mut Rows) {
        let from = self.args.input.get(from..).unwrap_or_default();
        let to = rows.0.get_mut(to..).unwrap_or_default();
        match (to.first_chunk_mut::<AT_ONCE>(), from.first_chunk::<AT_ONCE>()) {
            (Some(to), Some(from)) if self.run <= AT_ONCE => *to = from.map(|byte| byte ^ self.flip),
            _ => to.iter_mut().zip(from).take(self.run).for_each(|(to, from)| *to = from ^ self.flip),
        }
    }
}
