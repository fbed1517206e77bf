//! From rows, one at a time, to a model's input.

use core::iter::zip;
use core::ops::Range;

use crate::spans::Spans;
use crate::{FitError, FrameShape, PixelFormat, convert};

/// Fills a model's input with a frame that arrives row by row, as [`fit`](crate::fit()) does with a whole frame and to
/// the same bytes; for cameras whose frame does not fit beside the model.
///
/// Give it every row of the frame from the top with [`push`](Self::push), those it crops off included, then call
/// [`finish`](Self::finish). Only when that returns `Ok` does the input hold a frame.
#[derive(Debug)]
pub struct RowFit<'a> {
    plan: Plan,
    first_column: usize,
    sums: &'a mut [u32],
    out: &'a mut [u8],
    // Rows seen of the frame and rows done of the input.
    seen: u32,
    done: usize,
    span: Option<Range<u32>>,
    error: Option<RowError>,
}

/// Why rows are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RowError {
    /// A row has too few bytes, or too many.
    #[error("row {row} takes {expected} bytes, but has {given}: check resolution and pixel format")]
    Length {
        /// Which row, from 0.
        row: u32,
        /// Bytes that width and format ask for.
        expected: usize,
        /// Bytes of the row.
        given: usize,
    },
    /// Too few rows, or one too many.
    #[error("the frame takes {expected} rows, but {given} came: drop it and capture another")]
    Count {
        /// Rows of the frame.
        expected: u32,
        /// Rows until the end, or until one was too many.
        given: u32,
    },
}

impl<'a> RowFit<'a> {
    /// For one frame of `frame`'s shape, into `out` as height × width × channels bytes; 1 channel is luma, 3 are RGB.
    /// `scratch` takes width × channels sums (of the input, not of the frame) or more; what it holds does not matter.
    ///
    /// # Errors
    /// As [`fit`](crate::fit()), or `scratch` is too short.
    pub fn new(
        frame: FrameShape,
        out: &'a mut [u8],
        height: u32,
        width: u32,
        channels: u32,
        scratch: &'a mut [u32],
    ) -> Result<Self, FitError> {
        let plan = Plan::new(frame, out.len(), [height, width, channels])?;
        let (expected, given) = (plan.width * plan.channels, scratch.len());
        let sums = scratch.get_mut(..expected).ok_or(FitError::Scratch { expected, given })?;
        sums.fill(0);
        Ok(RowFit::of_columns(plan, 0, sums, out))
    }

    /// The part of the input that begins with column `first_column` and is as wide as `sums`, all 0, has room for.
    pub(crate) fn of_columns(mut plan: Plan, first_column: usize, sums: &'a mut [u32], out: &'a mut [u8]) -> Self {
        plan.columns.by_ref().take(first_column).for_each(drop);
        let span = plan.rows.next();
        RowFit { plan, first_column, sums, out, seen: 0, done: 0, span, error: None }
    }

    /// Takes the frame's next row.
    ///
    /// # Errors
    /// The row has another length, or the frame was complete; from then on, every call returns that error.
    pub fn push(&mut self, row: &[u8]) -> Result<(), RowError> {
        let (expected, given) = (self.plan.frame.row_len(), row.len());
        let height = u32::from(self.plan.frame.height());
        if self.error.is_none() {
            self.error = if self.seen == height {
                Some(RowError::Count { expected: height, given: height + 1 })
            } else {
                (given != expected).then_some(RowError::Length { row: self.seen, expected, given })
            };
        }
        self.error.map_or(Ok(()), Err)?;
        self.add(row);
        Ok(())
    }

    /// Says whether `out` now holds a frame.
    ///
    /// # Errors
    /// That of an earlier [`push`](Self::push), or rows are missing. `out` is half-filled then.
    pub fn finish(self) -> Result<(), RowError> {
        self.error.map_or(Ok(()), Err)?;
        let expected = u32::from(self.plan.frame.height());
        if self.seen == expected { Ok(()) } else { Err(RowError::Count { expected, given: self.seen }) }
    }

    /// `push` of a row that is known to be one.
    pub(crate) fn add(&mut self, row: &[u8]) {
        if self.plan.channels == 1 {
            self.add_pixels(row, convert::grey);
        } else {
            self.add_pixels(row, convert::rgb);
        }
    }

    /// `add` for `C` channels, of which `pixel` reads those of one pixel of a row.
    fn add_pixels<const C: usize>(&mut self, row: &[u8], pixel: impl Fn(PixelFormat, &[u8], usize) -> [u8; C]) {
        let format = self.plan.frame.format();
        let sums = self.sums.as_chunks_mut::<C>().0;
        // More than one input row lies on this frame row when enlarging; none where it is cropped off.
        while let Some(span) = self.span.clone().filter(|span| span.contains(&self.seen)) {
            for (columns, sum) in zip(self.plan.columns.clone(), &mut *sums) {
                for x in columns {
                    // At most 2^24 pixels of 255, and half of that for rounding: below 2^32.
                    let values = pixel(format, row, x as usize);
                    zip(&mut *sum, values).for_each(|(sum, value)| *sum += u32::from(value));
                }
            }
            if self.seen + 1 < span.end {
                break;
            }
            let first = self.done * self.plan.width + self.first_column;
            let out = self.out.as_chunks_mut::<C>().0.iter_mut().skip(first);
            for ((columns, sum), out) in zip(zip(self.plan.columns.clone(), &mut *sums), out) {
                // Never 0; saying so once more spares the compiler a panic.
                let count = (span.len() * columns.len()).max(1) as u32;
                *out = core::mem::replace(sum, [0; C]).map(|sum| ((sum + count / 2) / count) as u8);
            }
            self.done += 1;
            self.span = self.plan.rows.next();
        }
        self.seen += 1;
    }
}

/// Which part of a frame goes where in an input.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) frame: FrameShape,
    rows: Spans,
    columns: Spans,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Plan {
    /// For an input of `out_len` bytes. Errors as `fit`.
    pub(crate) fn new(frame: FrameShape, out_len: usize, input: [u32; 3]) -> Result<Self, FitError> {
        let [height, width, channels] = input;
        let side = |n| u16::try_from(n).ok().filter(|&n| n > 0);
        let (Some(to_height), Some(to_width), 1 | 3) = (side(height), side(width), channels) else {
            return Err(FitError::Input { height, width, channels });
        };
        let (width, channels) = (usize::from(to_width), if channels == 1 { 1 } else { 3 });
        let expected = usize::from(to_height).saturating_mul(width).saturating_mul(channels);
        if out_len != expected {
            return Err(FitError::Length { expected, given: out_len });
        }
        let [rows, columns] = Spans::centred([frame.height(), frame.width()], [to_height, to_width]);
        Ok(Plan { frame, rows, columns, width, channels })
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::faults::noise;
    use crate::{Frame, fit};

    /// What `fit` promises, pixel by pixel, from the formula alone.
    fn boxes(frame: &Frame<'_>, [height, width]: [usize; 2], channels: usize) -> Vec<u8> {
        let from = [usize::from(frame.height()), usize::from(frame.width())];
        let crop = [(from[1] * height / width).clamp(1, from[0]), (from[0] * width / height).clamp(1, from[1])];
        let span = |axis: usize, i: usize, to: usize| {
            let at = |i: usize| (from[axis] - crop[axis]) / 2 + i * crop[axis] / to;
            at(i)..at(i + 1).max(at(i) + 1)
        };
        let rows: Vec<&[u8]> = frame.rows().collect();
        let value = |y: usize, x: usize, c: usize| match channels {
            1 => convert::grey(frame.format(), rows[y], x)[0],
            _ => convert::rgb(frame.format(), rows[y], x)[c],
        };
        let mut out = Vec::new();
        for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
            for c in 0..channels {
                let pixels = span(0, i, height).flat_map(|y| span(1, j, width).map(move |x| (y, x)));
                let values: Vec<u32> = pixels.map(|(y, x)| u32::from(value(y, x, c))).collect();
                let count = values.len() as u32;
                out.push(((values.iter().sum::<u32>() + count / 2) / count) as u8);
            }
        }
        out
    }

    #[test]
    fn rows_give_the_bytes_of_the_whole_frame() {
        // Across 1, 32 and 96, the last two where `fit` starts another turn.
        let inputs = [1, 2, 3, 5, 7, 8, 13, 31, 33, 97];
        let frames = [(1, 1), (2, 1), (2, 7), (6, 4), (12, 5), (8, 8), (40, 3), (64, 48), (100, 9), (4, 60)];
        let formats = [PixelFormat::Grey8, PixelFormat::Rgb888, PixelFormat::Rgb565, PixelFormat::Yuv422];
        let mut state = 1;
        let bytes: Vec<u8> = (0..64 * 48 * 3).map(|_| noise(&mut state)).collect();
        for (k, (from_width, from_height)) in frames.into_iter().enumerate() {
            for (n, (height, width)) in inputs.iter().flat_map(|h| inputs.map(|w| (*h, w))).enumerate() {
                let format = match formats[(n + k) % formats.len()] {
                    PixelFormat::Yuv422 if from_width % 2 == 1 => PixelFormat::Rgb565,
                    format => format,
                };
                let shape = FrameShape::new(from_width, from_height, format).unwrap();
                let frame = Frame::new(from_width, from_height, format, &bytes[..shape.frame_len()]).unwrap();
                for channels in [1, 3] {
                    let expected = boxes(&frame, [height as usize, width as usize], channels as usize);
                    let mut out = vec![0; expected.len()];
                    fit(&frame, &mut out, height, width, channels).unwrap();
                    assert_eq!(out, expected, "{shape:?} to {height}×{width}×{channels}");
                    let mut scratch = vec![u32::MAX; (width * channels) as usize];
                    let mut rows = RowFit::new(shape, &mut out, height, width, channels, &mut scratch).unwrap();
                    frame.rows().for_each(|row| rows.push(row).unwrap());
                    rows.finish().unwrap();
                    assert_eq!(out, expected, "{shape:?} to {height}×{width}×{channels} by rows");
                }
            }
        }
    }

    #[test]
    fn wrong_rows_are_no_frame() {
        let length = |row, given| RowError::Length { row, expected: 4, given };
        let count = |given| RowError::Count { expected: 3, given };
        let table: [(&[usize], Result<(), RowError>); 8] = [
            (&[4, 4, 4], Ok(())),
            (&[], Err(count(0))),
            (&[4, 4], Err(count(2))),
            (&[4, 4, 4, 4], Err(count(4))),
            (&[4, 4, 4, 0, 4], Err(count(4))),
            (&[3, 4, 4], Err(length(0, 3))),
            (&[4, 4, 5], Err(length(2, 5))),
            // The first error stays.
            (&[4, 0, 4, 4, 4, 3], Err(length(1, 0))),
        ];
        for (lengths, expected) in table {
            let shape = FrameShape::new(2, 3, PixelFormat::Rgb565).unwrap();
            let (mut out, mut scratch) = ([0; 2], [0; 1]);
            let mut rows = RowFit::new(shape, &mut out, 2, 1, 1, &mut scratch).unwrap();
            let pushed = lengths.iter().map(|&len| rows.push(&[0; 8][..len])).last();
            let finished = rows.finish();
            assert_eq!(finished, expected, "{lengths:?}");
            if let Some(Err(error)) = pushed {
                assert_eq!(Err(error), expected, "{lengths:?}");
            }
        }
    }

    #[test]
    fn impossible_inputs() {
        let shape = FrameShape::new(2, 2, PixelFormat::Grey8).unwrap();
        let table = [
            ([0, 1, 1], 0, 9, FitError::Input { height: 0, width: 1, channels: 1 }),
            ([1, 1, 4], 4, 9, FitError::Input { height: 1, width: 1, channels: 4 }),
            ([2, 3, 1], 7, 9, FitError::Length { expected: 6, given: 7 }),
            ([2, 3, 3], 18, 8, FitError::Scratch { expected: 9, given: 8 }),
            ([2, 3, 1], 6, 2, FitError::Scratch { expected: 3, given: 2 }),
        ];
        for ([height, width, channels], len, sums, expected) in table {
            let (mut out, mut scratch) = (vec![1; len], vec![1; sums]);
            let made = RowFit::new(shape, &mut out, height, width, channels, &mut scratch);
            assert_eq!(made.map(|_| ()), Err(expected));
            assert!(out.iter().all(|&byte| byte == 1), "untouched");
        }
    }
}
