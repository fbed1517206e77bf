//! How far a quantized tensor is from its reference.

/// Signal-to-quantization-noise ratio, gathered over any number of tensors.
///
/// `signal` is the sum of squares of the reference, `noise` that of the differences from it. Both are sums of `f64` in
/// the order observed, so the last bits depend on that order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sqnr {
    /// Sum of squares of the reference values.
    pub signal: f64,
    /// Sum of squares of `quantized - reference`.
    pub noise: f64,
}

impl Sqnr {
    /// Adds a tensor; `quantized` is dequantized, in the same units and order as `reference`.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn observe(&mut self, reference: &[f32], quantized: &[f32]) {
        assert_eq!(reference.len(), quantized.len(), "tensors of different sizes");
        for (&r, &q) in reference.iter().zip(quantized) {
            let (r, q) = (f64::from(r), f64::from(q));
            self.signal += r * r;
            self.noise += (q - r) * (q - r);
        }
    }

    /// Adds what another accumulator gathered.
    pub fn merge(&mut self, other: &Self) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// The ratio in decibels: infinite without noise, negative infinity for noise without a signal.
    pub fn db(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }
}

/// The signal-to-quantization-noise ratio of one tensor, in decibels; see [`Sqnr`].
///
/// # Panics
///
/// If the slices differ in length.
pub fn sqnr_db(reference: &[f32], quantized: &[f32]) -> f64 {
    let mut sqnr = Sqnr::default();
    sqnr.observe(reference, quantized);
    sqnr.db()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels() {
        assert_eq!(sqnr_db(&[10.0, -10.0], &[9.0, -11.0]), 20.0);
        assert_eq!(sqnr_db(&[1.0], &[1.0]), f64::INFINITY);
        assert_eq!(sqnr_db(&[], &[]), f64::INFINITY);
        assert_eq!(sqnr_db(&[0.0], &[1.0]), f64::NEG_INFINITY);
    }

    #[test]
    fn merging_adds() {
        let (mut a, mut b) = (Sqnr::default(), Sqnr::default());
        a.observe(&[3.0], &[2.0]);
        b.observe(&[4.0], &[2.0]);
        a.merge(&b);
        assert_eq!(a, Sqnr { signal: 25.0, noise: 5.0 });
    }
}
