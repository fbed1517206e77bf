//! Which container a file is, by its first bytes.

use super::error::CheckpointError;

/// A container that Cardinal reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// `torch.save`, zip form.
    TorchZip,
    /// `torch.save`, stream form.
    TorchLegacy,
    /// safetensors.
    Safetensors,
}

/// The container that `bytes` begin like. Whether they are one throughout is for its reader to tell.
pub(super) fn container(bytes: &[u8], file: &str) -> Result<Container, CheckpointError> {
    match bytes {
        [] => Err(CheckpointError::Empty { file: file.to_owned() }),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Container::TorchZip),
        // PROTO, which begins every pickle of these protocols.
        [0x80, 2..=5, ..] => Ok(Container::TorchLegacy),
        // The length of a JSON header, below 4 GiB, and the header.
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Ok(Container::Safetensors),
        _ => Err(unrecognized(bytes, file, describe(bytes))),
    }
}

/// The error for a file that is `what` instead of a checkpoint.
pub(super) fn unrecognized(bytes: &[u8], file: &str, what: &str) -> CheckpointError {
    let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let found = format!("it is {what} and begins with bytes {}", first.join(" "));
    CheckpointError::Unrecognized { file: file.to_owned(), found }
}

/// What a file that is no checkpoint may be: the files that are given in its place by mistake.
fn describe(bytes: &[u8]) -> &'static str {
    const KNOWN: [(usize, &[u8], &str); 12] = [
        (0, b"version https://git-lfs", "a Git LFS pointer (run `git lfs pull` to get the file itself)"),
        (0, b"<", "a web page or other markup, perhaps saved in place of a download"),
        (0, b"{", "JSON text"),
        (0, b"\x1f\x8b", "gzip-compressed (decompress it first)"),
        (0, b"\xfd7zXZ", "xz-compressed (decompress it first)"),
        (0, b"7z\xbc\xaf", "a 7z archive (unpack it first)"),
        (257, b"ustar", "a tar archive, as PyTorch wrote before version 0.1.11 (load and save it again)"),
        (0, b"\x89HDF", "an HDF5 file, as Keras writes"),
        (0, b"\x93NUMPY", "a NumPy array"),
        (4, b"TFL3", "a TensorFlow Lite model"),
        (0, b"\x08", "perhaps an ONNX model"),
        (0, b"\x80", "a pickle of an unsupported protocol"),
    ];
    let found = KNOWN.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|tail| tail.starts_with(magic)));
    found.map_or("of an unknown kind", |(_, _, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        let cases: [(&[u8], Container); 4] = [
            (b"PK\x03\x04", Container::TorchZip),
            (b"PK\x05\x06", Container::TorchZip),
            (b"\x80\x02\x8a\x0a", Container::TorchLegacy),
            (b"\x02\0\0\0\0\0\0\0{}", Container::Safetensors),
        ];
        for (bytes, expected) in cases {
            assert_eq!(container(bytes, "file").unwrap(), expected);
        }
    }

    #[test]
    fn anything_else_is_named() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "model.pth: the file is empty"),
            (b"\x08\x09\x12\x07pytorch", "perhaps an ONNX model and begins with bytes 08 09 12 07 70 79 74 6f"),
            (b"<!DOCTYPE html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
            (b"\x00", "of an unknown kind and begins with bytes 00;"),
            (b"\x80\x01", "unsupported protocol"),
        ];
        for (bytes, expected) in cases {
            let error = container(bytes, "model.pth").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("model.pth: "), "{error}");
        }
    }
}
