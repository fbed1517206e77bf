//! What can be wrong with a checkpoint.

/// Why a checkpoint was refused: which file, where in it, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file has no bytes.
    #[error("{file}: the file is empty; copy or download the checkpoint again")]
    Empty {
        /// The file.
        file: String,
    },
    /// The bytes are no container that Cardinal reads.
    #[error(
        "{file}: not a PyTorch or safetensors checkpoint: {found}; give a state dict written by torch.save \
         (.pth, .pt) or safetensors (.safetensors)"
    )]
    Unrecognized {
        /// The file.
        file: String,
        /// What the bytes look like, and the first of them.
        found: String,
    },
    /// The file holds a TorchScript program instead of a state dict.
    #[error(
        "{file}: a TorchScript archive, which holds a program; load it with torch.jit.load and save its weights with \
         torch.save(model.state_dict(), path)"
    )]
    TorchScript {
        /// The file.
        file: String,
    },
    /// The tensors were written on a big-endian machine.
    #[error("{file}: its tensors are big-endian; load and save it again with PyTorch on a little-endian machine")]
    BigEndian {
        /// The file.
        file: String,
    },
    /// The zip archive or one of its entries cannot be read.
    #[error("{file}: zip entry {entry}: {reason}")]
    Archive {
        /// The file.
        file: String,
        /// The entry's name, or what was looked for.
        entry: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The bytes of a pickle are malformed, incomplete or too many.
    #[error(
        "{file}: {part}, byte {offset}: {reason}; the file is damaged or not a checkpoint: copy it again, or save \
         only the state dict from PyTorch"
    )]
    Pickle {
        /// The file.
        file: String,
        /// Which pickle: a zip entry's name or the part of the stream.
        part: String,
        /// Byte offset in the zip entry or, for a stream, in the file.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// A pickle refers to something that runs programs or reaches into the system.
    #[error(
        "{file}: {part}, byte {offset}: this pickle asks for {global}; Cardinal never executes pickles and refuses \
         this file: do not load it in Python either unless you know where it comes from"
    )]
    Forbidden {
        /// The file.
        file: String,
        /// Which pickle: a zip entry's name or the part of the stream.
        part: String,
        /// Byte offset in the zip entry or, for a stream, in the file.
        offset: usize,
        /// The global, as `module.name`.
        global: String,
    },
    /// The stream of raw storages which follows the pickles is malformed or incomplete.
    #[error("{file}: byte {offset}: {reason}; the file is damaged or incomplete: copy or save it again")]
    Stream {
        /// The file.
        file: String,
        /// Byte offset in the file.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint holds no state dict.
    #[error("{file}: no state dict found: {found}; save one with torch.save(model.state_dict(), path)")]
    NoStateDict {
        /// The file.
        file: String,
        /// What it holds instead.
        found: String,
    },
    /// Averaged weights were asked for.
    #[error("{file}: holds no averaged weights (`state_dict_ema` or `model_ema`); leave out --ema")]
    NotAveraged {
        /// The file.
        file: String,
    },
    /// One tensor is of an unsupported kind or does not fit its storage.
    #[error("{file}: tensor {key}: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor's key.
        key: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The safetensors header is malformed or does not match the file.
    #[error("{file}: not a valid safetensors file: {reason}; it is damaged or incomplete: copy or save it again")]
    Safetensors {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Text from a file as it may appear in a message: quoted, control characters escaped, at most 100 characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let shown: String = text.chars().take(LONGEST).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("`{}{more}`", shown.escape_debug())
}
