//! `.cardinal` files: damaged ones, and ones that lie and have a right checksum.

use cardinal_format::layout::{CRC32, HEADER_LEN, OP_LEN, TENSOR_LEN, header};

use crate::harness::{Bench, Row, patched, row};

const FILE: &str = "hostile.cardinal";

/// The tiny network's tensors and ops have one order: the image, the stem, then two blocks with projections.
const STEM: usize = 0;
const GROUPED: usize = 2;
const EXPAND: usize = 3;
const MEAN: usize = 7;
const CLASSIFIER: usize = 8;

const fn tensor(number: usize) -> usize {
    HEADER_LEN + TENSOR_LEN * number
}

const fn op(number: usize) -> usize {
    tensor(9) + OP_LEN * number
}

const PREPROCESS: usize = op(9);

/// The checksum of everything before the last four bytes, written there.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (body, trailer) = bytes.split_last_chunk_mut::<4>().expect("a trailer");
    *trailer = CRC32.checksum(body).to_le_bytes();
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Files that were damaged, or are no such files.
fn damaged(good: &[u8]) -> Vec<Row> {
    let mut whole = good.to_vec();
    whole[good.len() / 2] ^= 1;
    vec![
        row("empty", b"", "0 bytes are too few"),
        row("a page", b"<!DOCTYPE html><title>404</title>", "not a .cardinal file"),
        row("a flipped bit in the magic", patched(good, 0, b"c"), "not a .cardinal file"),
        row("a flipped bit in the middle", whole, "it was damaged in storage or transfer"),
        row("another checksum", patched(good, good.len() - 1, &[!good[good.len() - 1]]), "CRC-32 is"),
        row("cut off", &good[..good.len() - 100], "cut off or has something behind it"),
        row("cut off in the header", &good[..40], "40 bytes are too few"),
        row("something behind it", [good, &[0; 64]].concat(), "cut off or has something behind it"),
    ]
}

/// Files that lie about their parts.
fn lying(good: &[u8]) -> Vec<Row> {
    let lie = |what: &str, at: usize, value: &[u8], says: &str| row(what, sealed(patched(good, at, value)), says);
    let u32 = u32::to_le_bytes;
    let u16 = u16::to_le_bytes;
    let f32 = f32::to_le_bytes;
    let place = "shape or arena offset is out of range";
    let codes = "tensor 2: scale is out of range";
    let multiplier =
        u32_at(good, op(STEM) + 40) as usize + good.len() - 4 - u32_at(good, header::DATA_LEN) as usize + 64;
    vec![
        lie("a version to come", header::MAJOR, &u16(2), "version 2.0 of the format"),
        lie("a length of 4 GiB", header::FILE_LEN, &u32(u32::MAX), "says that it has 4294967295 bytes"),
        lie("a reserved byte", header::RESERVED, &[1], "reserved byte at 52"),
        lie("no tensors", header::TENSOR_COUNT, &u32(0), "header field at byte 28"),
        lie("2^32 tensors", header::TENSOR_COUNT, &u32(u32::MAX), "header field at byte 28"),
        lie("4,096 ops of which there are nine", header::OP_COUNT, &u32(4096), "header field at byte 32"),
        lie("2^32 labels", header::LABEL_COUNT, &u32(u32::MAX), "header field at byte 36"),
        lie("2^32 classes", header::CLASSES, &u32(u32::MAX), "header field at byte 36"),
        lie("strings of 4 GiB", header::STRINGS_LEN, &u32(u32::MAX - 3), "header field at byte 40"),
        lie("provenance of 4 GiB", header::PROVENANCE_LEN, &u32(u32::MAX), "header field at byte 44"),
        lie("data of 4 GiB", header::DATA_LEN, &u32(u32::MAX - 63), "header field at byte 48"),
        lie("an arena of 4 GB", header::ARENA_LEN, &u32(u32::MAX), "4294967295"),
        lie("an arena of 3 GB", header::ARENA_LEN, &u32(3_000_000_000), "3000000000"),
        lie("no arena", header::ARENA_LEN, &u32(0), place),
        lie("logits behind the arena", header::LOGITS_OFFSET, &u32(u32::MAX - 63), "header field at byte 20"),
        lie("a label behind the strings", PREPROCESS + 64, &u32(u32::MAX), "string 4294967295 does not lie"),
        lie("a name behind the strings", op(EXPAND) + 48, &u32(1 << 30), "string 1073741824 does not lie"),
        lie("a mean that is NaN", PREPROCESS + 8, &f32(f32::NAN), "preprocess record: mean or deviation"),
        lie("a deviation of 0", PREPROCESS + 24, &f32(0.0), "preprocess record: mean or deviation"),
        lie("a short edge of 2^32", PREPROCESS + 4, &u32(u32::MAX), "preprocess record: resize"),
        lie("a tensor behind the arena", tensor(3), &u32(1 << 30), "tensor 3: shape or arena offset"),
        lie("a tensor of 2^31 rows", tensor(4) + 4, &u32(1 << 31), "tensor 4: shape or arena offset"),
        lie("a tensor without rows", tensor(4) + 4, &u32(0), "tensor 4: shape or arena offset"),
        lie("a scale of 0", tensor(2) + 16, &f32(0.0), codes),
        lie("a scale that is NaN", tensor(2) + 16, &f32(f32::NAN), codes),
        lie("a scale that is infinite", tensor(2) + 16, &f32(f32::INFINITY), codes),
        lie("a negative scale", tensor(2) + 16, &f32(-0.5), codes),
        lie("a multiplier that is NaN", multiplier, &f32(f32::NAN), "op 0: multiplier is out of range"),
        lie("an op that reads what it writes", op(GROUPED) + 2, &u16(3), "op 2: output (overlaps the input)"),
        lie("ops that read each other", op(1) + 2, &u16(3), "op 1 reads tensor 3, whose bytes are not there"),
        lie("tensors that overlap", tensor(4), &u32(1024), "op 3: output (overlaps the input)"),
        lie("an op that writes over what is still read", tensor(3), &u32(1024), "op 3: residual (shape or place)"),
        lie("an op whose input nobody wrote", op(1) + 4, &u16(3), "op 2 reads tensor 2, whose bytes are not there"),
        lie("an op that reads no tensor", op(GROUPED) + 2, &u16(11), "op 2: input is out of range"),
        lie("an op that writes the image", op(STEM) + 4, &u16(0), "op 0: output (the image is not written)"),
        lie("a shortcut that is no tensor", op(EXPAND) + 6, &u16(99), "op 3: residual is out of range"),
        lie("a projection of the image", op(EXPAND) + 6, &u16(0), "op 3: projection weights is out of range"),
        lie("a projection without a stride", op(EXPAND) + 26, &[0, 0], "op 3: a reserved or unused byte"),
        lie("a projection's stride of 0", op(EXPAND) + 27, &[0], "op 3: projection stride is out of range"),
        lie("a projection's stride of 255", op(EXPAND) + 26, &[255], "op 3: residual (shape or place)"),
        lie("a projection behind the data", op(EXPAND) + 52, &u32(u32::MAX), "op 3: projection weights"),
        lie("a projection of 4 GiB", op(EXPAND) + 56, &u32(u32::MAX), "op 3: projection weights"),
        lie("a projection's channels", op(EXPAND) + 60, &u32(1 << 30), "op 3: projection channel parameters"),
        lie("a projection that nobody adds", op(GROUPED) + 26, &[1, 1], "op 2: a reserved or unused byte"),
        lie("an op of no kind", op(MEAN), &[9], "op 7: kind is out of range"),
        lie("a stride of 0", op(STEM) + 10, &[0], "op 0: window is out of range"),
        lie("padding beyond the kernel", op(STEM) + 12, &[200], "op 0: window is out of range"),
        lie("no groups", op(GROUPED) + 16, &u32(0), "op 2: groups is out of range"),
        lie("groups that do not divide", op(GROUPED) + 16, &u32(3), "op 2: groups is out of range"),
        lie("weights behind the data", op(GROUPED) + 32, &u32(u32::MAX - 63), "op 2: weights is out of range"),
        lie("weights of 4 GiB", op(GROUPED) + 36, &u32(u32::MAX), "op 2: weights is out of range"),
        lie("channels behind the data", op(EXPAND) + 40, &u32(1 << 30), "op 3: channel parameters is out of range"),
        lie("a classifier that is none", op(CLASSIFIER), &[3], "op 8: "),
    ]
}

fn rows(good: &[u8]) -> Vec<Row> {
    let mut rows = damaged(good);
    rows.extend(lying(good));
    rows
}

#[test]
fn are_refused_by_predict() {
    let bench = Bench::new();
    let good = bench.model();
    bench.refuse(FILE, &["predict", FILE, "../images/a/0.png"], &good, rows(&good));
}

#[test]
fn are_refused_by_inspect() {
    let bench = Bench::new();
    let good = bench.model();
    bench.refuse(FILE, &["inspect", FILE], &good, rows(&good));
}
