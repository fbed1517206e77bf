//! Memory for sessions and kernels.

/// Bytes that start at a multiple of 64.
pub struct Aligned {
    room: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` times `value`.
    pub fn new(len: usize, value: u8) -> Self {
        let room = vec![value; len + 63];
        let start = room.as_ptr().align_offset(64);
        Aligned { room, start, len }
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.start..][..self.len]
    }
}

/// An output with a margin on both sides that no kernel may write to.
pub struct Guarded<T> {
    items: Vec<T>,
    guard: T,
}

/// Items on each side: as many as the widest vector has bytes.
const MARGIN: usize = 64;

impl<T: Copy + PartialEq> Guarded<T> {
    /// `content` between items that are `guard`.
    pub fn new(content: &[T], guard: T) -> Self {
        let margin = [guard; MARGIN];
        Guarded { items: [&margin, content, &margin].concat(), guard }
    }

    /// The content, to be written to.
    pub fn inner(&mut self) -> &mut [T] {
        let end = self.items.len() - MARGIN;
        &mut self.items[MARGIN..end]
    }

    /// The content; panics if the margin was written to.
    pub fn into_inner(mut self) -> Vec<T> {
        let content = self.inner().to_vec();
        assert!(Guarded::new(&content, self.guard).items == self.items, "written outside the output");
        content
    }
}
