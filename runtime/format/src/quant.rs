#![doc = include_str!("../QUANTIZATION.md")]

/// Scale and zero point of one tensor: `real = scale · (q − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QParams {
    /// Real value of one step, > 0 and finite.
    pub scale: f32,
    /// The code of real zero.
    pub zero_point: i8,
}

impl QParams {
    /// The image's: code = pixel − 128, real value = pixel.
    pub const IMAGE: QParams = QParams { scale: 1.0, zero_point: -128 };

    /// The nearest code (ties to even), saturating. NaN gives −128.
    pub fn quantize(self, real: f32) -> i8 {
        let zero_point = i32::from(self.zero_point);
        let steps = clamp(real / self.scale, (-128 - zero_point) as f32, (127 - zero_point) as f32);
        (round_small(steps) + zero_point) as i8
    }

    /// The real value of a code.
    pub fn dequantize(self, code: impl Into<i32>) -> f32 {
        self.scale * (code.into() - i32::from(self.zero_point)) as f32
    }
}

/// Equations (5), (6) and (6b) for one output tensor, with the bounds moved to where clamping comes first.
#[derive(Clone, Copy, Debug)]
pub struct Requantize {
    low: f32,
    high: f32,
    zero_point: i32,
}

impl Requantize {
    /// `q_min ≤ q_max` bound the codes that are written.
    pub fn new(zero_point: i8, q_min: i8, q_max: i8) -> Self {
        let zero_point = i32::from(zero_point);
        Requantize {
            low: (i32::from(q_min) - zero_point) as f32,
            high: (i32::from(q_max) - zero_point) as f32,
            zero_point,
        }
    }

    /// `q_max − z_y`, which steps are cut to before they are rounded.
    pub fn high(self) -> f32 {
        self.high
    }

    /// z_y.
    pub fn zero_point(self) -> i8 {
        self.zero_point as i8
    }

    /// The smallest code that is written.
    pub fn q_min(self) -> i8 {
        (self.low as i32 + self.zero_point) as i8
    }

    /// The largest code that is written.
    pub fn q_max(self) -> i8 {
        (self.high as i32 + self.zero_point) as i8
    }

    /// Equation (5).
    #[inline(always)]
    pub fn code(self, acc: i32, multiplier: f32) -> i8 {
        self.finish(acc as f32 * multiplier)
    }

    /// Equation (6), with `r − z_r` as `residual`; equation (6b), with `acc_p`.
    #[inline(always)]
    pub fn code_with_residual(self, acc: i32, multiplier: f32, residual: i32, residual_multiplier: f32) -> i8 {
        let branch = acc as f32 * multiplier;
        let shortcut = residual as f32 * residual_multiplier;
        self.finish(branch + shortcut)
    }

    #[inline(always)]
    fn finish(self, steps: f32) -> i8 {
        (round_small(clamp(steps, self.low, self.high)) + self.zero_point) as i8
    }
}

/// Equation (7): the mean of int8 codes as an int16 code.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    multiplier: f32,
}

impl Mean {
    /// Steps of the mean's codes in one step of the codes that it is taken of.
    pub const STEPS: f32 = 16.0;
    /// The largest magnitude of a mean's code.
    pub const LARGEST: i16 = 255 * Self::STEPS as i16;

    /// Of so many positions: 1 to 2²³, so that the sum of their codes fits an i32.
    pub fn new(positions: u32) -> Self {
        Mean { multiplier: Self::STEPS / positions as f32 }
    }

    /// What the mean's codes stand for, given the meaning of the codes that it is taken of.
    pub fn qparams(of: QParams) -> QParams {
        QParams { scale: of.scale / Self::STEPS, zero_point: 0 }
    }

    /// `sum` is that of all `q − z_x`.
    #[inline(always)]
    pub fn code(self, sum: i32) -> i16 {
        round_small(sum as f32 * self.multiplier) as i16
    }
}

/// Equation (8).
#[inline(always)]
pub fn logit(acc: i32, multiplier: f32) -> f32 {
    acc as f32 * multiplier
}

/// `f32::clamp` without its assertion; NaN gives `low`. Compiles to one max and one min.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// Rounds to nearest, ties to even, for |x| ≤ 2²²: adding 1.5 · 2²³ leaves no fraction bits, and the low mantissa bits
/// are then the integer. Needs no libm and vectorizes.
#[inline(always)]
fn round_small(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_small_is_ties_even() {
        extern crate std;
        for i in -2400..=2400 {
            let x = i as f32 / 8.0;
            assert_eq!(round_small(x), x.round_ties_even() as i32, "{x}");
        }
    }

    #[test]
    fn nan_and_infinity_have_codes() {
        let p = QParams { scale: 1.0, zero_point: 0 };
        assert_eq!(p.quantize(f32::NAN), -128);
        assert_eq!(p.quantize(f32::INFINITY), 127);
        assert_eq!(p.quantize(f32::NEG_INFINITY), -128);
    }

    #[test]
    fn relu_bound_is_kept_with_any_zero_point() {
        let y = Requantize::new(3, 3, 127);
        assert_eq!(y.code(-100, 1.0), 3);
        assert_eq!(y.code(100, 1.0), 103);
    }
}
