//! The zip form of `torch.save`.

use std::io::Write;

use cardinal_format::layout::CRC32;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::harness::{Bench, Row, fixture, patched, row};
use crate::network::{self, Tensors};
use crate::pickle::{self, ELEMENTS, dict, pickle, text};

/// An archive as others write it.
fn archive(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("a valid name");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

fn stored(entries: &[(&str, &[u8])]) -> Vec<u8> {
    archive(CompressionMethod::Stored, entries)
}

fn network(tensors: &Tensors) -> Vec<u8> {
    let pickle = pickle(&pickle::state_dict(tensors));
    let storages: Vec<(String, Vec<u8>)> =
        tensors.values().enumerate().map(|(key, (_, data))| (format!("m/data/{key}"), network::bytes(data))).collect();
    let storages = storages.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    stored(&[("m/data.pkl", &pickle[..])].into_iter().chain(storages).collect::<Vec<_>>())
}

/// An entry of the central directory that says of itself what it likes.
#[derive(Clone, Copy)]
struct Claim<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u32,
    size: u32,
    /// Where its bytes are said to be.
    at: u32,
}

/// The header of an entry as both places have it, from the flags on.
fn claimed(claim: &Claim<'_>) -> Vec<u8> {
    let &Claim { flags, method, crc, compressed, size, .. } = claim;
    let mut bytes = [flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0x21, 0]].concat();
    bytes.extend([crc, compressed, size].map(u32::to_le_bytes).concat());
    bytes.extend((claim.name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

/// One entry's header and bytes.
fn local(claim: &Claim<'_>, bytes: &[u8]) -> Vec<u8> {
    [b"PK\x03\x04\x14\0", &claimed(claim)[..], claim.name.as_bytes(), bytes].concat()
}

/// `entries` and a central directory of `claims`, of which the end says how many there are and where.
fn directory(entries: &[u8], claims: &[Claim<'_>], count: u16, at: u32) -> Vec<u8> {
    let mut central = Vec::new();
    for claim in claims {
        central.extend([b"PK\x01\x02\x14\0\x14\0", &claimed(claim)[..], &[0; 10], &claim.at.to_le_bytes()].concat());
        central.extend(claim.name.as_bytes());
    }
    let len = (central.len() as u32).to_le_bytes();
    let count = count.to_le_bytes();
    [entries, &central, b"PK\x05\x06\0\0\0\0", &count, &count, &len, &at.to_le_bytes(), &[0; 2]].concat()
}

/// An archive of one pickle whose entry claims something else.
fn claiming(bytes: &[u8], change: impl Fn(&mut Claim<'_>)) -> Vec<u8> {
    let len = bytes.len() as u32;
    let crc = CRC32.checksum(bytes);
    let mut claim = Claim { name: "m/data.pkl", flags: 0, method: 0, crc, compressed: len, size: len, at: 0 };
    change(&mut claim);
    let entry = local(&claim, bytes);
    directory(&entry, &[claim], 1, entry.len() as u32)
}

/// Archives that lie about themselves.
fn archives() -> Vec<Row> {
    let good = pickle(&dict(&[("w", pickle::tensor(0, &[1], &[1]))]));
    let zeros = [0; 4 * ELEMENTS];
    let whole = fixture("tiny_zip.pth");
    let bomb = vec![0; 16 << 20];

    // Two hundred storages, all of them the same 64 KiB.
    let shared = {
        let names: Vec<String> = (0..200).map(|key| format!("m/data/{key}")).collect();
        let data = vec![0; 1 << 16];
        let tensors: Tensors = names.iter().map(|name| (name.clone(), (vec![1 << 14], vec![0.0; 1 << 14]))).collect();
        let object = pickle(&pickle::state_dict(&tensors));
        let claim = |name, at, bytes: &[u8]| {
            let len = bytes.len() as u32;
            Claim { name, flags: 0, method: 0, crc: CRC32.checksum(bytes), compressed: len, size: len, at }
        };
        let first = claim("m/data.pkl", 0, &object);
        let mut entries = local(&first, &object);
        let at = entries.len() as u32;
        entries.extend(local(&claim("m/data/0", at, &data), &data));
        let claims: Vec<_> = [first].into_iter().chain(names.iter().map(|name| claim(name, at, &data))).collect();
        directory(&entries, &claims, claims.len() as u16, entries.len() as u32)
    };
    let end_64 = {
        let count = u64::MAX.to_le_bytes();
        let record =
            [b"PK\x06\x06", &44u64.to_le_bytes()[..], &[45, 0, 45, 0], &[0; 8], &count, &count, &count, &[0; 8]];
        let locator = [b"PK\x06\x07", &[0; 4][..], &4u64.to_le_bytes(), &1u32.to_le_bytes()].concat();
        [b"PK\x03\x04", &record.concat()[..], &locator, b"PK\x05\x06\0\0\0\0", &[0xff; 12], &[0; 2]].concat()
    };
    vec![
        row(
            "a zip bomb",
            archive(CompressionMethod::Deflated, &[("m/data.pkl", &good), ("m/data/0", &bomb)]),
            "zip entry `m/data/0`: declares 16777216 bytes",
        ),
        row(
            "a bomb for a pickle",
            archive(CompressionMethod::Deflated, &[("m/data.pkl", &bomb)]),
            "more than four times",
        ),
        row("entries that share their bytes", shared, "together with other entries is more than four times the file"),
        row(
            "a directory of 65,535 entries that has one",
            {
                let entry = stored(&[("m/data.pkl", &good)]);
                let end = entry.len() - 22;
                patched(&entry, end + 8, &[0xff; 4])
            },
            "zip entry directory: cannot be read",
        ),
        row("a directory of 2^64 entries", end_64, "zip entry directory: cannot be read"),
        row("a directory behind the file", directory(b"PK\x03\x04", &[], 1, u32::MAX - 1), "zip entry directory"),
        row("a directory cut off", &whole[..whole.len() - 30], "zip entry directory"),
        row("a size larger than the bytes", claiming(&good, |c| c.size *= 2), "`m/data.pkl`"),
        row("a size smaller than the bytes", claiming(&good, |c| c.size = 3), "`m/data.pkl`"),
        row("a size of 4 GiB", claiming(&good, |c| c.size = u32::MAX - 1), "declares 4294967294 bytes"),
        row("compressed bytes beyond the file", claiming(&good, |c| c.compressed = 1 << 30), "`m/data.pkl`"),
        row("a wrong checksum", claiming(&good, |c| c.crc ^= 1), "`m/data.pkl`: cannot be read"),
        row("stored bytes called deflated", claiming(&good, |c| c.method = 8), "`m/data.pkl`: cannot be read"),
        row("an unknown compression", claiming(&good, |c| c.method = 99), "`m/data.pkl`: cannot be read"),
        row("encrypted", claiming(&good, |c| c.flags = 1), "`m/data.pkl`: cannot be read"),
        row("an entry that begins nowhere", claiming(&good, |c| c.at = 1 << 30), "`m/data.pkl`: cannot be read"),
        row("an entry in the middle of itself", claiming(&good, |c| c.at = 8), "`m/data.pkl`: cannot be read"),
        row("names that lead out of the folder", stored(&[("../../data.pkl", &good)]), "is missing"),
        row(
            "a storage that leads out of the folder",
            {
                let tensor = pickle::tensor(0, &[1], &[1]);
                let at = tensor.windows(6).position(|bytes| bytes == b"X\x01\0\0\x000").expect("the storage's key");
                let tensor = [&tensor[..at], &text("../../../etc/passwd"), &tensor[at + 6..]].concat();
                stored(&[("m/data.pkl", &pickle(&dict(&[("w", tensor)])))])
            },
            "`m/data/../../../etc/passwd`: is missing",
        ),
        row("a zip in the zip", stored(&[("m/data.pkl", &whole)]), "opcode 0x50, which PyTorch does not write"),
        row("a pickle without an end", stored(&[("m/data.pkl", &good[..good.len() - 1])]), "the pickle is cut off"),
        row("no pickle", stored(&[("m/model.json", b"{}")]), "zip entry `m/data.pkl`: is missing"),
        row("no entries", stored(&[]), "`data.pkl`: is missing"),
        row("a program of TorchScript", stored(&[("m/data.pkl", &good), ("m/constants.pkl", b"")]), "TorchScript"),
        row("big-endian", stored(&[("m/data.pkl", &good), ("m/byteorder", b"big")]), "big-endian"),
        row(
            "an odd byte order",
            stored(&[("m/data.pkl", &good), ("m/byteorder", b"middle")]),
            "neither `little` nor `big`",
        ),
        row("no storage", stored(&[("m/data.pkl", &good)]), "`m/data/0`: is missing, but a tensor needs it"),
        row("a short storage", stored(&[("m/data.pkl", &good), ("m/data/0", &zeros[1..])]), "but holds 11"),
        row("a program before the archive", [b"MZ\x90\0".as_slice(), &whole].concat(), "not a PyTorch or safetensors"),
        row(
            "a long text under a million keys",
            {
                let keys: Vec<u8> =
                    (0..1_000_000).flat_map(|key| [&text(&key.to_string())[..], b"h\0"].concat()).collect();
                let object = [&text(&"x".repeat(1 << 20))[..], b"q\0", b"0}(", &keys, b"u"].concat();
                let tensor = [&text("w")[..], &pickle::tensor(0, &[1], &[1]), b"s"].concat();
                stored(&[("m/data.pkl", &pickle(&[object, tensor].concat())), ("m/data/0", &zeros)])
            },
            "no tensor is named",
        ),
    ]
}

#[test]
fn are_refused() {
    let mut rows = archives();
    let zeros = [0; 4 * ELEMENTS];
    rows.extend(
        pickle::rows()
            .into_iter()
            .map(|(what, says, object)| row(what, stored(&[("m/data.pkl", &object), ("m/data/0", &zeros)]), says)),
    );
    rows.extend(network::rows(network));
    let bench = Bench::new();
    bench.refuse("hostile.pth", &["convert", "hostile.pth", "--calib", "../images"], &network(&network::tiny()), rows);
}
