//! Rounding weights together instead of one by one.
//!
//! What matters of a layer is its output `W x`. When a weight is rounded, the ones after it can make up for the error, as
//! far as the inputs go together: Frantar et al. 2023, "GPTQ" ([arXiv:2210.17323](https://arxiv.org/abs/2210.17323)),
//! after Hassibi & Stork 1993, "Optimal Brain Surgeon". It takes no labels and no gradient, only the second moments of the
//! layer's inputs.

use std::sync::Arc;

/// Inputs that are added together.
const BLOCK: usize = 64;

/// Sums over a layer's inputs: as many numbers as weights of one output channel, in the weights' order.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    len: usize,
    count: u64,
    sum: Vec<f64>,
    /// Σ x xᵀ, row by row; only the upper triangle is kept up.
    products: Vec<f64>,
}

impl Moments {
    /// Of inputs of this many numbers; none seen yet.
    pub fn new(len: usize) -> Self {
        Moments { len, count: 0, sum: vec![0.0; len], products: vec![0.0; len * len] }
    }

    /// Adds inputs, one after the other. The last bits depend on the order.
    ///
    /// # Panics
    ///
    /// If `inputs` is no whole number of inputs.
    pub fn observe(&mut self, inputs: &[f32]) {
        assert!(inputs.len().is_multiple_of(self.len), "{} values of inputs of {}", inputs.len(), self.len);
        self.count += (inputs.len() / self.len) as u64;
        // A row of products stays in the first cache for a block of inputs: the whole does not.
        for block in inputs.chunks(BLOCK * self.len) {
            for (i, (sum, row)) in self.sum.iter_mut().zip(self.products.chunks_exact_mut(self.len)).enumerate() {
                for input in block.chunks_exact(self.len) {
                    let x = f64::from(input[i]);
                    *sum += x;
                    if x != 0.0 {
                        row[i..].iter_mut().zip(&input[i..]).for_each(|(sum, &y)| *sum += x * f64::from(y));
                    }
                }
            }
        }
    }

    /// How many inputs were seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean input.
    pub fn mean(&self) -> impl Iterator<Item = f64> + '_ {
        self.sum.iter().map(|sum| sum / self.count.max(1) as f64)
    }

    /// The mean square of each number of the input.
    pub fn power(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len).map(|i| self.products[i * self.len + i] / self.count.max(1) as f64)
    }
}

/// How rounding errors are passed on.
#[derive(Clone, Debug)]
pub struct Rounding {
    len: usize,
    /// `U` of `H⁻¹ = Uᵀ U`, upper triangular, where `H` is the second moment. It only decides between neighbouring codes,
    /// so half the bits will do.
    factor: Arc<[f32]>,
    /// What the inputs were multiplied by since, inverted; empty for 1.
    inverse: Vec<f64>,
}

/// Added to the diagonal of `H`, of its mean: inputs that go together exactly, or are always 0, have no inverse.
const DAMPING: f64 = 0.01;

impl Rounding {
    /// From what was seen of the inputs; `None` if that was nothing, or only zeros.
    pub fn new(moments: Moments) -> Option<Self> {
        let n = moments.len;
        let mut factor = moments.products;
        let trace: f64 = (0..n).map(|i| factor[i * n + i]).sum();
        let damping = DAMPING * trace / n as f64;
        if !(damping > 0.0 && damping.is_finite()) {
            return None;
        }
        (0..n).for_each(|i| factor[i * n + i] += damping);
        factorize(&mut factor, n)?;
        invert(&mut factor, n);
        Some(Rounding { len: n, factor: factor.into_iter().map(|u| u as f32).collect(), inverse: Vec::new() })
    }

    /// For the same inputs multiplied, number by number. (What is added to the diagonal is multiplied with them.)
    ///
    /// # Panics
    ///
    /// If there are not as many factors as numbers.
    pub fn scaled(&self, factors: &[f32]) -> Self {
        assert_eq!(factors.len(), self.len, "factors and inputs");
        let before = self.inverse.iter().copied().chain(std::iter::repeat(1.0));
        let inverse = factors.iter().zip(before).map(|(&factor, before)| before / f64::from(factor)).collect();
        Rounding { inverse, ..self.clone() }
    }

    /// One output channel's weights as multiples of `scale`, in -127..=127.
    ///
    /// # Panics
    ///
    /// If the weights are not as many as the inputs.
    pub fn round(&self, weights: &[f32], scale: f32) -> Vec<i8> {
        assert_eq!(weights.len(), self.len, "weights and inputs");
        let scale = f64::from(scale);
        let inverse = |i: usize| self.inverse.get(i).copied().unwrap_or(1.0);
        // In the units of the inputs that were seen, errors are passed on as they were found.
        let mut left: Vec<f64> = weights.iter().enumerate().map(|(i, &w)| f64::from(w) / scale / inverse(i)).collect();
        let mut codes = Vec::with_capacity(self.len);
        for i in 0..self.len {
            let row = &self.factor[i * self.len + i..(i + 1) * self.len];
            let code = (left[i] * inverse(i)).round_ties_even().clamp(-127.0, 127.0);
            let error = (left[i] - code / inverse(i)) / f64::from(row[0]);
            left[i..].iter_mut().zip(row).for_each(|(w, &u)| *w -= error * f64::from(u));
            codes.push(code as i8);
        }
        codes
    }
}

/// `A = R Rᵀ` with `R` upper triangular, in place; only the upper triangle of `A` is read. `None` if `A` is not positive.
fn factorize(a: &mut [f64], n: usize) -> Option<()> {
    for j in (0..n).rev() {
        let (above, rest) = a.split_at_mut(j * n);
        let row = &mut rest[..n];
        let tail: f64 = row[j + 1..].iter().map(|r| r * r).sum();
        let pivot = (row[j] - tail).sqrt();
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        row[j] = pivot;
        let row = &row[j + 1..];
        for other in above.chunks_exact_mut(n) {
            other[j] = (other[j] - dot(&other[j + 1..], row)) / pivot;
        }
    }
    Some(())
}

/// Inverse of an upper triangular matrix, in place.
fn invert(a: &mut [f64], n: usize) {
    for i in (0..n).rev() {
        let (rest, below) = a.split_at_mut((i + 1) * n);
        let row = &mut rest[i * n..];
        let pivot = 1.0 / row[i];
        let factors: Vec<f64> = row[i + 1..].to_vec();
        row[i + 1..].fill(0.0);
        row[i] = pivot;
        for (k, factor) in factors.into_iter().enumerate() {
            let factor = -factor * pivot;
            let other = &below[k * n + i + 1 + k..(k + 1) * n];
            row[i + 1 + k..].iter_mut().zip(other).for_each(|(to, from)| *to += factor * from);
        }
    }
}

/// Sum of products in lanes, which a compiler may turn into vectors; the order is the same everywhere.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that go together: each is nine tenths the one before.
    fn inputs(len: usize, count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut last = 0.0;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            last = 0.9 * last + ((state >> 40) as f32 / 8_388_608.0 - 1.0);
            last
        };
        (0..len * count).map(next).collect()
    }

    fn moments(len: usize) -> (Moments, Vec<f32>) {
        let inputs = inputs(len, 400);
        let mut moments = Moments::new(len);
        moments.observe(&inputs);
        (moments, inputs)
    }

    #[test]
    fn factor_is_of_the_inverse() {
        let n = 7;
        let (moments, _) = moments(n);
        let rounding = Rounding::new(moments.clone()).expect("inputs of every kind");
        let u = &rounding.factor;
        let mean = (0..n).map(|i| moments.products[i * n + i]).sum::<f64>() / n as f64;
        // H Uᵀ U = 1.
        for i in 0..n {
            for j in 0..n {
                let h = |a: usize, b: usize| {
                    moments.products[a.min(b) * n + a.max(b)] + if a == b { DAMPING * mean } else { 0.0 }
                };
                let inverse = |a: usize, b: usize| {
                    (0..=a.min(b)).map(|k| f64::from(u[k * n + a]) * f64::from(u[k * n + b])).sum::<f64>()
                };
                let product: f64 = (0..n).map(|k| h(i, k) * inverse(k, j)).sum();
                assert!((product - f64::from(i == j)).abs() < 1e-4, "{i} {j}: {product}");
            }
        }
    }

    #[test]
    fn scaled_inputs_are_rounded_for() {
        let (moments, inputs) = moments(40);
        let times =
            |factors: &[f32]| -> Vec<f32> { inputs.iter().zip(factors.iter().cycle()).map(|(x, f)| x * f).collect() };
        let mut doubled = Moments::new(40);
        doubled.observe(&times(&[2.0; 40]));
        let rounding = Rounding::new(moments).expect("inputs of every kind");
        let expected = Rounding::new(doubled).expect("inputs of every kind");
        let weights: Vec<f32> = self::inputs(40, 1);
        assert_eq!(rounding.scaled(&[2.0; 40]).round(&weights, 0.125), expected.round(&weights, 0.125));

        let factors: Vec<f32> = (0..40).map(|i| [1.0, 2.0, 0.5, 4.0, 8.0][i % 5]).collect();
        let scaled = times(&factors);
        let error = |codes: &[i8]| -> f64 {
            let off: Vec<f64> = codes.iter().zip(&weights).map(|(&c, &w)| f64::from(c) / 8.0 - f64::from(w)).collect();
            let outputs = scaled.chunks_exact(40);
            outputs.map(|x| x.iter().zip(&off).map(|(&x, o)| f64::from(x) * o).sum::<f64>().powi(2)).sum()
        };
        let (once, twice) = (rounding.scaled(&factors), rounding.scaled(&[2.0; 40]).scaled(&factors));
        assert_eq!(once.round(&weights, 0.125), twice.round(&weights, 0.125));
        let unaware = rounding.round(&weights, 0.125);
        assert!(error(&once.round(&weights, 0.125)) < 0.8 * error(&unaware), "knowing the factors helps");
    }

    #[test]
    fn outputs_are_closer_than_with_the_nearest_codes() {
        let (moments, inputs) = moments(40);
        let rounding = Rounding::new(moments.clone()).expect("inputs of every kind");
        let weights: Vec<f32> = self::inputs(40, 1);
        let scale = 1.0 / 8.0;
        let error = |codes: &[i8]| -> f64 {
            let off: Vec<f64> = codes.iter().zip(&weights).map(|(&c, &w)| f64::from(c) / 8.0 - f64::from(w)).collect();
            inputs
                .chunks_exact(40)
                .map(|x| x.iter().zip(&off).map(|(&x, o)| f64::from(x) * o).sum::<f64>().powi(2))
                .sum()
        };
        let nearest: Vec<i8> = weights.iter().map(|w| (w / scale).round_ties_even() as i8).collect();
        let (ours, theirs) = (error(&rounding.round(&weights, scale)), error(&nearest));
        assert!(ours < 0.6 * theirs, "{ours} against {theirs}");
    }

    #[test]
    fn codes_stay_in_range_and_nothing_seen_is_no_rounding() {
        let (moments, _) = moments(5);
        let rounding = Rounding::new(moments.clone()).expect("inputs of every kind");
        assert!(rounding.round(&[1.0, -1.0, 1.0, 1.0, -1.0], 1.0 / 127.0).iter().all(|c| *c >= -127));
        assert!(Rounding::new(Moments::new(5)).is_none());
        let mut zeros = Moments::new(2);
        zeros.observe(&[0.0; 8]);
        assert!(Rounding::new(zeros.clone()).is_none());
        assert_eq!((zeros.count(), zeros.mean().collect::<Vec<_>>()), (4, vec![0.0, 0.0]));
    }
}
