//! Where to clip a tensor's range.

mod entropy;
mod mse;

use cardinal_format::quant::QParams;
use serde::{Deserialize, Serialize};

pub(crate) use self::entropy::entropy;
pub(crate) use self::mse::mse;
use crate::{Histogram, spanning};

/// Share of a tensor's values that [`Method::Percentile`](crate::Method::Percentile) keeps.
///
/// One of those that Wu et al. 2020 compare ([arXiv:2004.09602](https://arxiv.org/abs/2004.09602)).
pub const PERCENTILE: f64 = 0.9999;

/// What each further image counts in a [`MovingRange`]: PyTorch's `averaging_constant`.
pub const AVERAGING: f64 = 0.01;

/// Parameters that clip nothing: the whole observed range, widened to hold zero.
///
/// Krishnamoorthi 2018, *Quantizing deep convolutional networks for efficient inference*
/// ([arXiv:1806.08342](https://arxiv.org/abs/1806.08342), section 2.1).
pub(crate) fn min_max((min, max): (f32, f32)) -> QParams {
    spanning(min, max)
}

/// Parameters for all values but a share: where there are values of both signs, half of it is cut off on each side.
/// Thresholds are upper edges of histogram bins, never beyond the observed range.
pub(crate) fn percentile(histogram: &Histogram, (min, max): (f32, f32)) -> QParams {
    let cut = histogram.count() as f64 * (1.0 - PERCENTILE);
    let cut = if min < 0.0 && max > 0.0 { 0.5 * cut } else { cut };
    let edge = |counts: &[u64]| {
        let mut beyond = 0;
        let inside = counts.iter().rposition(|count| {
            beyond += count;
            beyond as f64 > cut
        });
        inside.map_or(0.0, |bin| ((bin + 1) as f64 * histogram.width()) as f32)
    };
    let (below, above) = (edge(histogram.negative()), edge(histogram.non_negative()));
    spanning(min.max(-below), max.min(above))
}

/// The running average of images' extrema. It depends on the order of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MovingRange {
    range: Option<(f64, f64)>,
}

impl MovingRange {
    /// Takes in the least and the greatest value of the next image; the first counts in full.
    pub fn add(&mut self, (min, max): (f32, f32)) {
        let (min, max) = (f64::from(min), f64::from(max));
        let average = |old: f64, new: f64| old + AVERAGING * (new - old);
        self.range = Some(match self.range {
            Some((low, high)) => (average(low, min), average(high, max)),
            None => (min, max),
        });
    }

    /// The averages; none before the first image.
    pub fn range(&self) -> Option<(f32, f32)> {
        self.range.map(|(low, high)| (low as f32, high as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_forget_slowly() {
        let mut moving = MovingRange::default();
        assert_eq!(moving.range(), None);
        moving.add((-1.0, 100.0));
        moving.add((-3.0, 0.0));
        let (low, high) = moving.range().expect("two images");
        assert!((low + 1.02).abs() < 1e-6 && (high - 99.0).abs() < 1e-5, "{low} {high}");
    }
}
