//! From a tensor's values to its quantization parameters.

use cardinal_format::quant::QParams;
use serde::{Deserialize, Serialize};

use crate::{CalibError, Distortion, Histogram, Method, MovingRange, Sqnr, representable, threshold};

/// The quantization parameters of an activation tensor, and what they are expected to cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Scale and zero point.
    pub qparams: QParams,
    /// The range that these can represent, `(lo, hi)`; values outside are clipped to it.
    pub clip: (f32, f32),
    /// The least and the greatest value observed.
    pub observed: (f32, f32),
    /// Expected squared error of a quantized value, in squared real units.
    pub mse: f64,
    /// Expected signal-to-quantization-noise ratio, in decibels.
    pub sqnr_db: f64,
}

/// Watches one activation tensor over the calibration images; 64 KiB, or with weights twice that.
///
/// One observer per tensor and thread, merged at the end, gives the same parameters as a single one: see
/// [`Histogram`]. Only [`Method::MovingAverage`] needs the images' order, which the caller keeps:
/// [`observe`](Self::observe) gives the extrema of an image, [`add_to_average`](Self::add_to_average) takes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observer {
    histogram: Histogram,
    weighted: Option<Weighted>,
    average: MovingRange,
}

/// A histogram in which the values of a channel count by its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Weighted {
    weights: Vec<u32>,
    histogram: Histogram,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// For [`Method::Sensitivity`]: how much an error in each channel matters, relative to the others, 0 or more.
    pub fn weighted(sensitivities: &[f64]) -> Self {
        /// What the most sensitive channel counts. Whole numbers add up exactly, in any order.
        const MOST: f64 = 255.0;
        let most = sensitivities.iter().copied().filter(|s| s.is_finite()).fold(0.0, f64::max);
        let weight = |&s: &f64| if most > 0.0 { (MOST * s / most).clamp(1.0, MOST) as u32 } else { 1 };
        let weights = sensitivities.iter().map(weight).collect();
        Self { weighted: Some(Weighted { weights, histogram: Histogram::new() }), ..Self::default() }
    }

    /// Adds one image's values, `[channels][positions]`; their order matters to [`Method::Sensitivity`] only. Returns the
    /// least and the greatest one.
    pub fn observe(&mut self, values: &[f32]) -> (f32, f32) {
        self.histogram.observe(values);
        if let Some(Weighted { weights, histogram }) = &mut self.weighted {
            let positions = values.len() / weights.len().max(1);
            for (values, &weight) in values.chunks_exact(positions.max(1)).zip(&*weights) {
                histogram.observe_times(values, weight);
            }
        }
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &x| (min.min(x), max.max(x)))
    }

    /// Takes in the extrema of the next image.
    pub fn add_to_average(&mut self, extrema: (f32, f32)) {
        self.average.add(extrema);
    }

    /// Adds what another observer of the same tensor saw, but for its average.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        if let (Some(to), Some(from)) = (&mut self.weighted, &other.weighted) {
            to.histogram.merge(&from.histogram);
        }
    }

    /// The values seen.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// The tensor's quantization parameters. What was not kept up is replaced by what is nearest: an average by the whole
    /// range, weights by equal ones.
    ///
    /// # Errors
    ///
    /// [`CalibError::NonFinite`] if any value was NaN or infinite, [`CalibError::Empty`] if there were none.
    pub fn qparams(&self, method: Method) -> Result<Calibrated, CalibError> {
        let non_finite = self.histogram.non_finite();
        if non_finite > 0 {
            return Err(CalibError::NonFinite { non_finite, total: self.histogram.count() + non_finite });
        }
        let observed = self.histogram.range().ok_or(CalibError::Empty)?;
        let distortion = Distortion::new(&self.histogram);
        let qparams = match method {
            Method::MinMax => threshold::min_max(observed),
            Method::MovingAverage => threshold::min_max(self.average.range().unwrap_or(observed)),
            Method::Percentile => threshold::percentile(&self.histogram, observed),
            Method::Entropy => threshold::entropy(&self.histogram, observed),
            Method::Mse => threshold::mse(observed, &distortion),
            Method::Sensitivity => match &self.weighted {
                Some(Weighted { histogram, .. }) => threshold::mse(observed, &Distortion::new(histogram)),
                None => threshold::mse(observed, &distortion),
            },
        };
        let mse = distortion.mse(qparams);
        let sqnr_db = Sqnr { signal: distortion.power(), noise: mse }.db();
        Ok(Calibrated { qparams, clip: representable(qparams), observed, mse, sqnr_db })
    }
}
