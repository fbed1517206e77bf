//! Golden files: images with the logits that a model must give for them, to the bit. A host writes them, a device's self-test
//! compares.
//!
//! Little-endian, without padding: the header, then `count` records of an image (height × width × channels bytes) and its
//! logits (`classes` × f32). A record can be read on its own, so a device needs room for one.
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | magic `CARDGOLD` |
//! | 8 | u32 | CRC-32 in the trailer of the model's file |
//! | 12 | u32 | count |
//! | 16 | u32 | bytes of an image |
//! | 20 | u32 | classes |

use crate::bytes::u32_at;
use crate::layout::TRAILER_LEN;

/// The first eight bytes of every golden file.
pub const MAGIC: [u8; 8] = *b"CARDGOLD";
/// Bytes of the header.
pub const HEADER_LEN: usize = 24;

/// The header of a golden file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Of the model that gave the logits: see [`crc_of`].
    pub model_crc: u32,
    /// Records.
    pub count: u32,
    /// Bytes of an image.
    pub image_len: u32,
    /// Logits of an image.
    pub classes: u32,
}

impl Header {
    /// `None` if the bytes do not start as a golden file does.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_LEN>().filter(|header| header.starts_with(&MAGIC))?;
        let [model_crc, count, image_len, classes] = [8, 12, 16, 20].map(|at| u32_at(header, at));
        Some(Header { model_crc, count, image_len, classes })
    }

    /// The header's bytes.
    #[cfg(feature = "write")]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        crate::bytes::put(&mut bytes, 0, MAGIC);
        for (at, field) in [8, 12, 16, 20].into_iter().zip([self.model_crc, self.count, self.image_len, self.classes]) {
            crate::bytes::put(&mut bytes, at, field.to_le_bytes());
        }
        bytes
    }

    /// Bytes of one record; `None` if they exceed the address space.
    pub fn record_len(&self) -> Option<usize> {
        let logits = usize::try_from(self.classes).ok()?.checked_mul(size_of::<f32>())?;
        usize::try_from(self.image_len).ok()?.checked_add(logits)
    }
}

/// The CRC-32 at the end of a model's file, which tells models apart.
pub fn crc_of(model: &[u8]) -> u32 {
    model.last_chunk::<TRAILER_LEN>().map_or(0, |crc| u32::from_le_bytes(*crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "write")]
    fn header_survives_and_others_are_refused() {
        let header = Header { model_crc: 0x0403_0201, count: 5, image_len: 3072, classes: 10 };
        let bytes = header.to_bytes();
        assert_eq!(Header::parse(&bytes), Some(header));
        assert_eq!(bytes[8..16], [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(header.record_len(), Some(3112));
        assert_eq!(Header::parse(&bytes[..HEADER_LEN - 1]), None);
        assert_eq!(Header::parse(&[0; HEADER_LEN]), None);
    }
}
