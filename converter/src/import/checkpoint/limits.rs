//! How much a checkpoint may ask for.
//!
//! A hostile file of a few bytes can declare any amount of data, by itself (a compressed archive, an expanded
//! tensor) or by sharing (many tensors over one storage, one pickled value used many times). Limits follow from the
//! file's length where honest files do, and are constants where they do not.

/// Elements that all tensors of a file of `file_len` bytes may have together.
///
/// One element per byte: float32 needs four bytes for each, which leaves room for tied weights. The constant admits
/// small checkpoints of expanded tensors.
pub(super) fn elements(file_len: usize) -> usize {
    file_len.saturating_add(256 << 10)
}

/// Bytes that the entries read from a zip archive of `file_len` bytes may have together, each counted compressed or
/// inflated, whichever is more: entries may share compressed bytes.
///
/// PyTorch stores entries uncompressed; trained weights shrink by a tenth when someone compresses the archive again.
pub(super) fn inflated_bytes(file_len: usize) -> u64 {
    (file_len as u64).saturating_mul(4).saturating_add(1 << 20)
}

/// Steps of one pickle: its opcodes, and the items it copies. Each step allocates less than 200 bytes.
///
/// A large residual network needs a hundred thousand.
pub(super) const PICKLE_STEPS: usize = 4 << 20;

/// Bytes of one name: a tensor's key, a storage's, a module's. Comparing names has to stay cheap, and one long string
/// in a pickle can be used as a million names.
pub(super) const NAME_BYTES: usize = 512;

/// Dimensions of a tensor.
pub(super) const DIMENSIONS: usize = 16;

/// Nesting of dictionaries below `meta`.
pub(super) const META_DEPTH: usize = 8;

/// Values visited, and bytes formatted in vain, in the search for metadata.
pub(super) const META_WORK: usize = 2 << 20;

/// Bytes of metadata kept, keys included.
pub(super) const META_BYTES: usize = 1 << 20;

/// Bytes of a safetensors header. Parsing takes some twenty times as much; 10,000 tensors need 1 MiB.
pub(super) const SAFETENSORS_HEADER: u64 = 16 << 20;
