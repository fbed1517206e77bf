//! Sizes, offsets and limits of version 1.0; the tables are in the crate documentation.

/// The first eight bytes of every file.
pub const MAGIC: [u8; 8] = *b"CARDINAL";
/// Major version that this crate reads and writes.
pub const MAJOR: u16 = 1;
/// Largest minor version that this crate reads, and the one that it writes.
pub const MINOR: u16 = 0;

/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a tensor record.
pub const TENSOR_LEN: usize = 32;
/// Bytes of an op record.
pub const OP_LEN: usize = 64;
/// Bytes of the preprocess record.
pub const PREPROCESS_LEN: usize = 64;
/// Bytes of the CRC-32 at the end.
pub const TRAILER_LEN: usize = 4;
/// Largest number of tensors, and of ops. ResNeXt-152 has 154 of each; the bound keeps checking a hostile file quick.
pub const MAX_RECORDS: u32 = 4096;
/// Alignment of every blob in `data` (from the start of the file) and of every tensor in the arena.
pub const ALIGN: usize = 64;
/// The number that stands for "no tensor".
pub const NO_TENSOR: u16 = u16::MAX;

/// Byte offsets in the header.
pub mod header {
    /// Major version, u16.
    pub const MAJOR: usize = 8;
    /// Minor version, u16.
    pub const MINOR: usize = 10;
    /// File length, u32.
    pub const FILE_LEN: usize = 12;
    /// Arena length, u32.
    pub const ARENA_LEN: usize = 16;
    /// Arena offset of the logits, u32.
    pub const LOGITS_OFFSET: usize = 20;
    /// Classes, u32.
    pub const CLASSES: usize = 24;
    /// Tensor records, u32.
    pub const TENSOR_COUNT: usize = 28;
    /// Op records, u32.
    pub const OP_COUNT: usize = 32;
    /// Labels, u32.
    pub const LABEL_COUNT: usize = 36;
    /// Bytes of strings, u32.
    pub const STRINGS_LEN: usize = 40;
    /// Bytes of provenance without padding, u32.
    pub const PROVENANCE_LEN: usize = 44;
    /// Bytes of data, u32.
    pub const DATA_LEN: usize = 48;
    /// First reserved byte.
    pub const RESERVED: usize = 52;
}

/// `n` rounded up to a multiple of `to`, or `None` on overflow.
pub const fn align_up(n: usize, to: usize) -> Option<usize> {
    n.checked_next_multiple_of(to)
}

/// How CRC-32 is computed: sixteen bytes at a time where 16 KiB of tables are little, one at a time on microcontrollers.
#[cfg(target_pointer_width = "64")]
pub type CrcTables = crc::Table<16>;
/// How CRC-32 is computed: sixteen bytes at a time where 16 KiB of tables are little, one at a time on microcontrollers.
#[cfg(not(target_pointer_width = "64"))]
pub type CrcTables = crc::Table<1>;

/// CRC-32 as in zip and PNG (reflected polynomial 0xEDB88320).
pub static CRC32: crc::Crc<u32, CrcTables> = crc::Crc::<u32, CrcTables>::new(&crc::CRC_32_ISO_HDLC);
