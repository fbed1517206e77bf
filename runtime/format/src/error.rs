//! Why bytes are not a model.

/// What is wrong with a file. Numbers are byte offsets from the start of the file or record numbers, as named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FormatError {
    /// Shorter than a header and a trailer.
    #[error("{len} bytes are too few for a .cardinal file: it is empty or cut off")]
    TooShort {
        /// Bytes given.
        len: usize,
    },
    /// Another kind of file.
    #[error("not a .cardinal file: it does not start with \"CARDINAL\"; convert the checkpoint first")]
    Magic,
    /// A version that this reader does not know.
    #[error(
        "version {major}.{minor} of the format; this reader knows up to {}.{}: convert again or update",
        crate::layout::MAJOR,
        crate::layout::MINOR
    )]
    Version {
        /// Major version in the file.
        major: u16,
        /// Minor version in the file.
        minor: u16,
    },
    /// The header's length and the given bytes differ.
    #[error("the file says that it has {stated} bytes, but {len} were given: it is cut off or has something behind it")]
    Length {
        /// Length in the header.
        stated: u32,
        /// Bytes given.
        len: usize,
    },
    /// The bytes were changed after writing.
    #[error("CRC-32 is {computed:08x}, the file says {stated:08x}: it was damaged in storage or transfer")]
    Crc {
        /// In the trailer.
        stated: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Section lengths do not add up to the file length, or a count is out of bounds.
    #[error("header field at byte {at} is out of bounds")]
    Header {
        /// Offset of the field.
        at: usize,
    },
    /// A reserved or padding byte is not zero.
    #[error("reserved byte at {at} is not zero: written by a newer or a broken writer")]
    Reserved {
        /// Offset of the byte.
        at: usize,
    },
    /// A string reference that points nowhere, or bytes that are not UTF-8.
    #[error("string {at} does not lie in the string section or is not UTF-8")]
    String {
        /// The reference.
        at: u32,
    },
    /// A field of the preprocess record.
    #[error("preprocess record: {field} is out of range")]
    Preprocess {
        /// Name of the field.
        field: &'static str,
    },
    /// A field of a tensor record.
    #[error("tensor {tensor}: {field} is out of range")]
    Tensor {
        /// Record number.
        tensor: u16,
        /// Name of the field.
        field: &'static str,
    },
    /// A field of an op record.
    #[error("op {op}: {field} is out of range")]
    Op {
        /// Record number.
        op: u16,
        /// Name of the field.
        field: &'static str,
    },
    /// An op reads a tensor that no earlier op wrote, or that a later one overwrote.
    #[error("op {op} reads tensor {tensor}, whose bytes are not there any more or not yet")]
    Liveness {
        /// Record number of the op.
        op: u16,
        /// Record number of the tensor.
        tensor: u16,
    },
}
