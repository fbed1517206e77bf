//! From a tensor's values to its quantization parameters.

use std::{fmt, str::FromStr};

use cardinal_format::quant::QParams;

use crate::{CalibError, Distortion, Histogram, Sqnr, representable, threshold};

/// How the range of an activation tensor is chosen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// The whole observed range; clips nothing. Krishnamoorthi 2018,
    /// [arXiv:1806.08342](https://arxiv.org/abs/1806.08342).
    MinMax,
    /// The range of least expected squared error; clips outliers. Nagel et al. 2021,
    /// [arXiv:2106.08295](https://arxiv.org/abs/2106.08295).
    Mse,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MinMax => "min-max",
            Self::Mse => "mse",
        })
    }
}

impl FromStr for Method {
    type Err = CalibError;

    fn from_str(name: &str) -> Result<Self, CalibError> {
        match name {
            "min-max" => Ok(Self::MinMax),
            "mse" => Ok(Self::Mse),
            _ => Err(CalibError::UnknownMethod(name.to_owned())),
        }
    }
}

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

/// Watches one activation tensor over the calibration images.
///
/// One observer per tensor and thread, merged at the end, gives the same parameters as a single one: see
/// [`Histogram`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observer {
    histogram: Histogram,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the tensor's values for one or more images, in any order.
    pub fn observe(&mut self, values: &[f32]) {
        self.histogram.observe(values);
    }

    /// Adds what another observer of the same tensor saw.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
    }

    /// The values seen.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// The tensor's quantization parameters.
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
            Method::Mse => threshold::mse(observed, &distortion),
        };
        let mse = distortion.mse(qparams);
        let sqnr_db = Sqnr { signal: distortion.power(), noise: mse }.db();
        Ok(Calibrated { qparams, clip: representable(qparams), observed, mse, sqnr_db })
    }
}
