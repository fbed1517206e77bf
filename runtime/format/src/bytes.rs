//! Little-endian fields in a record. Reading outside the record gives zero, so no accessor can panic; the records'
//! lengths are fixed, so no valid read is outside.

pub(crate) fn array<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    record.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

pub(crate) fn u8_at(record: &[u8], at: usize) -> u8 {
    array::<1>(record, at)[0]
}

pub(crate) fn i8_at(record: &[u8], at: usize) -> i8 {
    array::<1>(record, at)[0] as i8
}

pub(crate) fn bytes4_at(record: &[u8], at: usize) -> [u8; 4] {
    array(record, at)
}

pub(crate) fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(record, at))
}

pub(crate) fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(record, at))
}

pub(crate) fn f32_at(record: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(array(record, at))
}

/// Copies `value` into `record` at `at`; bytes beyond the record are dropped.
#[cfg(feature = "write")]
pub(crate) fn put<const N: usize>(record: &mut [u8], at: usize, value: [u8; N]) {
    for (to, from) in record.iter_mut().skip(at).zip(value) {
        *to = from;
    }
}
