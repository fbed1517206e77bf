//! Activations: where they lie in the arena and what their codes mean.

use crate::bytes::{f32_at, i8_at, u8_at, u32_at};
use crate::quant::QParams;

/// 0 for int8, [`I16`] for int16.
pub(crate) const CODE_TYPE_AT: usize = 21;
/// See [`CODE_TYPE_AT`].
pub(crate) const I16: u8 = 1;

/// Number of a tensor record. 0 is the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TensorId(pub u16);

impl TensorId {
    /// The tensor that the caller fills with pixels.
    pub const IMAGE: TensorId = TensorId(0);
}

/// Height × width × channels, stored in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shape {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Values of one position.
    pub channels: u32,
}

impl Shape {
    /// Number of values. Exact for every tensor of a checked file; saturates otherwise.
    pub const fn volume(self) -> usize {
        (self.height as usize).saturating_mul(self.width as usize).saturating_mul(self.channels as usize)
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}×{}×{}", self.height, self.width, self.channels)
    }
}

/// How a tensor's codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodeType {
    /// One byte each.
    I8,
    /// Two bytes each, little-endian: what a global average pool writes.
    I16,
}

impl CodeType {
    /// Bytes of one code.
    pub const fn byte_len(self) -> usize {
        match self {
            CodeType::I8 => 1,
            CodeType::I16 => 2,
        }
    }
}

/// One activation in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// First byte in the arena.
    pub offset: u32,
    /// Extent.
    pub shape: Shape,
    /// Meaning of the codes.
    pub qparams: QParams,
    /// Size of a code.
    pub code_type: CodeType,
}

impl Tensor {
    /// Bytes of all codes. Exact for every tensor of a checked file; saturates otherwise.
    pub const fn byte_len(&self) -> usize {
        self.shape.volume().saturating_mul(self.code_type.byte_len())
    }

    /// The bytes that it occupies in the arena.
    pub const fn range(&self) -> core::ops::Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.byte_len())
    }

    pub(crate) fn parse(record: &[u8]) -> Self {
        Tensor {
            offset: u32_at(record, 0),
            shape: Shape { height: u32_at(record, 4), width: u32_at(record, 8), channels: u32_at(record, 12) },
            qparams: QParams { scale: f32_at(record, 16), zero_point: i8_at(record, 20) },
            // Anything but 0 and 1 is refused by the check.
            code_type: if u8_at(record, CODE_TYPE_AT) == I16 { CodeType::I16 } else { CodeType::I8 },
        }
    }

    #[cfg(feature = "write")]
    pub(crate) fn emit(&self, record: &mut [u8]) {
        use crate::bytes::put;
        put(record, 0, self.offset.to_le_bytes());
        put(record, 4, self.shape.height.to_le_bytes());
        put(record, 8, self.shape.width.to_le_bytes());
        put(record, 12, self.shape.channels.to_le_bytes());
        put(record, 16, self.qparams.scale.to_le_bytes());
        put(record, 20, self.qparams.zero_point.to_le_bytes());
        put(record, CODE_TYPE_AT, [if self.code_type == CodeType::I16 { I16 } else { 0 }]);
    }
}
