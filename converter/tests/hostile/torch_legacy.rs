//! The stream form of `torch.save`: five pickles, then the storages one after the other.

use crate::harness::{Bench, fixture, patched, row};
use crate::network::{self, Tensors};
use crate::pickle::{self, ELEMENTS, dict, int, text};

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Everything before the object.
fn head(version: i64, little_endian: &[u8]) -> Vec<u8> {
    let system = dict(&[("little_endian", little_endian.to_vec())]);
    [MAGIC, &pickle::pickle(&int(version)), &pickle::pickle(&system)].concat()
}

/// A stream of an object and its storages: their keys, stated numbers of elements, and bytes.
fn stream(object: &[u8], storages: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let keys: Vec<u8> = storages.iter().flat_map(|(key, ..)| text(key)).collect();
    let keys = pickle::pickle(&[b"](", &keys[..], b"e"].concat());
    let storages = storages.iter().flat_map(|(_, len, bytes)| [&len.to_le_bytes()[..], bytes].concat()).collect();
    [head(1001, b"\x88"), object.to_vec(), keys, storages].concat()
}

fn network(tensors: &Tensors) -> Vec<u8> {
    let keys: Vec<String> = (0..tensors.len()).map(|key| key.to_string()).collect();
    let storages: Vec<_> = keys
        .iter()
        .zip(tensors.values())
        .map(|(key, (_, data))| (key.as_str(), data.len() as u64, network::bytes(data)))
        .collect();
    stream(&pickle::pickle(&pickle::state_dict(tensors)), &storages)
}

#[test]
fn are_refused() {
    // Enough for the widest class.
    let zeros = vec![0; 8 * ELEMENTS];
    let storage = || ("0", ELEMENTS as u64, zeros.clone());
    let object = pickle::pickle(&dict(&[("w", pickle::tensor(0, &[1], &[1]))]));
    let good = fixture("tiny_legacy.pth");
    let bodied = |keys: &[u8]| [&head(1001, b"\x88"), &object, &pickle::pickle(keys)[..]].concat();
    let mut rows = vec![
        row("another magic number", patched(&good, 4, b"\x6d"), "a pickle that torch.save did not write"),
        row("only a magic number", MAGIC, "protocol version, byte 15: the pickle is cut off"),
        row("protocol version 1002", head(1002, b"\x88"), "protocol version 1002 instead of 1001"),
        row("no protocol version", [MAGIC, b"\x80\x02N."].concat(), "the protocol version is not a number"),
        row("big-endian", head(1001, b"\x89"), "big-endian"),
        row("no byte order", head(1001, b"N"), "does not tell the byte order"),
        row("no object", head(1001, b"\x88"), "object, byte"),
        row("no keys", bodied(b"N"), "the storage keys are not a list"),
        row("keys that are numbers", bodied(b"](K\x01e"), "a storage key is not text"),
        row("no storages", stream(&object, &[]), "storage `0` is missing, but a tensor needs it"),
        row("a storage that no tensor has", stream(&object, &[("1", 1, vec![0; 4])]), "`1` is not used by the object"),
        row("a storage of 2^64 elements", stream(&object, &[("0", u64::MAX, vec![])]), "has 18446744073709551615"),
        row("a storage twice", stream(&object, &[storage(), ("0", 0, vec![])]), "has 0 elements where the object"),
        row("a cut storage", stream(&object, &[("0", 12, vec![0; 47])]), "needs 12 elements of 4 bytes, but 47"),
        row(
            "a module of source code",
            {
                let module =
                    [b"(", &text("module")[..], b"cos\nsystem\n", &text("a.py"), &text("import os"), b"tQ"].concat();
                stream(&pickle::pickle(&module), &[storage()])
            },
            "asks for `os.system`",
        ),
        row(
            "a persistent id of another kind",
            stream(&pickle::pickle(b"K\x01\x85Q"), &[]),
            "neither a storage nor a module",
        ),
    ];
    rows.extend(pickle::rows().into_iter().map(|(what, says, object)| {
        // Every storage of a stream has to be one that the object uses.
        let used = object.windows(7).any(|bytes| bytes == b"storage");
        let storages = if used { vec![storage()] } else { Vec::new() };
        row(what, stream(&object, &storages), says)
    }));
    rows.extend(network::rows(network));
    let bench = Bench::new();
    bench.refuse("hostile.pth", &["convert", "hostile.pth", "--calib", "../images"], &network(&network::tiny()), rows);
}
