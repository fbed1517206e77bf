//! Thresholds of least divergence.

use cardinal_format::quant::QParams;

use crate::{Histogram, spanning};

/// Codes of a tensor without negative values.
const CODES: usize = 256;
/// Bins between one threshold that is tried and the next: beyond the first octave, a thousand thresholds are no better
/// than a hundred.
const STRIDE: usize = 8;
/// Values per bin, on average, below which bins are joined in pairs: between sparse bins, what is noise in their counts would
/// pass for divergence.
const DENSE: f64 = 100.0;
/// The least probability of a bin that a code stands for: where there is none, the divergence would be infinite.
const LEAST: f64 = 1e-9;

/// Parameters of least Kullback-Leibler divergence between the distribution of the values, those beyond the threshold
/// taken to lie at it, and that of their codes, each code's count spread over the bins that it stands for.
///
/// Migacz 2017, *8-bit Inference with TensorRT*, NVIDIA GPU Technology Conference, slides 19 to 40; there for 2048 bins and
/// 128 codes of magnitudes. Here a tensor with negative values gets one threshold for magnitudes of both signs, half of the
/// codes to each. Zeros do not count: they have a code of their own whatever the threshold, and after a ReLU they would
/// drown all else.
pub(crate) fn entropy(histogram: &Histogram, (min, max): (f32, f32)) -> QParams {
    let signed = min < 0.0 && max > 0.0;
    let codes = if signed { CODES / 2 } else { CODES };
    let mut counts = vec![0.0; histogram.non_negative().len().max(histogram.negative().len())];
    for half in [histogram.non_negative(), histogram.negative()] {
        counts.iter_mut().zip(half).for_each(|(sum, &count)| *sum += count as f64);
    }
    if let Some(first) = counts.first_mut() {
        *first -= histogram.zeros() as f64;
    }
    let total: f64 = counts.iter().sum();
    let mut width = histogram.width();
    let mut used = counts.iter().rposition(|&count| count > 0.0).map_or(0, |last| last + 1);
    while used > 2 * codes && total < DENSE * used as f64 {
        counts = counts.chunks(2).map(|pair| pair.iter().sum()).collect();
        (width, used) = (2.0 * width, used.div_ceil(2));
    }
    let candidates = (codes..used).step_by(STRIDE).chain([used]);
    // Of equal divergences the widest range.
    let best = candidates.map(|bins| (divergence(&counts[..used], bins, codes), bins));
    let best = best.reduce(|best, next| if next.0 <= best.0 { next } else { best });
    let threshold = best.map_or(0.0, |(_, bins)| (bins as f64 * width) as f32);
    spanning(min.max(-threshold), max.min(threshold))
}

/// Divergence with a threshold at the upper edge of so many bins.
fn divergence(counts: &[f64], bins: usize, codes: usize) -> f64 {
    let (inside, outside) = counts.split_at(bins.min(counts.len()));
    let total: f64 = counts.iter().sum();
    let kept: f64 = inside.iter().sum();
    // Infinite, strictly: nothing stands for what is clipped.
    if inside.is_empty() || total == 0.0 || kept == 0.0 {
        return f64::INFINITY;
    }
    let clipped: f64 = outside.iter().sum();
    let mut divergence = 0.0;
    for code in 0..codes.min(bins) {
        let (from, to) = (code * bins / codes.min(bins), (code + 1) * bins / codes.min(bins));
        let bins = &inside[from.min(inside.len())..to.min(inside.len())];
        // The clipped values lie in the last bin.
        let p = |(i, &count): (usize, &f64)| count + if from + i + 1 == inside.len() { clipped } else { 0.0 };
        let filled = bins.iter().enumerate().filter(|&bin| p(bin) > 0.0).count() as f64;
        let q = (bins.iter().sum::<f64>() / filled / kept).max(LEAST);
        for p in bins.iter().enumerate().map(p).filter(|&p| p > 0.0) {
            divergence += p / total * (p / total / q).ln();
        }
    }
    divergence
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exponential magnitudes, their quantiles.
    fn exponential(n: usize) -> Vec<f32> {
        (0..n).map(|i| -((1.0 - (i as f64 + 0.5) / n as f64).ln()) as f32).collect()
    }

    fn threshold(values: &[f32]) -> QParams {
        let mut histogram = Histogram::new();
        histogram.observe(values);
        entropy(&histogram, histogram.range().expect("values"))
    }

    #[test]
    fn a_few_outliers_are_clipped() {
        let mut values = exponential(100_000);
        let without = threshold(&values).scale * 255.0;
        assert!((4.0..=12.3).contains(&without), "{without}");
        values.extend([100.0; 3]);
        let with = threshold(&values).scale * 255.0;
        assert!(with < 40.0, "{with}");
        // Zeros change nothing.
        values.extend([0.0; 1_000_000]);
        assert_eq!(threshold(&values).scale * 255.0, with);
    }

    #[test]
    fn uniform_values_are_kept() {
        let values: Vec<f32> = (0..100_000).map(|i| i as f32 / 100_000.0).collect();
        assert!(threshold(&values).scale * 255.0 > 0.95);
    }

    #[test]
    fn both_signs_share_a_threshold() {
        let values: Vec<f32> = exponential(50_000).into_iter().flat_map(|x| [x, -x]).chain([60.0]).collect();
        let q = threshold(&values);
        assert!(q.zero_point.abs() <= 1 && q.scale * 255.0 < 50.0, "{q:?}");
    }

    #[test]
    fn a_small_sample_is_not_cut_short() {
        let values = exponential(3_000);
        let greatest = values[2_999];
        assert!(threshold(&values).scale * 255.0 > 0.6 * greatest);
    }

    #[test]
    fn few_values_are_no_trouble() {
        assert_eq!(threshold(&[0.0]).scale, 1.0);
        assert_eq!(threshold(&[2.0]), spanning(0.0, 2.0));
        assert_eq!(threshold(&[-1e-30, 5.0]).zero_point, -128);
    }
}
