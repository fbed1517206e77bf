//! The zip form of `torch.save`.
//!
//! Entries lie under one directory, named after the file or `archive`: `data.pkl`, the pickle; `byteorder`, absent
//! before PyTorch 2.0; and `data/<key>`, the raw elements of each storage. See `torch/serialization.py`, `_save`,
//! and `caffe2/serialize/inline_container.h` in PyTorch.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::error::{CheckpointError, quoted};
use super::pickle::{Pickle, Storage};
use super::storage::Storages;
use super::{Checkpoint, Weights, limits, state_dict};

/// Reads a checkpoint from the bytes of a zip archive.
pub(super) fn read(bytes: &[u8], file: &str, weights: Weights) -> Result<Checkpoint, CheckpointError> {
    let mut archive = Archive::open(bytes, file)?;
    if archive.has("constants.pkl") {
        return Err(CheckpointError::TorchScript { file: file.to_owned() });
    }
    match archive.entry("byteorder")?.as_deref() {
        None | Some(b"little") => {}
        Some(b"big") => return Err(CheckpointError::BigEndian { file: file.to_owned() }),
        Some(_) => return Err(archive.error("byteorder", "is neither `little` nor `big`".to_owned())),
    }
    let Some(pickle) = archive.entry("data.pkl")? else {
        let reason = "is missing: the archive was not written by torch.save; save a state dict with it".to_owned();
        return Err(archive.error("data.pkl", reason));
    };
    let pickle = Pickle::read(&pickle, 0).map_err(|error| error.of(file, &archive.path("data.pkl")))?;
    state_dict::read(file, bytes.len(), &pickle, weights, &mut archive)
}

/// An archive of which a limited number of bytes can be read in all.
struct Archive<'a> {
    file: &'a str,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The directory of all entries, with its slash.
    root: Vec<u8>,
    bytes_left: u64,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8], file: &'a str) -> Result<Self, CheckpointError> {
        // PyTorch writes the archive at the start of the file; looking for it elsewhere can go astray in the weights.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| CheckpointError::Archive {
            file: file.to_owned(),
            entry: "directory".to_owned(),
            reason: unreadable(&error),
        })?;
        let first = zip.file_names_raw().next().unwrap_or_default();
        let root_len = first.iter().position(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let root = first[..root_len].to_vec();
        Ok(Self { file, zip, root, bytes_left: limits::inflated_bytes(bytes.len()) })
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name_raw(&[&self.root, name.as_bytes()].concat())
    }

    fn has(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// The bytes of an entry, whose checksum is verified; `None` if there is no such entry.
    fn entry(&mut self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        let Some(index) = self.index(name) else {
            return Ok(None);
        };
        match inflate(&mut self.zip, index, &mut self.bytes_left) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(reason) => Err(self.error(name, reason)),
        }
    }

    /// The full name of an entry, to show.
    fn path(&self, name: &str) -> String {
        quoted(&format!("{}{name}", String::from_utf8_lossy(&self.root)))
    }

    fn error(&self, name: &str, reason: String) -> CheckpointError {
        CheckpointError::Archive { file: self.file.to_owned(), entry: self.path(name), reason }
    }
}

impl Storages for Archive<'_> {
    fn read(&mut self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, CheckpointError> {
        let name = format!("data/{}", storage.key);
        match self.entry(&name)? {
            Some(bytes) => Ok(bytes.into()),
            None => {
                let reason = "is missing, but a tensor needs it; the file is incomplete: copy or save it again";
                Err(self.error(&name, reason.to_owned()))
            }
        }
    }
}

/// The bytes of one entry, which are taken off `bytes_left`.
fn inflate(zip: &mut ZipArchive<Cursor<&[u8]>>, index: usize, bytes_left: &mut u64) -> Result<Vec<u8>, String> {
    let mut entry = zip.by_index(index).map_err(|error| unreadable(&error))?;
    let size = entry.size();
    *bytes_left = bytes_left.checked_sub(size.max(entry.compressed_size())).ok_or_else(|| {
        format!(
            "declares {size} bytes, which together with other entries is more than four times the file; save the \
             checkpoint again with torch.save, which does not compress"
        )
    })?;
    // The vector grows with what is read: reserving `size` would trust the file. One byte more than
    // declared is asked for, so that the end of the entry is reached and its checksum verified.
    let mut bytes = Vec::new();
    let read = entry.by_ref().take(size + 1).read_to_end(&mut bytes);
    let len = read.map_err(|error| unreadable(&error.into()))?;
    if len as u64 != size {
        return Err(format!("does not have the {size} bytes that it declares; the file is damaged: copy it again"));
    }
    Ok(bytes)
}

fn unreadable(error: &ZipError) -> String {
    // PyTorch can leave checksums out; what it then stores in their place never matches.
    let advice = if error.to_string().contains("checksum") {
        "copy it again, or save it again with torch.utils.serialization.config.save.compute_crc32 on"
    } else {
        "copy or save it again"
    };
    format!("cannot be read ({error}); the file is damaged or incomplete: {advice}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::super::pickle::testing::{damage_every_byte, dict};
    use super::*;

    fn archive(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn load(bytes: &[u8]) -> Result<Checkpoint, String> {
        read(bytes, "model.pth", Weights::Trained).map_err(|error| error.to_string())
    }

    /// The pickle of one tensor with `len` elements.
    fn pickle(len: i64) -> Vec<u8> {
        dict(&[("weight", &|writer| writer.tensor("0", len, 0, &[len], &[1]))])
    }

    fn small(method: CompressionMethod) -> Vec<u8> {
        let elements: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let entries: [(&str, &[u8]); 3] =
            [("model/data.pkl", &pickle(3)), ("model/byteorder", b"little"), ("model/data/0", &elements)];
        archive(method, &entries)
    }

    #[test]
    fn stored_and_deflated_entries_are_read() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            assert_eq!(load(&small(method)).unwrap().get("weight").unwrap().data, [1.0, 2.0, 3.0]);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = small(method);
            for len in 0..bytes.len() {
                assert!(load(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn every_damaged_byte_is_survived() {
        let bytes = small(CompressionMethod::Deflated);
        damage_every_byte(&bytes, load);
    }

    #[test]
    fn other_archives_are_told_apart() {
        use CompressionMethod::Stored;
        let pickle = pickle(3);
        let cases = [
            (archive(Stored, &[]), "zip entry `data.pkl`: is missing"),
            (archive(Stored, &[("a.npy", b"")]), "not written by torch.save"),
            (archive(Stored, &[("m/data.pkl", b"N."), ("m/constants.pkl", b"")]), "a TorchScript archive"),
            (archive(Stored, &[("m/data.pkl", b"N."), ("m/byteorder", b"big")]), "big-endian"),
            (archive(Stored, &[("m/data.pkl", b"N."), ("m/byteorder", b"odd")]), "`m/byteorder`: is neither"),
            (archive(Stored, &[("m/data.pkl", b"N.")]), "no state dict found"),
            (archive(Stored, &[("m/data.pkl", &pickle)]), "zip entry `m/data/0`: is missing, but a tensor needs it"),
            (archive(Stored, &[("m/data.pkl", &pickle), ("m/data/0", &[0; 11])]), "declares 3 elements but holds 2"),
        ];
        for (bytes, expected) in cases {
            let error = load(&bytes).unwrap_err();
            assert!(error.starts_with("model.pth: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_changed_element_fails_its_checksum() {
        let mut bytes = small(CompressionMethod::Stored);
        let at = bytes.windows(4).position(|window| window == 3f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        let error = load(&bytes).unwrap_err();
        assert!(error.contains("`model/data/0`") && error.contains("checksum"), "{error}");
    }

    #[test]
    fn a_zip_bomb_is_refused() {
        let zeros = vec![0; 16 << 20];
        let entries: [(&str, &[u8]); 2] = [("m/data.pkl", &pickle(4 << 20)), ("m/data/0", &zeros)];
        let bytes = archive(CompressionMethod::Deflated, &entries);
        assert!(bytes.len() < 1 << 20);
        assert!(load(&bytes).unwrap_err().contains("more than four times the file"));
    }

    #[test]
    fn an_entry_that_lies_about_its_size_is_refused() {
        // The last entry of the central directory is the storage; its size is 24 bytes in.
        let bytes = small(CompressionMethod::Stored);
        for declared in [0u32, 11, 13, u32::MAX - 1] {
            let mut lying = bytes.clone();
            let central = lying.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
            lying[central + 24..central + 28].copy_from_slice(&declared.to_le_bytes());
            assert!(load(&lying).unwrap_err().contains("`model/data/0`"), "{declared}");
        }
    }
}
