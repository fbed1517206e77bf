//! A histogram of fixed size whose state does not depend on the order of its values.

use serde::{Deserialize, Serialize};

/// Bins of each half of a [`Histogram`].
pub const BINS: usize = 1 << BINS_LOG2;
const BINS_LOG2: i32 = 12;

/// Exponent of the narrowest range. Smaller values are far below [`MIN_SCALE`](crate::MIN_SCALE); the floor keeps
/// the reciprocal of the bin width a normal `f32`.
const MIN_EXPONENT: i32 = -64;

/// Values scanned and then binned together: they stay in the first-level cache between the two passes.
const BLOCK: usize = 4096;

/// Values scanned side by side, a multiple of any vector register's lanes.
const LANES: usize = 16;

/// Counts of a tensor's values by sign and magnitude, with exact extrema.
///
/// Each sign has [`BINS`] bins of equal width over the magnitudes `[0, R)`. The range `R` is the least power of two
/// above every magnitude seen (and at least 2^-64): it doubles as needed, which merges the bins in pairs. A value `x`
/// lies in bin `floor(|x| / width)`, where `width = R / BINS` is a power of two, so the quotient is exact, and the
/// bin of a value after doubling is the bin that it would have been given at once. That `R` exceeds the greatest
/// magnitude, never equals it, is what makes this hold for powers of two.
///
/// The state is therefore a function of the multiset of values alone, whatever their order and however they were
/// spread over histograms that are merged: equal multisets compare equal, bit for bit.
///
/// Zeros of both signs count as non-negative. NaN and infinities are counted, not binned, and leave no other trace.
/// Memory is at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Empty before the first finite value; then the non-negative half, and after the first negative value that half.
    bins: Vec<u64>,
    /// `R = 2^exponent`.
    exponent: i32,
    min: f32,
    max: f32,
    count: u64,
    zeros: u64,
    non_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// A histogram of no values.
    pub fn new() -> Self {
        Self {
            bins: Vec::new(),
            exponent: MIN_EXPONENT,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            count: 0,
            zeros: 0,
            non_finite: 0,
        }
    }

    /// Adds values.
    pub fn observe(&mut self, values: &[f32]) {
        self.observe_times(values, 1);
    }

    /// Adds values as if each had been seen so many times.
    pub fn observe_times(&mut self, values: &[f32], times: u32) {
        let times = u64::from(times);
        for block in values.chunks(BLOCK) {
            let extent = Extent::of(block);
            if extent.finite {
                self.bin(block, extent, times);
                continue;
            }
            for run in block.split(|x| !x.is_finite()) {
                self.bin(run, Extent::of(run), times);
            }
            self.non_finite += times * block.iter().filter(|x| !x.is_finite()).count() as u64;
        }
    }

    /// Adds the values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.reserve(other.exponent, other.bins.len());
        let shift = self.exponent.abs_diff(other.exponent).min(BINS_LOG2 as u32);
        for (half, other) in self.bins.chunks_mut(BINS).zip(other.bins.chunks(BINS)) {
            for (i, count) in other.iter().enumerate() {
                half[i >> shift] += count;
            }
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.zeros += other.zeros;
        self.non_finite += other.non_finite;
    }

    /// The least and the greatest finite value, exactly; none before the first.
    pub fn range(&self) -> Option<(f32, f32)> {
        (self.count > 0).then_some((self.min, self.max))
    }

    /// Number of finite values, zeros included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Number of zeros of either sign. They are also counted in the first non-negative bin.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Number of NaN and infinite values.
    pub fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// Width of every bin, a power of two.
    pub fn width(&self) -> f64 {
        f64::from(pow2(self.exponent - BINS_LOG2))
    }

    /// Counts of the values `x >= 0`: bin `i` holds `i * width <= x < (i + 1) * width`. [`BINS`] long, or empty.
    pub fn non_negative(&self) -> &[u64] {
        &self.bins[..self.bins.len().min(BINS)]
    }

    /// Counts of the values `x < 0`: bin `i` holds `i * width <= -x < (i + 1) * width`. [`BINS`] long, or empty.
    pub fn negative(&self) -> &[u64] {
        &self.bins[self.bins.len().min(BINS)..]
    }

    /// Counts finite values so many times; `extent` is theirs.
    fn bin(&mut self, values: &[f32], extent: Extent, times: u64) {
        if values.is_empty() || times == 0 {
            return;
        }
        self.min = self.min.min(extent.min);
        self.max = self.max.max(extent.max);
        self.count += times * values.len() as u64;
        self.zeros += times * u64::from(extent.zeros);

        let halves = if extent.min < 0.0 { 2 } else { 1 };
        self.reserve(exponent_above(extent.min.abs().max(extent.max.abs())), halves * BINS);
        let per_width = pow2(BINS_LOG2 - self.exponent);
        let bins = self.bins.as_mut_slice();
        for &x in values {
            let x = x + 0.0; // Makes -0.0 positive.
            let negative = (x.to_bits() >> 31) as usize;
            bins[negative * BINS + (x.abs() * per_width) as i32 as usize] += times;
        }
    }

    /// Widens the range to at least `2^exponent` and the bins to at least `len`.
    fn reserve(&mut self, exponent: i32, len: usize) {
        if exponent > self.exponent {
            let shift = (exponent - self.exponent).min(BINS_LOG2);
            for half in self.bins.chunks_mut(BINS) {
                for i in 0..BINS {
                    let count = std::mem::take(&mut half[i]);
                    half[i >> shift] += count;
                }
            }
            self.exponent = exponent;
        }
        if len > self.bins.len() {
            self.bins.resize(len, 0);
        }
    }
}

/// What one pass over a block of values tells.
struct Extent {
    min: f32,
    max: f32,
    zeros: u32,
    /// Whether all values are finite; the rest means nothing otherwise.
    finite: bool,
}

impl Extent {
    /// Lane by lane, as float minima do not reassociate.
    fn of(values: &[f32]) -> Self {
        let mut min = [f32::INFINITY; LANES];
        let mut max = [f32::NEG_INFINITY; LANES];
        let mut zeros = [0u32; LANES];
        let mut poison = [0.0f32; LANES];
        let mut scan = |lane: usize, x: f32| {
            let x = x + 0.0; // Makes -0.0 positive, lest the sign of an extremum depend on the order.
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            zeros[lane] += u32::from(x == 0.0);
            poison[lane] += x * 0.0; // NaN from here on if x is not finite.
        };
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &x) in chunk.iter().enumerate() {
                scan(lane, x);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            scan(lane, x);
        }
        Self {
            min: min.into_iter().fold(f32::INFINITY, f32::min),
            max: max.into_iter().fold(f32::NEG_INFINITY, f32::max),
            zeros: zeros.into_iter().sum(),
            finite: poison.into_iter().all(|p| p == 0.0),
        }
    }
}

/// The least `e >= MIN_EXPONENT` with `magnitude < 2^e`.
fn exponent_above(magnitude: f32) -> i32 {
    let biased = (magnitude.to_bits() >> 23) as i32;
    (biased - 126).max(MIN_EXPONENT)
}

/// `2^exponent`, for the exponents of normal numbers.
fn pow2(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_exceeds_every_magnitude() {
        for (magnitude, exponent) in
            [(0.0, MIN_EXPONENT), (1e-40, MIN_EXPONENT), (1.0, 1), (1.0f32.next_down(), 0), (3.9, 2), (4.0, 3)]
        {
            assert_eq!(exponent_above(magnitude), exponent, "{magnitude}");
        }
        assert_eq!(exponent_above(f32::MAX), 128);
    }

    #[test]
    fn powers_of_two_open_their_bin() {
        let mut h = Histogram::new();
        h.observe(&[1.0, -1.0, 0.5, 0.5f32.next_down()]);
        assert_eq!(h.width(), 2.0 / 4096.0);
        assert_eq!((h.non_negative()[2048], h.negative()[2048]), (1, 1));
        assert_eq!((h.non_negative()[1024], h.non_negative()[1023]), (1, 1));
        h.observe(&[2.0]);
        assert_eq!((h.non_negative()[2048], h.non_negative()[1024], h.non_negative()[512]), (1, 1, 1));
    }

    #[test]
    fn both_zeros_are_one() {
        let mut h = Histogram::new();
        h.observe(&[-0.0, 0.0, -0.0]);
        assert_eq!((h.zeros(), h.count(), h.non_negative()[0]), (3, 3, 3));
        assert!(h.negative().is_empty());
        let (min, max) = h.range().unwrap();
        assert_eq!((min.to_bits(), max.to_bits()), (0, 0));
    }

    #[test]
    fn extremes_of_the_format_are_binned() {
        let mut h = Histogram::new();
        h.observe(&[f32::MAX, -f32::MAX, f32::MIN_POSITIVE, -1e-45]);
        assert_eq!((h.non_negative()[BINS - 1], h.negative()[BINS - 1]), (1, 1));
        assert_eq!((h.non_negative()[0], h.negative()[0]), (1, 1));
    }

    #[test]
    fn non_finite_values_are_counted_only() {
        let mut h = Histogram::new();
        h.observe(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(h.range(), None);
        assert_eq!(h, Histogram { non_finite: 3, ..Histogram::new() });
        h.observe(&[f32::NAN, 1.0, f32::INFINITY, -2.0]);
        assert_eq!((h.range(), h.count(), h.non_finite()), (Some((-2.0, 1.0)), 2, 5));
    }
}
