//! From a frame of any size to a model's input.

use core::ops::Range;

use crate::{Frame, convert};

/// Why a frame cannot become an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FitError {
    /// An input that is no image.
    #[error("an input of {height}×{width}×{channels}; sides must be 1 to 65535 and channels 1 (grey) or 3 (RGB)")]
    Input {
        /// Rows.
        height: u32,
        /// Pixels in a row.
        width: u32,
        /// Bytes of a pixel.
        channels: u32,
    },
    /// The buffer has another size than the input.
    #[error("the input takes {expected} bytes, but the buffer has {given}: hand over the model's image tensor")]
    Length {
        /// height × width × channels.
        expected: usize,
        /// Bytes of the buffer.
        given: usize,
    },
}

/// Fills `out` with the frame's centre, as height × width × channels bytes; 1 channel is luma, 3 are RGB.
///
/// The largest centred part of the frame that has the input's proportions is used. When shrinking, an output pixel is
/// the rounded mean of the box of frame pixels that it covers, and each frame pixel falls into one box; when
/// enlarging, it is the nearest frame pixel.
///
/// Fit for a live preview and for the first bring-up. A model's accuracy was measured with the resampling and the crop
/// stored in its file, which differ a little: most take a smaller part of the centre.
///
/// # Errors
/// The input has a side of 0 or over 65,535, or neither 1 nor 3 channels; or `out` has another length. `out` is
/// untouched then.
pub fn fit(frame: &Frame<'_>, out: &mut [u8], height: u32, width: u32, channels: u32) -> Result<(), FitError> {
    let side = |n| u16::try_from(n).ok().filter(|&n| n > 0);
    let (Some(rows), Some(columns), 1 | 3) = (side(height), side(width), channels) else {
        return Err(FitError::Input { height, width, channels });
    };
    let pixels = usize::from(rows).saturating_mul(usize::from(columns));
    let expected = pixels.saturating_mul(if channels == 1 { 1 } else { 3 });
    if out.len() != expected {
        return Err(FitError::Length { expected, given: out.len() });
    }
    let format = frame.format();
    if channels == 1 {
        scale(frame, out, [rows, columns], |row, x| convert::grey(format, row, x));
    } else {
        scale(frame, out, [rows, columns], |row, x| convert::rgb(format, row, x));
    }
    Ok(())
}

/// `fit` for `C` channels, of which `pixel` reads those of one pixel of a row. `out` is of `size` (height, width).
fn scale<const C: usize>(frame: &Frame<'_>, out: &mut [u8], size: [u16; 2], pixel: impl Fn(&[u8], usize) -> [u8; C]) {
    let [down, across] = spans(frame, size);
    for (rows, out_row) in down.zip(out.chunks_exact_mut(usize::from(size[1]) * C)) {
        for (columns, out_pixel) in across.clone().zip(out_row.as_chunks_mut::<C>().0) {
            // At most 2^24 pixels of 255, and half of that for rounding: below 2^32.
            let mut sum = [0; C];
            for row in frame.rows().skip(rows.start).take(rows.len()) {
                for x in columns.clone() {
                    let values = pixel(row, x);
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += u32::from(value));
                }
            }
            let count = (rows.len() * columns.len()) as u32;
            *out_pixel = sum.map(|sum| ((sum + count / 2) / count) as u8);
        }
    }
}

/// For each output row, then for each output column: the frame's rows or columns that it covers, never none.
fn spans(frame: &Frame<'_>, [height, width]: [u16; 2]) -> [impl Iterator<Item = Range<usize>> + Clone; 2] {
    // Products of two 16-bit sides fit in 32 bits.
    let [from_height, from_width] = [u32::from(frame.height()), u32::from(frame.width())];
    let [to_height, to_width] = [u32::from(height), u32::from(width)];
    let crop_height = (from_width * to_height / to_width).clamp(1, from_height);
    let crop_width = (from_height * to_width / to_height).clamp(1, from_width);
    let spans = |from: u32, crop: u32, to: u32| {
        let start = (from - crop) / 2;
        (0..to).map(move |i| {
            let (first, end) = (start + i * crop / to, start + (i + 1) * crop / to);
            first as usize..end.max(first + 1) as usize
        })
    };
    [spans(from_height, crop_height, to_height), spans(from_width, crop_width, to_width)]
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::PixelFormat;

    /// A grey frame with value 16 y + x.
    fn fitted(width: u16, height: u16, to: [u32; 2]) -> Vec<u8> {
        let bytes: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| (16 * y + x) as u8)).collect();
        let frame = Frame::new(width, height, PixelFormat::Grey8, &bytes).unwrap();
        let mut out = vec![0; (to[0] * to[1]) as usize];
        fit(&frame, &mut out, to[0], to[1], 1).unwrap();
        out
    }

    #[test]
    fn geometry() {
        let table: [(u16, u16, [u32; 2], &[u8]); 9] = [
            // The same size.
            (3, 2, [2, 3], &[0, 1, 2, 16, 17, 18]),
            // Only cropped, across and down; the odd pixel is lost on the far side.
            (5, 2, [2, 2], &[1, 2, 17, 18]),
            (2, 5, [2, 2], &[16, 17, 32, 33]),
            // Boxes of 2 × 2: the mean of 0 1 16 17 is 8.5, rounded up.
            (4, 4, [2, 2], &[9, 11, 41, 43]),
            // Boxes of 1 and 2.
            (3, 3, [2, 2], &[0, 2, 24, 26]),
            // Enlarged.
            (2, 2, [4, 4], &[0, 0, 1, 1, 0, 0, 1, 1, 16, 16, 17, 17, 16, 16, 17, 17]),
            (1, 1, [2, 3], &[0; 6]),
            // One pixel of all: of 4 × 4 in the middle of 6 × 4.
            (6, 4, [1, 1], &[27]),
            // A strip that no whole pixel has the proportions of.
            (2, 2, [1, 8], &[0, 0, 0, 0, 1, 1, 1, 1]),
        ];
        for (width, height, to, expected) in table {
            assert_eq!(fitted(width, height, to), expected, "{width}×{height} to {to:?}");
        }
    }

    #[test]
    fn formats_agree() {
        let grey = [0, 85, 170, 255];
        let rgb: Vec<u8> = grey.iter().flat_map(|&g| [g; 3]).collect();
        let yuyv: Vec<u8> = grey.chunks(2).flat_map(|p| [p[0], 128, p[1], 128]).collect();
        let frames = [(PixelFormat::Grey8, &grey[..]), (PixelFormat::Rgb888, &rgb), (PixelFormat::Yuv422, &yuyv)];
        for (format, bytes) in frames {
            let frame = Frame::new(4, 1, format, bytes).unwrap();
            let mut out = [0; 4];
            fit(&frame, &mut out, 1, 4, 1).unwrap();
            assert_eq!(out, grey, "{format:?}");
            let mut out = [0; 12];
            fit(&frame, &mut out, 1, 4, 3).unwrap();
            assert_eq!(out[..], rgb, "{format:?}");
        }
    }

    #[test]
    fn largest_sum_does_not_overflow() {
        let bytes = vec![255; 1 << 24];
        let frame = Frame::new(4096, 4096, PixelFormat::Grey8, &bytes).unwrap();
        let mut out = [0];
        fit(&frame, &mut out, 1, 1, 1).unwrap();
        assert_eq!(out, [255]);
        let frame = Frame::new(65_535, 1, PixelFormat::Grey8, &bytes[..65_535]).unwrap();
        let mut out = vec![0; 65_535];
        fit(&frame, &mut out, 1, 65_535, 1).unwrap();
        assert_eq!(out, &bytes[..65_535]);
        fit(&frame, &mut out, 65_535, 1, 1).unwrap();
        assert_eq!(out, &bytes[..65_535]);
    }

    #[test]
    fn impossible_inputs() {
        let frame = Frame::new(1, 1, PixelFormat::Grey8, &[9]).unwrap();
        let input = |height, width, channels| Err(FitError::Input { height, width, channels });
        let table = [
            (0, 1, 1, 0, input(0, 1, 1)),
            (1, 0, 3, 0, input(1, 0, 3)),
            (1, 65_536, 1, 65_536, input(1, 65_536, 1)),
            (1, 1, 2, 2, input(1, 1, 2)),
            (2, 2, 3, 11, Err(FitError::Length { expected: 12, given: 11 })),
            (2, 2, 1, 5, Err(FitError::Length { expected: 4, given: 5 })),
        ];
        for (height, width, channels, len, expected) in table {
            let mut out = vec![1; len];
            assert_eq!(fit(&frame, &mut out, height, width, channels), expected);
            assert!(out.iter().all(|&byte| byte == 1), "untouched");
        }
    }
}
