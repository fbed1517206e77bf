//! The bytes of a pickle, taken one argument at a time.

use super::Fault;

/// A position in a stream of bytes. Nothing is taken from past its end.
pub(super) struct Input<'a> {
    stream: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(stream: &'a [u8], position: usize) -> Self {
        Self { stream, position }
    }

    /// Offset of the next byte to take.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let bytes = self.peek(len)?;
        self.position += len;
        Ok(bytes)
    }

    /// The next `len` bytes, which stay to be taken.
    pub(super) fn peek(&self, len: usize) -> Result<&'a [u8], Fault> {
        let rest = self.stream.get(self.position..).unwrap_or_default();
        rest.get(..len).ok_or_else(|| match rest.len() {
            0 => Fault::from("the pickle is cut off"),
            left => Fault::Malformed(format!("the pickle declares {len} bytes where {left} are left")),
        })
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn len1(&mut self) -> Result<usize, Fault> {
        self.array::<1>().map(|[len]| len.into())
    }

    pub(super) fn len4(&mut self) -> Result<usize, Fault> {
        self.array().map(|len| u32::from_le_bytes(len) as usize)
    }

    pub(super) fn len8(&mut self) -> Result<usize, Fault> {
        // A length past the address space is past the stream as well, and is refused as such.
        self.array().map(|len| usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX))
    }

    /// The text up to the next line feed, which is consumed.
    pub(super) fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.stream.get(self.position..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or("a global's name is cut off")?;
        let line = self.take(len)?;
        self.position += 1;
        str::from_utf8(line).map_err(|_| "a global's name is not UTF-8".into())
    }
}
