//! Header, strings, preprocess record, tensors.

use cardinal_format::{File, FormatError};

use crate::sample::*;

#[test]
fn the_sample_is_accepted() {
    for labels in [&FIVE[..], &[]] {
        let sample = Sample::new(labels);
        assert_eq!(sample.error(0, b"CARDINAL"), None);
    }
}

#[test]
fn frame() {
    let sample = Sample::new(&FIVE);
    let len = sample.bytes.len() as u32;
    let length = |stated| FormatError::Length { stated, len: len as usize };
    let version = |major, minor| FormatError::Version { major, minor };
    sample.refused(&[
        ("magic", 0, *b"cA", FormatError::Magic),
        ("major version 0", 8, [0, 0], version(0, 0)),
        ("next major version", 8, [2, 0], version(2, 0)),
        ("next minor version", 10, [1, 0], version(1, 1)),
        ("reserved, first", 52, [1, 0], FormatError::Reserved { at: 52 }),
        ("reserved, last", 62, [0, 1], FormatError::Reserved { at: 63 }),
    ]);
    let u32 = u32::to_le_bytes;
    let strings_len = sample.u32(40);
    let data_len = sample.u32(48);
    sample.refused(&[
        ("longer than stated", 12, u32(len - 1), length(len - 1)),
        ("shorter than stated", 12, u32(u32::MAX), length(u32::MAX)),
        ("no tensors", 28, u32(0), header(28)),
        ("more tensors than the file has room for", 28, u32(4096), header(28)),
        ("too many tensors", 28, u32(4097), header(28)),
        ("so many that the sum overflows", 28, u32(u32::MAX), header(28)),
        ("no ops", 32, u32(0), header(32)),
        ("more ops than the file has room for", 32, u32(4096), header(32)),
        ("too many ops", 32, u32(u32::MAX), header(32)),
        ("more labels than classes", 36, u32(6), header(36)),
        ("fewer labels than classes", 36, u32(4), header(36)),
        ("strings beyond the file", 40, u32(len.next_multiple_of(4)), header(40)),
        ("strings that are no multiple of 4", 40, u32(strings_len - 1), header(40)),
        ("provenance beyond the file", 44, u32(u32::MAX), header(44)),
        ("data beyond the file", 48, u32(data_len + 64), header(48)),
        ("bytes behind the data", 48, u32(data_len - 64), header(48)),
        ("data that is no multiple of 64", 48, u32(data_len - 1), header(48)),
        ("logits, not aligned", 20, u32(4), header(20)),
        ("logits beyond the arena", 20, u32(sample.u32(16).next_multiple_of(64)), header(20)),
        ("logits so far that the sum overflows", 20, u32(u32::MAX - 63), header(20)),
    ]);
    let padding = sample.provenance() + sample.u32(44) as usize;
    sample.refused(&[
        ("provenance is no UTF-8", sample.provenance(), [0xff], header(44)),
        ("padding behind the provenance", padding, [1], FormatError::Reserved { at: padding }),
        ("padding before the data", sample.data() - 1, [1], FormatError::Reserved { at: sample.data() - 1 }),
    ]);
    let mut wrong = sample.bytes.clone();
    *wrong.last_mut().expect("a trailer") ^= 1;
    let computed = sample.u32(len as usize - 4);
    let error = FormatError::Crc { stated: computed ^ 0x0100_0000, computed };
    assert_eq!(File::new_checked(&wrong).err(), Some(error));
}

#[test]
fn classes() {
    let sample = Sample::new(&[]);
    let u32 = u32::to_le_bytes;
    sample.refused(&[
        ("no classes", 24, u32(0), header(20)),
        ("fewer than the weights have", 24, u32(4), in_op(CLASSIFIER, "weights (padding is not zero)")),
        ("more than the weights have", 24, u32(17), in_op(CLASSIFIER, "weights (not the header's classes)")),
        ("more than the arena has room for", 24, u32(u32::MAX), header(20)),
    ]);
}

#[test]
fn strings() {
    let sample = Sample::new(&FIVE);
    let u32 = u32::to_le_bytes;
    let end = sample.u32(40);
    let string = |at| FormatError::String { at };
    sample.refused(&[
        ("label beyond the strings", LABELS, u32(end), string(end)),
        ("label cut off in its length", LABELS + 16, u32(end - 1), string(end - 1)),
        ("label far away", LABELS + 4, u32(u32::MAX), string(u32::MAX)),
        ("name beyond the strings", op(GROUPED) + 48, u32(end), string(end)),
    ]);
    let first = sample.strings();
    sample.refused(&[
        ("name longer than the strings", first, [0xff, 0xff], string(0)),
        ("name that is no UTF-8", first + 2, [0xc3, 0x28], string(0)),
    ]);
}

#[test]
fn preprocess() {
    let sample = Sample::new(&FIVE);
    let bad = |field| FormatError::Preprocess { field };
    let reserved = "a reserved byte";
    sample.refused(&[
        ("unknown colour", PREPROCESS, [2], bad("colour")),
        ("grey, but three channels", PREPROCESS, [0], bad("colour (not the image's channels)")),
        ("unknown resize", PREPROCESS + 1, [3], bad("resize")),
        ("unknown filter", PREPROCESS + 2, [2], bad("filter")),
        ("reserved", PREPROCESS + 3, [1], bad(reserved)),
        ("reserved, later", PREPROCESS + 40, [1], bad(reserved)),
        ("reserved, last", PREPROCESS + 63, [1], bad(reserved)),
    ]);
    // Mode and edge together.
    let resize = |mode: u8, edge: u32| {
        let mut value = [1, mode, 0, 0, 0, 0, 0, 0];
        value[4..].copy_from_slice(&edge.to_le_bytes());
        value
    };
    sample.refused(&[
        ("exact with an edge", PREPROCESS, resize(0, 256), bad("resize")),
        ("no edge", PREPROCESS, resize(1, 0), bad("resize")),
        ("huge edge", PREPROCESS, resize(1, 65_536), bad("resize")),
        ("square without an edge", PREPROCESS, resize(2, 0), bad("resize")),
        ("edge below the input", PREPROCESS, resize(1, 8), bad("edge (smaller than the input)")),
    ]);
    assert_eq!(sample.error(PREPROCESS, &resize(1, 9)), None);
    let f32 = f32::to_le_bytes;
    let statistics = bad("mean or deviation");
    sample.refused(&[
        ("mean", PREPROCESS + 8, f32(f32::NAN), statistics),
        ("mean beyond the channels", PREPROCESS + 20, f32(1.0), statistics),
        ("deviation 0", PREPROCESS + 24, f32(0.0), statistics),
        ("deviation below 0", PREPROCESS + 28, f32(-1.0), statistics),
        ("deviation", PREPROCESS + 32, f32(f32::INFINITY), statistics),
        ("deviation beyond the channels", PREPROCESS + 36, f32(1.0), statistics),
    ]);
}

#[test]
fn tensors() {
    let sample = Sample::new(&FIVE);
    let bad = |tensor, field| FormatError::Tensor { tensor, field };
    let (place, scale) = ("shape or arena offset", "scale");
    let image = "scale or zero point (the image's are 1 and -128)";
    let u32 = u32::to_le_bytes;
    let f32 = f32::to_le_bytes;
    let arena_len = sample.u32(16);
    let odd = sample.u32(tensor(13)) + 32;
    sample.refused(&[
        ("behind the arena", tensor(3), u32(arena_len), bad(3, place)),
        ("so far that the sum overflows", tensor(3), u32(u32::MAX - 63), bad(3, place)),
        ("not aligned", tensor(13), u32(odd), bad(13, "arena offset (no multiple of 64)")),
        ("no rows", tensor(4) + 4, u32(0), bad(4, place)),
        ("no channels", tensor(4) + 12, u32(0), bad(4, place)),
        ("so many rows that the product overflows", tensor(4) + 4, u32(1 << 31), bad(4, place)),
        ("a smaller arena", 16, u32(arena_len - 64), bad(2, place)),
        ("scale 0", tensor(2) + 16, f32(0.0), bad(2, scale)),
        ("scale below 0", tensor(2) + 16, f32(-0.5), bad(2, scale)),
        ("scale NaN", tensor(2) + 16, f32(f32::NAN), bad(2, scale)),
        ("scale infinite", tensor(2) + 16, f32(f32::INFINITY), bad(2, scale)),
        ("the image's scale", tensor(0) + 16, f32(2.0), bad(0, image)),
    ]);
    sample.refused(&[
        ("the image's zero point", tensor(0) + 20, [0], bad(0, image)),
        ("the image in int16", tensor(0) + 21, [1], bad(0, "type of codes (the image's are bytes)")),
        ("no type of codes", tensor(5) + 21, [2], bad(5, "type of codes")),
        ("reserved, first", tensor(5) + 22, [1], bad(5, "a reserved byte")),
        ("reserved, last", tensor(5) + 31, [1], bad(5, "a reserved byte")),
    ]);
}
