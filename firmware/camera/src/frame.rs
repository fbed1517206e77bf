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

/// Size and encoding of a frame. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameShape {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) format: PixelFormat,
}

/// One image, borrowed from whoever holds its bytes: exactly as many as its shape asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    shape: FrameShape,
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

impl FrameShape {
    /// A shape of `width` × `height` pixels.
    ///
    /// # Errors
    /// A side is 0, there are over [`Frame::MAX_PIXELS`] pixels, or `width` is odd for [`PixelFormat::Yuv422`].
    pub const fn new(width: u16, height: u16, format: PixelFormat) -> Result<Self, FrameError> {
        let pixels = width as u32 * height as u32;
        if pixels == 0 || pixels > Frame::MAX_PIXELS {
            return Err(FrameError::Size { width, height });
        }
        if matches!(format, PixelFormat::Yuv422) && width % 2 == 1 {
            return Err(FrameError::OddWidth { width });
        }
        Ok(FrameShape { width, height, format })
    }

    /// Pixels in a row, at least 1.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Rows, at least 1.
    pub const fn height(self) -> u16 {
        self.height
    }

    /// Encoding of the pixels.
    pub const fn format(self) -> PixelFormat {
        self.format
    }

    /// Bytes of a row.
    pub const fn row_len(self) -> usize {
        self.width as usize * self.format.bytes_per_pixel()
    }

    /// Bytes of a frame.
    pub const fn frame_len(self) -> usize {
        self.row_len().saturating_mul(self.height as usize)
    }
}

impl<'a> Frame<'a> {
    /// Most pixels of a frame; up to there, [`fit`](crate::fit()) can sum them in 32 bits.
    pub const MAX_PIXELS: u32 = 1 << 24;

    /// A frame of `width` × `height` pixels.
    ///
    /// # Errors
    /// As [`FrameShape::new`], or `bytes` is not exactly [`FrameShape::frame_len`] long.
    pub const fn new(width: u16, height: u16, format: PixelFormat, bytes: &'a [u8]) -> Result<Self, FrameError> {
        let shape = match FrameShape::new(width, height, format) {
            Ok(shape) => shape,
            Err(error) => return Err(error),
        };
        if bytes.len() != shape.frame_len() {
            return Err(FrameError::Length { expected: shape.frame_len(), given: bytes.len() });
        }
        Ok(Frame { shape, bytes })
    }

    /// Size and encoding.
    pub const fn shape(&self) -> FrameShape {
        self.shape
    }

    /// Pixels in a row, at least 1.
    pub const fn width(&self) -> u16 {
        self.shape.width
    }

    /// Rows, at least 1.
    pub const fn height(&self) -> u16 {
        self.shape.height
    }

    /// Encoding of the pixels.
    pub const fn format(&self) -> PixelFormat {
        self.shape.format
    }

    /// All pixels.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows from the top.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // A shape is never empty; saying so once more spares the compiler a panic.
        self.bytes.chunks_exact(self.shape.row_len().max(1))
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
