//! The expected squared error of a quantizer over a histogram.

use cardinal_format::quant::QParams;

use crate::Histogram;

/// A model of a tensor's values that tells the mean squared error of any [`QParams`] in at most 255 steps.
///
/// Values are taken to be spread evenly over their histogram bin, save zeros, which every quantizer represents
/// exactly. For a value `x >= 0` that quantizes to `k` steps of `s`,
///
/// ```text
/// (x - k s)^2 = x^2 - 2 s sum over b < x of (x - b),    b = s/2, 3s/2, ..., (k - 1/2) s
/// ```
///
/// where the `b` are the boundaries between codes that `x` exceeds. Summed over all values, the error is their sum of
/// squares less `2 s` times the sum, over the boundaries, of the excess above each: a function of the boundary that is
/// tabulated once. Clipping is no special case: a clipped value has no more boundaries to exceed. Negative values
/// mirror this.
#[derive(Clone, Debug)]
pub struct Distortion {
    non_negative: Half,
    negative: Half,
    /// Real units per bin.
    width: f64,
    /// Number of values, zeros included.
    total: f64,
}

impl Distortion {
    /// The model of a histogram's finite values.
    pub fn new(histogram: &Histogram) -> Self {
        Self {
            non_negative: Half::new(histogram.non_negative(), histogram.zeros()),
            negative: Half::new(histogram.negative(), 0),
            width: histogram.width(),
            total: histogram.count() as f64,
        }
    }

    /// The mean square of the values, in squared real units; zero without values.
    pub fn power(&self) -> f64 {
        self.mean(self.non_negative.squares + self.negative.squares)
    }

    /// The expected squared error of `dequantize(quantize(x))`, in squared real units; zero without values.
    pub fn mse(&self, qparams: QParams) -> f64 {
        let step = f64::from(qparams.scale) / self.width;
        let zero_point = i32::from(qparams.zero_point);
        let above = self.non_negative.error(step, i32::from(i8::MAX) - zero_point);
        let below = self.negative.error(step, zero_point - i32::from(i8::MIN));
        self.mean(above + below)
    }

    fn mean(&self, sum_of_squares: f64) -> f64 {
        if self.total > 0.0 { sum_of_squares * self.width * self.width / self.total } else { 0.0 }
    }
}

/// The values of one sign; magnitudes are measured in bins.
#[derive(Clone, Debug)]
struct Half {
    bins: Vec<Bin>,
    /// Sum of squares of the magnitudes.
    squares: f64,
}

/// A bin, and what lies above it.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    /// Values in the bin.
    count: f64,
    /// Values above the bin.
    above: f64,
    /// How far these exceed the bin's upper edge, in sum.
    excess: f64,
}

impl Half {
    fn new(counts: &[u64], zeros: u64) -> Self {
        let mut bins = vec![Bin::default(); counts.len()];
        let (mut above, mut excess, mut squares) = (0.0, 0.0, 0.0);
        for (i, bin) in bins.iter_mut().enumerate().rev() {
            let count = (if i == 0 { counts[0] - zeros } else { counts[i] }) as f64;
            *bin = Bin { count, above, excess };
            excess += above + 0.5 * count;
            above += count;
            let edge = i as f64;
            squares += count * (edge * edge + edge + 1.0 / 3.0);
        }
        Self { bins, squares }
    }

    /// The sum of squared errors with codes at `0, step, ..., codes * step`.
    fn error(&self, step: f64, codes: i32) -> f64 {
        let mut excess = 0.0;
        for code in 0..codes {
            let boundary = step * (f64::from(code) + 0.5);
            let i = boundary as usize;
            let Some(bin) = self.bins.get(i) else { break };
            let rest = (i + 1) as f64 - boundary;
            excess += bin.excess + rest * (bin.above + 0.5 * rest * bin.count);
        }
        // Rounding may leave less than nothing of a perfect fit.
        (self.squares - 2.0 * step * excess).max(0.0)
    }
}
