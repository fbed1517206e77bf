//! From a frame of any size to a model's input.

use crate::Frame;
use crate::row_fit::{Plan, RowFit};

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
    /// Too little room for the sums of one row of the input.
    #[error("one row takes {expected} sums, but the scratch has {given}: lengthen it")]
    Scratch {
        /// width × channels.
        expected: usize,
        /// Sums that fit into the scratch.
        given: usize,
    },
}

/// Sums that [`fit`] keeps on the stack; it goes over the frame once for every so many of an input row.
const SUMS: usize = 96;

/// Fills `out` with the frame's centre, as height × width × channels bytes; 1 channel is luma, 3 are RGB.
///
/// The largest centred part of the frame that has the input's proportions is used. When shrinking, an output pixel is
/// the rounded mean of the box of frame pixels that it covers, and each frame pixel falls into one box; when
/// enlarging, it is the nearest frame pixel.
///
/// Fit for a live preview and for the first bring-up. A model's accuracy was measured with the resampling and the crop
/// stored in its file, which differ a little: most take a smaller part of the centre.
///
/// [`RowFit`] gives the same bytes of a frame that arrives row by row.
///
/// ```
/// use cardinal_camera::{Frame, PixelFormat, fit};
///
/// let frame = Frame::new(2, 2, PixelFormat::Grey8, &[10, 20, 30, 40]).unwrap();
/// let mut input = [0; 1];
/// fit(&frame, &mut input, 1, 1, 1).unwrap();
/// assert_eq!(input, [25]);
/// ```
///
/// # Errors
/// The input has a side of 0 or over 65,535, or neither 1 nor 3 channels; or `out` has another length. `out` is
/// untouched then.
pub fn fit(frame: &Frame<'_>, out: &mut [u8], height: u32, width: u32, channels: u32) -> Result<(), FitError> {
    let plan = Plan::new(frame.shape(), out.len(), [height, width, channels])?;
    let columns = if plan.channels == 1 { SUMS } else { SUMS / 3 };
    for first_column in (0..plan.width).step_by(columns) {
        let mut sums = [0; SUMS];
        let mut rows = RowFit::of_columns(plan.clone(), first_column, &mut sums, out);
        frame.rows().for_each(|row| rows.add(row));
    }
    Ok(())
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
