//! Pixels as a camera delivers them.

/// How a frame's bytes encode its pixels; rows follow one another from the top without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PixelFormat {
    /// One byte, 0 black to 255 white.
    Grey8,
    /// Three bytes: red, green, blue.
    Rgb888,
    /// Two bytes, the high one first: five bits red, six green, five blue.
    Rgb565,
    /// Four bytes for two neighbours: Y₀ Cb Y₁ Cr (YUYV). ITU-R BT.601 in full range, as in JPEG: luma 0 to 255, chroma
    /// 0 to 255 around 128. The width is even.
    Yuv422,
}

impl PixelFormat {
    /// Bytes of one pixel; of half a pair for [`PixelFormat::Yuv422`].
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            PixelFormat::Grey8 => 1,
            PixelFormat::Rgb565 | PixelFormat::Yuv422 => 2,
            PixelFormat::Rgb888 => 3,
        }
    }
}

/// One image, borrowed from whoever holds its bytes. Never empty, and exactly as many bytes as its size asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    width: u16,
    height: u16,
    format: PixelFormat,
    bytes: &'a [u8],
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// A side is 0, or the area exceeds [`Frame::MAX_PIXELS`].
    #[error("a frame of {width}×{height} pixels; it must have 1 to 16777216: set another resolution")]
    Size {
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// An odd width in a format that stores pixels in pairs.
    #[error("YUYV stores pixels in pairs, so a width of {width} is impossible: set an even one")]
    OddWidth {
        /// Pixels in a row.
        width: u16,
    },
    /// Too few bytes, or too many.
    #[error("the frame takes {expected} bytes, but {given} were given: check resolution and pixel format")]
    Length {
        /// Bytes that size and format ask for.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
}

impl<'a> Frame<'a> {
    /// Most pixels of a frame; up to there, [`fit`](crate::fit()) can sum them in 32 bits.
    pub const MAX_PIXELS: u32 = 1 << 24;

    /// A frame of `width` × `height` pixels.
    ///
    /// # Errors
    /// A side is 0, there are over [`Frame::MAX_PIXELS`] pixels, `width` is odd for [`PixelFormat::Yuv422`], or `bytes`
    /// is not exactly width × height × [`bytes_per_pixel`](PixelFormat::bytes_per_pixel) long.
    pub const fn new(width: u16, height: u16, format: PixelFormat, bytes: &'a [u8]) -> Result<Self, FrameError> {
        let pixels = width as u32 * height as u32;
        if pixels == 0 || pixels > Self::MAX_PIXELS {
            return Err(FrameError::Size { width, height });
        }
        if matches!(format, PixelFormat::Yuv422) && width % 2 == 1 {
            return Err(FrameError::OddWidth { width });
        }
        let expected = (pixels as usize).saturating_mul(format.bytes_per_pixel());
        if bytes.len() != expected {
            return Err(FrameError::Length { expected, given: bytes.len() });
        }
        Ok(Frame { width, height, format, bytes })
    }

    /// Pixels in a row, at least 1.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Rows, at least 1.
    pub const fn height(&self) -> u16 {
        self.height
    }

    /// Encoding of the pixels.
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// All pixels.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows from the top.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks_exact(usize::from(self.width) * self.format.bytes_per_pixel())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_length_are_checked() {
        use PixelFormat::{Grey8, Rgb565, Rgb888, Yuv422};
        let bytes = [0; 24];
        let table = [
            (4, 6, Grey8, 24, Ok(())),
            (4, 2, Rgb888, 24, Ok(())),
            (3, 4, Rgb565, 24, Ok(())),
            (4, 3, Yuv422, 24, Ok(())),
            (3, 4, Yuv422, 24, Err(FrameError::OddWidth { width: 3 })),
            (4, 3, Rgb565, 23, Err(FrameError::Length { expected: 24, given: 23 })),
            (4, 3, Grey8, 24, Err(FrameError::Length { expected: 12, given: 24 })),
            (0, 3, Grey8, 0, Err(FrameError::Size { width: 0, height: 3 })),
            (3, 0, Grey8, 0, Err(FrameError::Size { width: 3, height: 0 })),
            (4096, 4097, Grey8, 0, Err(FrameError::Size { width: 4096, height: 4097 })),
            (4096, 4096, Rgb888, 0, Err(FrameError::Length { expected: 3 << 24, given: 0 })),
            (65535, 65535, Rgb888, 0, Err(FrameError::Size { width: 65535, height: 65535 })),
        ];
        for (width, height, format, len, expected) in table {
            let made = Frame::new(width, height, format, &bytes[..len]).map(|_| ());
            assert_eq!(made, expected, "{width}×{height} {format:?}");
        }
    }
}
