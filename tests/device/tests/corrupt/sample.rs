//! One file, where its fields are, and rows of changes to it.

use cardinal_device_tests::model::{self, SMALL};
use cardinal_device_tests::random::Random;
use cardinal_device_tests::seal::patched;
use cardinal_format::write::{Contents, to_bytes};
use cardinal_format::{File, FormatError};

/// The small model, and where its bytes are.
pub struct Sample {
    pub bytes: Vec<u8>,
}

pub const TENSORS: usize = 14;
pub const OPS: usize = 14;

pub const STEM: usize = 0;
pub const POOL: usize = 1;
pub const SHORTCUT: usize = 2;
pub const GROUPED: usize = 4;
pub const EXPAND: usize = 5;
pub const IN_PLACE: usize = 8;
pub const REDUCE: usize = 9;
pub const PROJECT: usize = 11;
pub const MEAN: usize = 12;
pub const CLASSIFIER: usize = 13;

pub const fn tensor(number: usize) -> usize {
    64 + 32 * number
}

pub const fn op(number: usize) -> usize {
    tensor(TENSORS) + 64 * number
}

pub const PREPROCESS: usize = op(OPS);
pub const LABELS: usize = PREPROCESS + 64;

impl Sample {
    pub fn new(labels: &[&str]) -> Self {
        let write =
            |contents: &Contents<'_>| to_bytes(&Contents { labels, provenance: "{\"a\": \"ä\"}", ..*contents });
        Sample { bytes: model::random(SMALL, &mut Random::new(9), write).expect("a valid model") }
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    pub fn strings(&self) -> usize {
        LABELS + 4 * self.u32(36) as usize
    }

    pub fn provenance(&self) -> usize {
        self.strings() + self.u32(40) as usize
    }

    pub fn data(&self) -> usize {
        self.bytes.len() - 4 - self.u32(48) as usize
    }

    /// First byte of an op's weights.
    pub fn weights(&self, number: usize) -> usize {
        self.data() + self.u32(op(number) + 32) as usize
    }

    /// First byte of an op's channel parameters.
    pub fn channels(&self, number: usize) -> usize {
        self.data() + self.u32(op(number) + 40) as usize
    }

    /// First byte of a projection's weights.
    pub fn projection_weights(&self, number: usize) -> usize {
        self.data() + self.u32(op(number) + 52) as usize
    }

    /// First byte of a projection's channel parameters.
    pub fn projection_channels(&self, number: usize) -> usize {
        self.data() + self.u32(op(number) + 60) as usize
    }

    pub fn error(&self, at: usize, value: &[u8]) -> Option<FormatError> {
        File::new_checked(&patched(&self.bytes, at, value)).err()
    }

    /// Every row's value at its place has its error.
    pub fn refused<const N: usize>(&self, rows: &[(&str, usize, [u8; N], FormatError)]) {
        for (what, at, value, error) in rows {
            assert_eq!(self.error(*at, value), Some(*error), "{what}");
        }
    }
}

pub const FIVE: [&str; 5] = ["a", "bc", "", "ä", "e"];

pub fn header(at: usize) -> FormatError {
    FormatError::Header { at }
}

pub fn in_op(op: usize, field: &'static str) -> FormatError {
    FormatError::Op { op: op as u16, field }
}
