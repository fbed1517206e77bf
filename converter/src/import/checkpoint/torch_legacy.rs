//! The stream form of `torch.save`, the only one before PyTorch 1.6.
//!
//! Five pickles in sequence: a magic number, the protocol version, system information, the saved object, and the
//! sorted keys of its storages; then for each key the number of elements (8 bytes) and the elements. All is
//! little-endian where the system information says so. See `torch/serialization.py`, `_legacy_save`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::dtype::storage_element_size;
use super::error::{CheckpointError, quoted};
use super::pickle::{Arena, Pickle, Storage, Value};
use super::state_dict::named_entries;
use super::storage::Storages;
use super::{Checkpoint, Weights, sniff, state_dict};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const PROTOCOL_VERSION: i64 = 1001;

/// Reads a checkpoint from a stream that begins with a pickle.
pub(super) fn read(bytes: &[u8], file: &str, weights: Weights) -> Result<Checkpoint, CheckpointError> {
    let part = |name: &str, start: usize| Pickle::read(bytes, start).map_err(|error| error.of(file, name));
    let wrong = |offset: usize, reason: String| CheckpointError::Stream { file: file.to_owned(), offset, reason };

    let magic = part("magic number", 0)?;
    if !matches!(magic.values[magic.root], Value::Long(number) if number == MAGIC) {
        return Err(sniff::unrecognized(bytes, file, "a pickle that torch.save did not write"));
    }
    let version = part("protocol version", magic.end)?;
    match version.values[version.root] {
        Value::Int(PROTOCOL_VERSION) => {}
        Value::Int(other) => return Err(wrong(magic.end, format!("protocol version {other} instead of 1001"))),
        _ => return Err(wrong(magic.end, "the protocol version is not a number".to_owned())),
    }
    let system = part("system information", version.end)?;
    match named_entries(&system.values, system.root).get("little_endian").map(|&id| &system.values[id]) {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(CheckpointError::BigEndian { file: file.to_owned() }),
        _ => return Err(wrong(version.end, "the system information does not tell the byte order".to_owned())),
    }
    let object = part("object", system.end)?;
    let keys = part("storage keys", object.end)?;
    let ranges = locate(bytes, &object.values, &keys).map_err(|(offset, reason)| wrong(offset, reason))?;
    let mut storages = Stream { bytes, file, end_of_pickles: keys.end, ranges };
    state_dict::read(file, bytes.len(), &object, weights, &mut storages)
}

/// Where each storage's elements lie in `bytes`. Their size is known only from the object that uses them.
fn locate<'a>(
    bytes: &[u8],
    object: &Arena<'a>,
    keys: &Pickle<'a>,
) -> Result<HashMap<&'a str, Range<usize>>, (usize, String)> {
    let used: HashMap<&str, &Storage<'a>> = object.storages().map(|storage| (storage.key, storage)).collect();
    let mut ranges = HashMap::new();
    let mut position = keys.end;
    let ids = keys.values.sequence(keys.root).ok_or((keys.end, "the storage keys are not a list".to_owned()))?;
    for &id in ids {
        let key = keys.values.text(id).ok_or((keys.end, "a storage key is not text".to_owned()))?;
        let fail = |reason: String| (position, format!("storage {} {reason}", quoted(key)));
        let storage = used.get(key).ok_or_else(|| fail("is not used by the object".to_owned()))?;
        let size = storage_element_size(storage.class)
            .ok_or_else(|| fail(format!("is a {}, which is not supported", quoted(storage.class))))?;
        let (header, rest) = bytes
            .get(position..)
            .and_then(<[u8]>::split_first_chunk::<8>)
            .ok_or_else(|| fail("is missing".to_owned()))?;
        let len = u64::from_le_bytes(*header);
        if len != storage.len as u64 {
            return Err(fail(format!("has {len} elements where the object declares {}", storage.len)));
        }
        let Some(byte_len) = storage.len.checked_mul(size).filter(|&byte_len| byte_len <= rest.len()) else {
            return Err(fail(format!("needs {len} elements of {size} bytes, but {} bytes are left", rest.len())));
        };
        let start = position + header.len();
        ranges.insert(key, start..start + byte_len);
        position = start + byte_len;
    }
    Ok(ranges)
}

/// The stream, with the storages found in it.
struct Stream<'a> {
    bytes: &'a [u8],
    file: &'a str,
    end_of_pickles: usize,
    ranges: HashMap<&'a str, Range<usize>>,
}

impl Storages for Stream<'_> {
    fn read(&mut self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, CheckpointError> {
        match self.ranges.get(storage.key) {
            Some(range) => Ok(self.bytes[range.clone()].into()),
            None => Err(CheckpointError::Stream {
                file: self.file.to_owned(),
                offset: self.end_of_pickles,
                reason: format!("storage {} is missing, but a tensor needs it", quoted(storage.key)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::opcode as op;
    use super::super::pickle::testing::{Writer, damage_every_byte, dict};
    use super::*;

    fn load(bytes: &[u8]) -> Result<Checkpoint, String> {
        read(bytes, "model.pth", Weights::Trained).map_err(|error| error.to_string())
    }

    fn magic() -> Vec<u8> {
        Writer::new().raw(&[op::LONG1, 10]).raw(&MAGIC).stop()
    }

    fn system(little_endian: u8) -> Vec<u8> {
        dict(&[("little_endian", &|writer| writer.op(little_endian))])
    }

    fn keys(keys: &[&str]) -> Vec<u8> {
        let writer = Writer::new().raw(&[op::EMPTY_LIST, op::MARK]);
        keys.iter().fold(writer, |writer, key| writer.text(key)).op(op::APPENDS).stop()
    }

    /// A stream with one tensor of three elements.
    fn stream(version: i64, little_endian: u8, listed: &[&str], len: u64, elements: &[f32]) -> Vec<u8> {
        let object = dict(&[("weight", &|writer| writer.tensor("94", 3, 0, &[3], &[1]))]);
        let version = Writer::new().int(version).stop();
        let mut bytes =
            [magic(), version, system(little_endian), object, keys(listed), len.to_le_bytes().to_vec()].concat();
        bytes.extend(elements.iter().flat_map(|x| x.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_stream_is_read() {
        let bytes = stream(1001, op::NEWTRUE, &["94"], 3, &[1.0, 2.0, 3.0]);
        assert_eq!(load(&bytes).unwrap().get("weight").unwrap().data, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = stream(1001, op::NEWTRUE, &["94"], 3, &[1.0, 2.0, 3.0]);
        for len in 0..bytes.len() {
            assert!(load(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn every_damaged_byte_is_survived() {
        let bytes = stream(1001, op::NEWTRUE, &["94"], 3, &[1.0, 2.0, 3.0]);
        damage_every_byte(&bytes, load);
    }

    #[test]
    fn malformed_streams_are_refused() {
        let (yes, no) = (op::NEWTRUE, op::NEWFALSE);
        let cases = [
            (Writer::new().int(5).stop(), "a pickle that torch.save did not write and begins with bytes 80 02 8a"),
            (stream(1002, yes, &["94"], 3, &[0.0; 3]), "protocol version 1002"),
            (stream(1001, no, &["94"], 3, &[0.0; 3]), "big-endian"),
            (stream(1001, op::NONE, &["94"], 3, &[0.0; 3]), "does not tell the byte order"),
            (stream(1001, yes, &["94"], 4, &[0.0; 4]), "`94` has 4 elements where the object declares 3"),
            (stream(1001, yes, &["94"], u64::MAX, &[0.0; 3]), "`94` has 18446744073709551615 elements"),
            (stream(1001, yes, &["94"], 3, &[0.0; 2]), "needs 3 elements of 4 bytes, but 8 bytes are left"),
            (stream(1001, yes, &["95"], 3, &[0.0; 3]), "`95` is not used"),
            (stream(1001, yes, &[], 3, &[0.0; 3]), "`94` is missing, but a tensor needs it"),
            (stream(1001, yes, &["94", "94"], 3, &[0.0; 3]), "`94` is missing"),
        ];
        for (bytes, expected) in cases {
            let error = load(&bytes).unwrap_err();
            assert!(error.starts_with("model.pth: ") && error.contains(expected), "{error}");
        }
    }
}
