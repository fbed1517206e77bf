//! IEEE 754 binary32 in integers, and the equations of QUANTIZATION.md on top of it. A finite float is an integer times
//! a power of two; rounding is one integer shift.

/// The number `mantissa · 2^exponent`. The mantissa is odd, or both are zero, so equal numbers are equal structs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    mantissa: i128,
    exponent: i32,
}

impl Exact {
    fn new(mantissa: i128, exponent: i32) -> Self {
        match mantissa {
            0 => Exact { mantissa: 0, exponent: 0 },
            _ => {
                let zeros = mantissa.trailing_zeros();
                Exact { mantissa: mantissa >> zeros, exponent: exponent + zeros as i32 }
            }
        }
    }

    /// An integer, unrounded.
    pub fn integer(value: i64) -> Self {
        Self::new(value.into(), 0)
    }

    /// The value of a finite float: fields of its bits, as the standard defines them.
    pub fn float(value: f32) -> Self {
        assert!(value.is_finite());
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 23 & 0xff) as i32, i128::from(bits & 0x7f_ffff));
        let (magnitude, exponent) = match exponent {
            0 => (fraction, -149),
            _ => (fraction + (1 << 23), exponent - 150),
        };
        Self::new(if value.is_sign_negative() { -magnitude } else { magnitude }, exponent)
    }

    /// The exact product.
    pub fn times(self, other: Self) -> Self {
        Self::new(self.mantissa * other.mantissa, self.exponent + other.exponent)
    }

    /// The sum of two binary32 numbers, exact unless one is too small to matter to [`Self::rounded`].
    pub fn plus(self, other: Self) -> Self {
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let gap = high.exponent - low.exponent;
        match (high.mantissa, low.mantissa) {
            (0, _) => low,
            (_, 0) => high,
            // |low| < 2^24 · 2^low.exponent is less than 2^-40 of high's last bit.
            _ if gap > 64 => high,
            _ => Self::new((high.mantissa << gap) + low.mantissa, low.exponent),
        }
    }

    /// The nearest binary32 number, ties to even: 24 significant bits, and no bit below 2^-149. The largest numbers of
    /// these tests are far from infinity.
    pub fn rounded(self) -> Self {
        let bits = 128 - self.mantissa.unsigned_abs().leading_zeros() as i32;
        let last = (self.exponent + bits - 24).max(-149);
        if self.exponent >= last {
            return self;
        }
        Self::new(shift_ties_even(self.mantissa, last - self.exponent), last)
    }

    /// The nearest integer, ties to even.
    pub fn to_integer(self) -> i64 {
        let integer = match self.exponent {
            0.. => self.mantissa << self.exponent,
            _ => shift_ties_even(self.mantissa, -self.exponent),
        };
        integer.try_into().expect("an integer of these tests fits")
    }
}

/// `n / 2^bits`, rounded to the nearest integer, ties to even; `bits` > 0 and |n| < 2^100.
fn shift_ties_even(n: i128, bits: i32) -> i128 {
    if bits > 120 {
        return 0;
    }
    let floor = n >> bits;
    let (rest, half) = (n - (floor << bits), 1 << (bits - 1));
    floor + i128::from(rest > half || (rest == half && floor % 2 != 0))
}

/// What a requantized tensor's codes may be.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    /// Code of zero.
    pub zero_point: i8,
    /// Smallest code that is written.
    pub q_min: i8,
    /// Largest code that is written.
    pub q_max: i8,
}

impl Codes {
    /// Equation (5); with `residual = (r − z_r, m_r)` equation (6), with `(acc_p, m_p)` equation (6b).
    pub fn requantize(&self, acc: i64, multiplier: f32, residual: Option<(i64, f32)>) -> i8 {
        let mut steps = logit(acc, multiplier);
        if let Some((residual, multiplier)) = residual {
            steps = steps.plus(logit(residual, multiplier)).rounded();
        }
        let code = steps.to_integer() + i64::from(self.zero_point);
        code.clamp(self.q_min.into(), self.q_max.into()) as i8
    }
}

/// Equation (7): the mean of so many codes with this sum. Its multiplier is a binary32 quotient, which the hardware rounds.
pub fn mean(sum: i64, positions: i64) -> i16 {
    logit(sum, 16.0 / positions as f32).to_integer() as i16
}

/// Equation (8): an integer as a float, times a float.
pub fn logit(acc: i64, multiplier: f32) -> Exact {
    Exact::integer(acc).rounded().times(Exact::float(multiplier)).rounded()
}
