//! How a photograph becomes the image tensor.

use crate::FormatError;
use crate::bytes::{f32_at, u8_at, u32_at};

/// Channels of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// One channel, ITU-R 601 luma.
    Grey,
    /// Three channels, red first.
    Rgb,
}

impl Colour {
    /// Bytes of one pixel.
    pub const fn channels(self) -> u32 {
        match self {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }
}

/// How a photograph of any size reaches the input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Stretched to the input size, whatever its proportions.
    Exact,
    /// The short edge to so many pixels, proportions kept; then the input size is cut from the centre.
    ShortEdge(u32),
    /// Stretched to a square of so many pixels; then the input size is cut from the centre.
    Square(u32),
}

/// Resampling filter; both are antialiased (the filter's support grows when shrinking), as Pillow's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Cubic with a = −0.5.
    Bicubic,
}

/// Everything between a decoded photograph and the image tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Channels.
    pub colour: Colour,
    /// Geometry.
    pub resize: Resize,
    /// Resampling.
    pub filter: Filter,
    /// Mean per channel on the 0…255 scale; zero beyond the channels.
    pub mean: [f32; 4],
    /// Standard deviation per channel on the 0…255 scale, > 0; zero beyond the channels.
    pub std: [f32; 4],
}

impl Preprocess {
    pub(crate) fn parse(record: &[u8]) -> Result<Self, FormatError> {
        let colour = match u8_at(record, 0) {
            0 => Colour::Grey,
            1 => Colour::Rgb,
            _ => return Err(FormatError::Preprocess { field: "colour" }),
        };
        let resize = match (u8_at(record, 1), u32_at(record, 4)) {
            (0, 0) => Resize::Exact,
            (1, edge @ 1..=65_535) => Resize::ShortEdge(edge),
            (2, edge @ 1..=65_535) => Resize::Square(edge),
            _ => return Err(FormatError::Preprocess { field: "resize" }),
        };
        let filter = match u8_at(record, 2) {
            0 => Filter::Bilinear,
            1 => Filter::Bicubic,
            _ => return Err(FormatError::Preprocess { field: "filter" }),
        };
        if u8_at(record, 3) != 0 || record.iter().skip(40).any(|&b| b != 0) {
            return Err(FormatError::Preprocess { field: "a reserved byte" });
        }
        let floats = |at: usize| core::array::from_fn(|i| f32_at(record, at + 4 * i));
        Ok(Preprocess { colour, resize, filter, mean: floats(8), std: floats(24) })
    }

    #[cfg(feature = "write")]
    pub(crate) fn emit(&self, record: &mut [u8]) {
        use crate::bytes::put;
        let (mode, edge) = match self.resize {
            Resize::Exact => (0, 0),
            Resize::ShortEdge(edge) => (1, edge),
            Resize::Square(edge) => (2, edge),
        };
        let filter = match self.filter {
            Filter::Bilinear => 0,
            Filter::Bicubic => 1,
        };
        put(record, 0, [u8::from(self.colour == Colour::Rgb), mode, filter]);
        put(record, 4, edge.to_le_bytes());
        for (i, (mean, std)) in self.mean.iter().zip(&self.std).enumerate() {
            put(record, 8 + 4 * i, mean.to_le_bytes());
            put(record, 24 + 4 * i, std.to_le_bytes());
        }
    }
}
