//! Thresholds of least squared error.

use cardinal_format::quant::QParams;

use super::min_max;
use crate::{Distortion, spanning};

/// Ratio of successive thresholds in the coarse scan, 2^(-1/32). Multiplied up, not raised to a power, so that every
/// platform tries the same thresholds.
const RATIO: f64 = 0.978_572_062_087_700_1;
/// Thresholds in the coarse scan: 10 octaves.
const SCANNED: usize = 32 * 10;
/// Refinements after the scan, each over a step of the one before to either side, in quarters of it.
const REFINEMENTS: usize = 3;
/// Rounds of coordinate descent, at most.
const ROUNDS: usize = 4;
/// A relative gain below this counts as a tie: it may be rounding noise.
const TIE: f64 = 1e-6;

/// Parameters that minimise the expected squared error: what clipping costs the few large values is weighed against
/// the finer step it gives the rest. Never worse than [`min_max`]; ties go to the wider range.
///
/// The criterion is that of Nagel et al. 2021, *A White Paper on Neural Network Quantization*
/// ([arXiv:2106.08295](https://arxiv.org/abs/2106.08295), section 3.1), and Banner et al. 2019
/// ([arXiv:1810.05723](https://arxiv.org/abs/1810.05723)); here it is evaluated for the parameters as the runtime will
/// have them, rounded scale and nudged zero point included.
///
/// Both thresholds are first scaled down together: where large values on both sides make the step so coarse that the
/// rest rounds to zero, moving one threshold alone gains nothing. They then move one at a time.
pub(crate) fn mse((min, max): (f32, f32), distortion: &Distortion) -> QParams {
    let (min, max) = (min.min(0.0), max.max(0.0));
    let mut search = Search::new(min, max, distortion);
    search.line(1.0, |_, f| Fractions { lo: f, hi: f });
    if min < 0.0 && max > 0.0 {
        for _ in 0..ROUNDS {
            let before = search.error;
            search.line(search.best.lo, |best, f| Fractions { lo: f, ..best });
            search.line(search.best.hi, |best, f| Fractions { hi: f, ..best });
            if search.error == before {
                break;
            }
        }
    }
    search.qparams
}

/// Thresholds, as fractions of the observed minimum and maximum.
#[derive(Clone, Copy)]
struct Fractions {
    lo: f64,
    hi: f64,
}

/// The best thresholds so far.
struct Search<'a> {
    min: f32,
    max: f32,
    distortion: &'a Distortion,
    best: Fractions,
    qparams: QParams,
    error: f64,
}

impl<'a> Search<'a> {
    fn new(min: f32, max: f32, distortion: &'a Distortion) -> Self {
        let qparams = min_max((min, max));
        let error = distortion.mse(qparams);
        Self { min, max, distortion, best: Fractions { lo: 1.0, hi: 1.0 }, qparams, error }
    }

    /// Searches a line, from wide to narrow; `at` gives the thresholds at a fraction, `start` is the best one's.
    fn line(&mut self, start: f64, at: impl Fn(Fractions, f64) -> Fractions) {
        let mut center = start;
        let mut fraction = 1.0;
        for _ in 0..SCANNED {
            if self.improve(at(self.best, fraction)) {
                center = fraction;
            }
            fraction *= RATIO;
        }
        let mut step = center * (1.0 - RATIO);
        for _ in 0..REFINEMENTS {
            step *= 0.25;
            let middle = center;
            for i in (-4..=4).rev() {
                let fraction = middle + f64::from(i) * step;
                if fraction <= 1.0 && self.improve(at(self.best, fraction)) {
                    center = fraction;
                }
            }
        }
    }

    /// Takes the thresholds if they are better than the best.
    fn improve(&mut self, fractions: Fractions) -> bool {
        let threshold = |extremum: f32, fraction: f64| (f64::from(extremum) * fraction) as f32;
        let qparams = spanning(threshold(self.min, fractions.lo), threshold(self.max, fractions.hi));
        let error = self.distortion.mse(qparams);
        let better = error < self.error * (1.0 - TIE);
        if better {
            (self.best, self.qparams, self.error) = (fractions, qparams, error);
        }
        better
    }
}
