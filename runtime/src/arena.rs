//! A buffer with the alignment that a session needs.

/// `N` bytes, 64-aligned, for a `static` or the stack: `static mut ARENA: Arena<65536> = Arena::new();`
#[repr(C, align(64))]
pub struct Arena<const N: usize>(pub [u8; N]);

impl<const N: usize> Arena<N> {
    /// All zero.
    pub const fn new() -> Self {
        Arena([0; N])
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}
