//! Seeded numbers for the bulk of a test case. Property tests draw the shape of a case and one seed, so that shrinking
//! works on what people read.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 … n − 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Any byte as a code.
    pub fn code(&mut self) -> i8 {
        self.bits() as i8
    }

    /// −127 … 127.
    pub fn weight(&mut self) -> i8 {
        self.code().max(-127)
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }

    /// 1 … 2, all 23 bits of the fraction random.
    pub fn fraction(&mut self) -> f32 {
        f32::from_bits(0x3f80_0000 | (self.bits() as u32 >> 9))
    }

    /// A multiplier that brings Σ of `terms` random products w · q near the range of codes.
    pub fn multiplier(&mut self, terms: usize) -> f32 {
        self.fraction() * 48.0 / (73.0 * 73.0 * (terms as f32).sqrt())
    }
}
