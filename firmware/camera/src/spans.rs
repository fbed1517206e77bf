//! Which rows or columns of a frame each row or column of an input covers.

use core::ops::Range;

/// A range of frame rows (or columns) for each input row (or column), in order and never empty. They follow one
/// another without a gap; where the input has more of them than the frame, ranges of one row repeat.
///
/// Range i is from ⌊i·crop/to⌋ to ⌊(i + 1)·crop/to⌋, behind the part that is cropped off; kept as quotient and
/// remainder, since this runs once per frame row and input column, and a small core divides slowly.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    start: u32,
    remainder: u32,
    crop: u32,
    to: u32,
    left: u32,
}

impl Spans {
    /// Those of the rows and of the columns of an input of `to` (height, width), in the largest centred part of a frame
    /// of `from` that has the input's proportions. No side is 0.
    pub(crate) fn centred(from: [u16; 2], to: [u16; 2]) -> [Spans; 2] {
        // Products of two 16-bit sides fit in 32 bits.
        let [from_height, from_width] = from.map(u32::from);
        let [to_height, to_width] = to.map(u32::from);
        let crop_height = (from_width * to_height / to_width).min(from_height).max(1);
        let crop_width = (from_height * to_width / to_height).min(from_width).max(1);
        let spans = |from: u32, crop, to| Spans { start: (from - crop) / 2, remainder: 0, crop, to, left: to };
        [spans(from_height, crop_height, to_height), spans(from_width, crop_width, to_width)]
    }
}

impl Iterator for Spans {
    type Item = Range<u32>;

    fn next(&mut self) -> Option<Range<u32>> {
        self.left = self.left.checked_sub(1)?;
        let first = self.start;
        self.remainder += self.crop;
        while let Some(rest) = self.remainder.checked_sub(self.to) {
            (self.remainder, self.start) = (rest, self.start + 1);
        }
        Some(first..self.start.max(first + 1))
    }
}
