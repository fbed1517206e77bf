//! Numbers that are the same in every run: xorshift32 (Marsaglia, "Xorshift RNGs", 2003).

/// A sequence.
pub struct Random(u32);

impl Random {
    /// The sequence of a seed other than 0.
    pub fn new(seed: u32) -> Self {
        Random(seed)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(end)) >> 32) as u32
    }

    /// One of some.
    pub fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    /// Fills with bytes.
    pub fn fill(&mut self, to: &mut [u8]) {
        to.iter_mut().for_each(|byte| *byte = (self.bits() >> 24) as u8);
    }
}
