//! Changes to the bytes of a file, with a checksum that is right again.

/// CRC-32 bit by bit, from its reflected polynomial.
pub fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// Writes the checksum of everything before the last four bytes there.
pub fn seal(bytes: &mut [u8]) {
    let (body, trailer) = bytes.split_last_chunk_mut::<4>().expect("a trailer");
    *trailer = crc32(body).to_le_bytes();
}

/// A copy with `value` at byte `at`, sealed.
pub fn patched(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    seal(&mut bytes);
    bytes
}
