//! Files with any bytes changed and a right checksum. The reader may refuse; what it accepts must run, on every backend,
//! and give what the naive run gives.

use cardinal_device_tests::binary32::Exact;
use cardinal_device_tests::buffer::Aligned;
use cardinal_device_tests::model::{self, SMALL};
use cardinal_device_tests::network;
use cardinal_device_tests::plan::check_plan;
use cardinal_device_tests::random::Random;
use cardinal_device_tests::seal::seal;
use cardinal_device_tests::strategy::cases;
use cardinal_runtime::{Model, Session, kernels};
use proptest::prelude::*;
use proptest::sample::select;

/// Whether the reader accepts; then everything behind it must hold.
fn accepted(bytes: &[u8]) -> bool {
    let Ok(model) = Model::new(bytes) else { return false };
    if model.arena_len() > 1 << 20 {
        return true;
    }
    let file = model.file();
    assert_eq!(check_plan(file), Ok(()));
    let pixels = Random::new(11).bytes(model.image().volume());
    let naive = network::run(file, &pixels);
    for kernels in kernels::available() {
        // A byte that is read before it is written would show.
        for dirt in [0x00, 0xa5] {
            let mut arena = Aligned::new(model.arena_len(), dirt);
            let mut session = Session::with_kernels(model, arena.bytes(), *kernels).expect("a fitting arena");
            session.image_mut().copy_from_slice(&pixels);
            let logits: Vec<Exact> = session.run().iter().map(|&x| Exact::float(x)).collect();
            assert_eq!(logits, naive.logits, "{}", kernels.name);
        }
    }
    true
}

/// Header and records of the small model, before the strings.
const RECORDS: usize = 64 + 14 * 32 + 14 * 64 + 64;

/// Every bit of the header and the records.
#[test]
fn every_bit_of_the_records() {
    let mut bytes = model::random_file(SMALL, 12);
    let mut count = 0;
    for bit in 0..8 * RECORDS {
        bytes[bit / 8] ^= 1 << (bit % 8);
        seal(&mut bytes);
        count += usize::from(accepted(&bytes));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // Scales, zero points, pad codes, multipliers, means: what is any number is accepted.
    assert!(count > 500, "{count}");
}

/// A place, how many bytes, and what they become.
fn change() -> impl Strategy<Value = (f64, Vec<u8>)> {
    let value = prop_oneof![
        any::<[u8; 1]>().prop_map(Vec::from),
        any::<[u8; 2]>().prop_map(Vec::from),
        select(&[0u32, 1, 2, 3, 4, 8, 16, 64, 128, 192, 256, 512, 1 << 16, 1 << 20, 1 << 31, u32::MAX][..])
            .prop_map(|n| n.to_le_bytes().to_vec()),
        (0u16..15).prop_map(|n| n.to_le_bytes().to_vec()),
    ];
    (0.0..1.0, value)
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn changes_in_the_records(changes in prop::collection::vec(change(), 1..4)) {
        let mut bytes = model::random_file(SMALL, 13);
        for (place, value) in changes {
            // Fields are aligned to their size.
            let at = (place * RECORDS as f64) as usize / value.len() * value.len();
            bytes[at..at + value.len()].copy_from_slice(&value);
        }
        seal(&mut bytes);
        accepted(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn changes_anywhere(changes in prop::collection::vec(change(), 1..6)) {
        let mut bytes = model::random_file(SMALL, 14);
        for (place, value) in changes {
            let at = (place * (bytes.len() - 8) as f64) as usize;
            bytes[at..at + value.len()].copy_from_slice(&value);
        }
        seal(&mut bytes);
        accepted(&bytes);
    }

    #[test]
    fn noise_behind_a_header(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let sample = model::random_file(SMALL, 15);
        let mut bytes = [&sample[..64], &noise, &[0; 4]].concat();
        let len = bytes.len() as u32;
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        seal(&mut bytes);
        prop_assert!(!accepted(&bytes));
    }
}
