//! What is written is what is read.

use cardinal_device_tests::model::{self, SMALL};
use cardinal_device_tests::network::{unpack_channels, unpack_weights};
use cardinal_device_tests::plan::with_contents;
use cardinal_device_tests::random::Random;
use cardinal_device_tests::seal::crc32;
use cardinal_device_tests::strategy::{cases, sizes};
use cardinal_format::write::to_bytes;
use cardinal_format::{File, FormatError, layout};
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn round_trip(size in sizes(), seed in any::<u64>()) {
        model::random(size, &mut Random::new(seed), |written| {
            let bytes = to_bytes(written).expect("a valid model");
            let file = File::new_checked(&bytes).expect("the writer has checked it");
            with_contents(&file, |read| {
                assert_eq!(read.arena_len, written.arena_len);
                assert_eq!(read.logits_offset, written.logits_offset);
                assert_eq!(read.classes, written.classes);
                assert_eq!(read.tensors, written.tensors);
                assert_eq!(read.ops, written.ops);
                assert_eq!(read.preprocess, written.preprocess);
                assert_eq!(read.labels, written.labels);
                assert_eq!(read.provenance, written.provenance);
                assert_eq!(to_bytes(read), Ok(bytes.clone()));
            });
            assert_eq!(file.label(0), written.labels.first().copied());
            assert_eq!(file.label(size.classes as usize), None);
            assert_eq!(file.image(), written.tensors[0].shape);
            assert_eq!(file.bytes(), bytes);
        });
    }

    #[test]
    fn packed_parameters_are_where_the_page_says(
        kernel in [1u8..=7, 1u8..=7],
        (groups, channels_in) in prop_oneof![(Just(1usize), 1usize..=9), (1usize..=5, select(&[4usize, 8, 12][..]))],
        out_per_group in 1usize..=20,
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let channels_out = groups * out_per_group;
        let sizes = [groups * channels_in, channels_out].map(|n| n as u32);
        let layout = cardinal_format::weights::WeightLayout::new(sizes[0], sizes[1], kernel, groups as u32);
        let layout = layout.expect("a valid shape");
        let terms = channels_in * usize::from(kernel[0]) * usize::from(kernel[1]);
        let weights: Vec<i8> = (0..channels_out * terms).map(|_| random.weight()).collect();
        let packed = cardinal_format::write::pack_weights(&layout, kernel, &weights);
        prop_assert_eq!(packed.len(), layout.byte_len());
        prop_assert_eq!(unpack_weights(&packed, channels_in, channels_out, kernel), &weights[..]);
        // What is no weight is zero.
        let count = |zero: bool| weights.iter().filter(|&&w| (w == 0) == zero).count();
        prop_assert_eq!(packed.iter().filter(|&&w| w != 0).count(), count(false));

        let bias: Vec<i32> = (0..channels_out).map(|_| random.bits() as i32).collect();
        let multiplier: Vec<f32> = (0..channels_out).map(|_| random.fraction()).collect();
        let packed = cardinal_format::write::pack_channels(&bias, &multiplier);
        prop_assert_eq!(packed.len(), layout.channel_bytes());
        prop_assert_eq!(unpack_channels(&packed, channels_out), (bias, multiplier));
    }
}

/// The sections follow each other as FORMAT.md says, up to the last byte.
#[test]
fn sections_fill_the_file() {
    let bytes = model::random_file(SMALL, 1);
    let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let [tensors, ops, labels, strings, provenance, data] = [28, 32, 36, 40, 44, 48].map(field);
    let text = 64 + 32 * tensors + 64 * ops + 64 + 4 * labels + strings + provenance;
    assert_eq!(text.next_multiple_of(64) + data + 4, bytes.len());
    assert_eq!((field(12), data % 64, strings % 4), (bytes.len(), 0, 0));
    assert_eq!((&bytes[..8], &bytes[8..12]), (&b"CARDINAL"[..], &[1, 0, 0, 0][..]));
    assert_eq!(field(bytes.len() - 4), crc32(&bytes[..bytes.len() - 4]) as usize);
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn cut_off_at_every_length() {
    let bytes = model::random_file(SMALL, 2);
    let stated = bytes.len() as u32;
    for len in 0..bytes.len() {
        let error = match len {
            0..68 => FormatError::TooShort { len },
            _ => FormatError::Length { stated, len },
        };
        assert_eq!(File::new_checked(&bytes[..len]).err(), Some(error));
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = FormatError::Length { stated, len: longer.len() };
    assert_eq!(File::new_checked(&longer).err(), Some(error));
}

/// No single byte can change unnoticed, whatever it becomes.
#[test]
fn every_byte_flipped() {
    let mut bytes = model::random_file(SMALL, 3);
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            bytes[at] ^= mask;
            let error = File::new_checked(&bytes).err();
            match at {
                0..8 => assert_eq!(error, Some(FormatError::Magic)),
                8..12 => assert!(matches!(error, Some(FormatError::Version { .. }))),
                12..16 => assert!(matches!(error, Some(FormatError::Length { .. }))),
                _ => assert!(matches!(error, Some(FormatError::Crc { .. })), "byte {at}: {error:?}"),
            }
            bytes[at] ^= mask;
        }
    }
    assert_eq!(File::new_checked(&bytes).err(), None);
}

#[test]
fn other_files() {
    let bare = [&b"CARDINAL"[..], &[0; 59]].concat();
    assert_eq!(File::new_checked(&bare).err(), Some(FormatError::TooShort { len: 67 }));
    assert_eq!(File::new_checked(b"PK\x03\x04, a zip").err(), Some(FormatError::Magic));
    assert_eq!(File::new_checked(&[0; 100]).err(), Some(FormatError::Magic));
}

/// The errors as people read them.
#[test]
fn messages() {
    let stated = 0x1234_abcd;
    let errors = [
        FormatError::TooShort { len: 3 },
        FormatError::Magic,
        FormatError::Version { major: 2, minor: layout::MINOR },
        FormatError::Length { stated: 100, len: 99 },
        FormatError::Crc { stated, computed: 7 },
        FormatError::Header { at: layout::header::CLASSES },
        FormatError::Reserved { at: 52 },
        FormatError::String { at: 9 },
        FormatError::Preprocess { field: "filter" },
        FormatError::Tensor { tensor: 4, field: "scale" },
        FormatError::Op { op: 5, field: "groups" },
        FormatError::Liveness { op: 6, tensor: 4 },
    ];
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"), @r#"
    3 bytes are too few for a .cardinal file: it is empty or cut off
    not a .cardinal file: it does not start with "CARDINAL"; convert the checkpoint first
    version 2.0 of the format; this reader knows up to 1.0: convert again or update
    the file says that it has 100 bytes, but 99 were given: it is cut off or has something behind it
    CRC-32 is 00000007, the file says 1234abcd: it was damaged in storage or transfer
    header field at byte 24 is out of bounds
    reserved byte at 52 is not zero: written by a newer or a broken writer
    string 9 does not lie in the string section or is not UTF-8
    preprocess record: filter is out of range
    tensor 4: scale is out of range
    op 5: groups is out of range
    op 6 reads tensor 4, whose bytes are not there any more or not yet
    "#);
}
