//! Element types, and their conversion to float32.

use ::safetensors::Dtype as SafetensorsDtype;
use half::{bf16, f16};

/// An element type that converts to float32; little-endian in every container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl Dtype {
    /// The element type of a PyTorch storage class, for example `HalfStorage`; `None` if it is not supported.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// The element type of a safetensors entry; `None` if it is not supported.
    pub(super) fn of_safetensors(dtype: SafetensorsDtype) -> Option<Self> {
        Some(match dtype {
            SafetensorsDtype::F64 => Self::F64,
            SafetensorsDtype::F32 => Self::F32,
            SafetensorsDtype::F16 => Self::F16,
            SafetensorsDtype::BF16 => Self::Bf16,
            SafetensorsDtype::I64 => Self::I64,
            SafetensorsDtype::I32 => Self::I32,
            SafetensorsDtype::I16 => Self::I16,
            SafetensorsDtype::I8 => Self::I8,
            SafetensorsDtype::U64 => Self::U64,
            SafetensorsDtype::U32 => Self::U32,
            SafetensorsDtype::U16 => Self::U16,
            SafetensorsDtype::U8 => Self::U8,
            SafetensorsDtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The elements of `bytes` at `positions`, in that order.
    ///
    /// Every position must lie below `bytes.len() / self.size()`.
    pub(super) fn gather(self, bytes: &[u8], positions: impl Iterator<Item = usize>) -> Vec<f32> {
        match self {
            Self::F64 => gather(bytes, positions, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => gather(bytes, positions, f32::from_le_bytes),
            Self::F16 => gather(bytes, positions, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => gather(bytes, positions, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => gather(bytes, positions, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => gather(bytes, positions, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => gather(bytes, positions, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => gather(bytes, positions, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => gather(bytes, positions, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => gather(bytes, positions, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => gather(bytes, positions, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 => gather(bytes, positions, |[b]| f32::from(b)),
            Self::Bool => gather(bytes, positions, |[b]| f32::from(b != 0)),
        }
    }
}

fn gather<const N: usize>(
    bytes: &[u8],
    positions: impl Iterator<Item = usize>,
    to_f32: impl Fn([u8; N]) -> f32,
) -> Vec<f32> {
    let (elements, _) = bytes.as_chunks::<N>();
    positions.map(|position| to_f32(elements[position])).collect()
}

/// Bytes of one element of a PyTorch storage class, supported or not: a stream of storages has to be walked over all
/// of them.
pub(super) fn storage_element_size(class: &str) -> Option<usize> {
    Some(match class {
        "ComplexDoubleStorage" => 16,
        "ComplexFloatStorage" => 8,
        "QInt32Storage" => 4,
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" | "UntypedStorage" => 1,
        _ => Dtype::of_storage(class)?.size(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_converts() {
        let cases: [(Dtype, &[u8], f32); 13] = [
            (Dtype::F64, &(-1.5f64).to_le_bytes(), -1.5),
            (Dtype::F32, &0.1f32.to_le_bytes(), 0.1),
            (Dtype::F16, &[0x00, 0x3e], 1.5),
            (Dtype::Bf16, &[0xc0, 0xbf], -1.5),
            (Dtype::I64, &(-7i64).to_le_bytes(), -7.0),
            (Dtype::I32, &70_000i32.to_le_bytes(), 70_000.0),
            (Dtype::I16, &(-300i16).to_le_bytes(), -300.0),
            (Dtype::I8, &[0x80], -128.0),
            (Dtype::U64, &(1u64 << 40).to_le_bytes(), 1_099_511_627_776.0),
            (Dtype::U32, &u32::MAX.to_le_bytes(), 4_294_967_296.0),
            (Dtype::U16, &[0xff, 0xff], 65_535.0),
            (Dtype::U8, &[0xff], 255.0),
            (Dtype::Bool, &[2], 1.0),
        ];
        for (dtype, bytes, value) in cases {
            assert_eq!(dtype.size(), bytes.len(), "{dtype:?}");
            assert_eq!(dtype.gather(bytes, 0..1), [value], "{dtype:?}");
        }
    }
}
