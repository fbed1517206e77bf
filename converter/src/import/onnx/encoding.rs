//! A look at the encoding of an ONNX file before it is decoded.
//!
//! Decoded, every message of a protobuf takes hundreds of bytes, and in the file no more than two: a few megabytes could
//! ask for gigabytes.

/// Messages and strings of one file; the largest networks of the family have some ten thousand.
const MAX_FIELDS: usize = 1 << 18;

/// Nesting that is followed; the decoder refuses more.
const MAX_DEPTH: usize = 100;

/// Whether a file has few enough messages and strings to be decoded.
pub(super) fn is_modest(bytes: &[u8]) -> bool {
    let mut left = MAX_FIELDS;
    spend(bytes, MAX_DEPTH, &mut left).is_some()
}

/// Takes what `bytes` hold off `left`; `None` if that does not suffice.
///
/// Only a schema could tell a message from a string or from the bytes of a tensor, so everything is read as a message as
/// far as it goes. Bytes that are none go nowhere: few of them are a tag with a length that fits.
fn spend(mut bytes: &[u8], depth: usize, left: &mut usize) -> Option<()> {
    while let Some((field, rest)) = field(bytes) {
        bytes = rest;
        if let Some(inner) = field {
            *left = left.checked_sub(1)?;
            if depth > 0 {
                spend(inner, depth - 1, left)?;
            }
        }
    }
    Some(())
}

/// The contents of the first field, if it is of those that have a length, and what follows it.
fn field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    if tag >> 3 == 0 {
        return None;
    }
    match tag & 7 {
        0 => Some((None, varint(rest)?.1)),
        1 => Some((None, rest.get(8..)?)),
        2 => {
            let (len, rest) = varint(rest)?;
            let (inner, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((Some(inner), rest))
        }
        5 => Some((None, rest.get(4..)?)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = 1 + bytes.iter().take(10).position(|&byte| byte < 0x80)?;
    let (varint, rest) = bytes.split_at(len);
    let value = varint.iter().rev().fold(0, |value, &byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &[u8] = include_bytes!("../../../../tests/fixtures/tiny_dynamo.onnx");

    /// Fields with a length, as they are counted.
    fn count(bytes: &[u8]) -> usize {
        let mut left = MAX_FIELDS;
        spend(bytes, MAX_DEPTH, &mut left).map_or(MAX_FIELDS, |()| MAX_FIELDS - left)
    }

    #[test]
    fn messages_are_counted() {
        assert_eq!(count(b""), 0);
        assert_eq!(count(b"\x08\x96\x01"), 0);
        assert_eq!(count(b"\x3a\x04\x0a\x00\x0a\x00"), 3);
        assert_eq!(count(b"\x0a\x05cut"), 0);
        assert_eq!(count(&[0; 64]), 0);
        assert!((200..20_000).contains(&count(TINY)), "{}", count(TINY));
    }

    #[test]
    fn many_empty_messages_are_refused() {
        assert!(is_modest(TINY));
        assert!(is_modest(&b"\x2a\x00".repeat(MAX_FIELDS)));
        assert!(!is_modest(&b"\x2a\x00".repeat(MAX_FIELDS + 1)));
    }
}
