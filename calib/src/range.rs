//! From a range of real numbers to scale and zero point, and back.

use cardinal_format::quant::QParams;

/// The smallest scale this crate returns, 2^-60.
///
/// The product of two such scales, the scale of a bias, is still a normal `f32`. Nothing that matters to a classifier
/// is this small; a tensor that calls for a smaller scale is zero for every purpose.
pub const MIN_SCALE: f32 = f32::from_bits((127 - 60) << 23);

/// Parameters whose 256 codes span `[lo, hi]`, both finite; the range is widened to hold zero.
///
/// The zero point is rounded ("nudged") to a code, which shifts the range that can be represented by at most half
/// a step. Follows gemmlowp's [quantization tutorial][gemmlowp] and Jacob et al. 2018
/// ([arXiv:1712.05877](https://arxiv.org/abs/1712.05877), section 3). The empty range gets scale 1.
///
/// [gemmlowp]: https://github.com/google/gemmlowp/blob/master/doc/quantization.md
pub fn spanning(lo: f32, hi: f32) -> QParams {
    debug_assert!(lo.is_finite() && hi.is_finite(), "range [{lo}, {hi}]");
    let (lo, hi) = (f64::from(lo.min(0.0)), f64::from(hi.max(0.0)));
    let scale = if lo < hi { ((hi - lo) / 255.0) as f32 } else { 1.0 };
    let scale = scale.max(MIN_SCALE);
    // The cast saturates, and the rounded scale decides: it is what the runtime multiplies by.
    let zero_point = (-128.0 - lo / f64::from(scale)).round_ties_even() as i8;
    QParams { scale, zero_point }
}

/// The least and the greatest real number that have a code; values outside are clipped to them.
pub fn representable(qparams: QParams) -> (f32, f32) {
    (qparams.dequantize(i8::MIN), qparams.dequantize(i8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_gets_an_end_code_for_one_sided_ranges() {
        assert_eq!(spanning(0.0, 6.0).zero_point, -128);
        assert_eq!(spanning(2.0, 6.0), spanning(0.0, 6.0));
        assert_eq!(spanning(-6.0, 0.0).zero_point, 127);
        assert_eq!(spanning(-6.0, -2.0), spanning(-6.0, 0.0));
    }

    #[test]
    fn scales_are_positive_and_finite_at_the_extremes() {
        assert_eq!(spanning(0.0, 0.0), QParams { scale: 1.0, zero_point: -128 });
        assert_eq!(spanning(0.0, 1e-45).scale, MIN_SCALE);
        let widest = spanning(-f32::MAX, f32::MAX);
        assert!(widest.scale.is_finite());
        assert_eq!(widest.quantize(f32::MAX), 127);
    }

    #[test]
    fn representable_is_what_the_end_codes_stand_for() {
        assert_eq!(representable(QParams { scale: 0.5, zero_point: 3 }), (-65.5, 62.0));
    }
}
