//! Weights and biases of a convolution or a fully connected layer.
//!
//! Weights are symmetric with one scale per output channel (Krishnamoorthi 2018,
//! [arXiv:1806.08342](https://arxiv.org/abs/1806.08342)), in `[-127, 127]`: negation cannot overflow.

use rayon::prelude::*;

use crate::{CalibError, MIN_SCALE, Moments, Rounding};

/// The greatest magnitude of a quantized bias, 2^30.
///
/// Half of an int32 accumulator is left to the products, `255 * 127` each at most: room for 33 000 of them, where the
/// widest published ResNeXt, 101 32x48d, sums 12 288.
pub const BIAS_LIMIT: i32 = 1 << 30;

/// Greatest magnitude of a quantized weight.
const WEIGHT_LIMIT: f64 = 127.0;

/// A layer's weights in int8: `real = scales[channel] * value`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedWeights {
    /// In the order given: one row per output channel.
    pub values: Vec<i8>,
    /// One scale per output channel, each at least [`MIN_SCALE`].
    pub scales: Vec<f32>,
}

/// A layer's weights in int8 and biases in int32: `real = s_x * scales[channel] * bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// The weights, one row per output channel.
    pub weights: QuantizedWeights,
    /// One bias per output channel, in `[-BIAS_LIMIT, BIAS_LIMIT]`.
    pub biases: Vec<i32>,
}

/// Quantizes weights by the greatest magnitude of each channel, rounding half to even.
///
/// `weights` holds `channels` rows of equal length. A channel of zeros gets scale 1.
///
/// # Errors
///
/// [`CalibError::Shape`] if there are no rows, or empty or unequal ones, [`CalibError::NonFiniteWeight`] for NaN or infinity.
pub fn quantize_per_channel(weights: &[f32], channels: usize) -> Result<QuantizedWeights, CalibError> {
    quantize_rows(weights, channels, |_| 0.0, |_, _, widest| widest, |_, row, scale| nearest(row, scale), None)
}

/// Quantizes the biases of a layer, rounding half to even: `bias / (s_x * s_w)`, one of each per output channel.
///
/// # Errors
///
/// [`CalibError::BiasOutOfRange`] for the first bias beyond [`BIAS_LIMIT`] steps, or NaN, [`CalibError::Shape`] if
/// the slices differ in length, [`CalibError::InvalidScale`] if a scale is not positive and finite.
pub fn quantize_bias(biases: &[f64], s_x: f32, s_w: &[f32]) -> Result<Vec<i32>, CalibError> {
    if biases.len() != s_w.len() {
        return Err(CalibError::Shape { values: biases.len(), channels: s_w.len() });
    }
    let s_x = valid_scale(s_x)?;
    let quantize = |(channel, (&bias, &s_w)): (usize, (&f64, &f32))| {
        let scale = s_x * valid_scale(s_w)?;
        let steps = (bias / scale).round_ties_even();
        // A NaN fails the comparison, too.
        if steps.abs() <= f64::from(BIAS_LIMIT) {
            Ok(steps as i32)
        } else {
            Err(CalibError::BiasOutOfRange { channel, bias, scale })
        }
    };
    biases.iter().zip(s_w).enumerate().map(quantize).collect()
}

/// Quantizes weights and biases together, so that every bias fits.
///
/// Folding batch normalisation leaves channels whose weights are zero, or nearly so, beside an ordinary bias. The scale
/// that suits such weights is too small for the bias: `bias / (s_x * s_w)` leaves int32. The channel's scale is raised
/// until the bias is [`BIAS_LIMIT`] steps. The weights get coarser, which hardly matters: rounding `k` of them moves a
/// sum over inputs of up to 255 steps by at most `128 k` steps, beside a bias of 2^30; with 2048 weights that is one
/// part in 4000 of the bias, at worst. For the same reason a channel whose weights are all zero takes its scale from
/// the bias alone, which then keeps 30 bits. It is 1 if both are zero.
///
/// `weights` holds one row per bias, the rows of equal length; `s_x` is the scale of the layer's input.
///
/// # Errors
///
/// As [`quantize_per_channel`] and [`quantize_bias`]; a bias is out of range only if it is not finite, or so great
/// that the scale it calls for is not.
pub fn quantize_layer(weights: &[f32], biases: &[f64], s_x: f32) -> Result<QuantizedLayer, CalibError> {
    quantize_layer_with(weights, biases, s_x, Treatment::default())
}

/// What is known of the inputs of a group of output channels.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// How weights are rounded for them; `None` for the nearest codes.
    pub rounding: Option<Rounding>,
    /// The mean input.
    pub mean: Vec<f64>,
    /// The mean square of the inputs: how much an error in each weight matters.
    pub power: Vec<f64>,
}

impl Inputs {
    /// From what was seen.
    pub fn new(moments: Moments) -> Self {
        let (mean, power) = (moments.mean().collect(), moments.power().collect());
        Inputs { rounding: Rounding::new(moments), mean, power }
    }

    /// For the same inputs multiplied, number by number.
    ///
    /// # Panics
    ///
    /// If there are not as many factors as numbers.
    pub fn scaled(&self, factors: &[f32]) -> Self {
        let scaled = |values: &[f64], power: i32| {
            values.iter().zip(factors).map(|(v, &f)| v * f64::from(f).powi(power)).collect()
        };
        Inputs {
            rounding: self.rounding.as_ref().map(|rounding| rounding.scaled(factors)),
            mean: scaled(&self.mean, 1),
            power: scaled(&self.power, 2),
        }
    }
}

/// How a layer's weights are found, beyond the nearest codes at the scale of each channel's greatest magnitude.
#[derive(Clone, Copy, Debug, Default)]
pub struct Treatment<'a> {
    /// What is known of the inputs: one entry per group of output channels, all groups of equal size; empty for nothing.
    /// Where they are known, each bias makes up for what rounding does to the output's mean (bias correction: Nagel et al.
    /// 2019, [arXiv:1906.04721](https://arxiv.org/abs/1906.04721), section 4.2).
    pub inputs: &'a [Inputs],
    /// Whether weights are rounded together ([`Rounding`]) where inputs are known.
    pub rounding: bool,
    /// Whether a channel's scale is searched for that clips its greatest weights to the rest's benefit ([`clipped_scale`]).
    pub clipping: bool,
    /// What the same treatment gave before, for another scale of the inputs or other biases: taken if the scales come out
    /// alike, as rounding is the long part.
    pub before: Option<&'a QuantizedWeights>,
}

/// As [`quantize_layer`], with a [`Treatment`].
///
/// # Errors
///
/// As [`quantize_layer`], and [`CalibError::Shape`] if the groups do not divide the channels.
pub fn quantize_layer_with(
    weights: &[f32],
    biases: &[f64],
    s_x: f32,
    treatment: Treatment<'_>,
) -> Result<QuantizedLayer, CalibError> {
    let (channels, Treatment { inputs, .. }) = (biases.len(), treatment);
    if channels == 0 || !channels.is_multiple_of(inputs.len().max(1)) {
        return Err(CalibError::Shape { values: inputs.len(), channels });
    }
    let of_channel = |channel: usize| inputs.get(channel / (channels / inputs.len().max(1)));
    let smallest_step = valid_scale(s_x)? * f64::from(BIAS_LIMIT);
    let scale = |channel: usize, row: &[f32], widest: f32| match treatment.clipping {
        true => clipped_scale(row, of_channel(channel).map(|inputs| &inputs.power[..]), widest),
        false => widest,
    };
    let round = |channel: usize, row: &[f32], scale: f32| match of_channel(channel) {
        Some(Inputs { rounding: Some(rounding), .. }) if treatment.rounding => rounding.round(row, scale),
        _ => nearest(row, scale),
    };
    let at_least = |channel: usize| biases[channel].abs() / smallest_step;
    let quantized = quantize_rows(weights, channels, at_least, scale, round, treatment.before)?;
    let row_len = weights.len() / channels;
    let rows = weights.chunks_exact(row_len).zip(quantized.values.chunks_exact(row_len));
    let corrected = rows.zip(&quantized.scales).zip(biases).enumerate();
    let corrected: Vec<f64> = corrected
        .map(|(channel, (((row, codes), &scale), &bias))| {
            let Some(Inputs { mean, .. }) = of_channel(channel) else { return bias };
            let off = |(&w, &code): (&f32, &i8)| f64::from(code) * f64::from(scale) - f64::from(w);
            let shift: f64 = row.iter().zip(codes).map(off).zip(mean).map(|(o, m)| o * m).sum();
            let limit = smallest_step * f64::from(scale);
            // The scale was chosen for the bias as it is.
            if (bias - shift).abs() <= limit { bias - shift } else { bias }
        })
        .collect();
    let biases = quantize_bias(&corrected, s_x, &quantized.scales)?;
    Ok(QuantizedLayer { weights: quantized, biases })
}

/// The scale of least squared error of a row's weights, each error weighted by its input's mean square; `widest` clips
/// nothing, and no other is tried below half of it. Of equal errors the widest.
///
/// Choukroun et al. 2019, *Low-bit Quantization of Neural Networks for Efficient Inference*
/// ([arXiv:1902.06822](https://arxiv.org/abs/1902.06822)), search so for the scale of a kernel.
pub fn clipped_scale(row: &[f32], power: Option<&[f64]>, widest: f32) -> f32 {
    /// Scales tried, in steps of 2 %.
    const TRIED: u32 = 26;
    let error = |scale: f32| -> f64 {
        let scale = f64::from(scale);
        let off = |&w: &f32| {
            let w = f64::from(w);
            let code = (w / scale).round_ties_even().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
            (w - code * scale) * (w - code * scale)
        };
        match power {
            Some(power) => row.iter().map(off).zip(power).map(|(e, p)| e * p).sum(),
            None => row.iter().map(off).sum(),
        }
    };
    let candidates = (0..TRIED).map(|i| (widest * (1.0 - 0.02 * i as f32)).max(MIN_SCALE)).map(|s| (error(s), s));
    candidates.reduce(|best, next| if next.0 < best.0 { next } else { best }).map_or(widest, |(_, scale)| scale)
}

/// The nearest codes of a row; of ties the even ones.
fn nearest(row: &[f32], scale: f32) -> Vec<i8> {
    // In f64 the quotient of two f32 is a tie only if it is one exactly.
    let code = |&w: &f32| (f64::from(w) / f64::from(scale)).round_ties_even().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT) as i8;
    row.iter().map(code).collect()
}

/// Quantizes each row at the scale its greatest magnitude needs, or `at_least(channel)` if that is larger. Where it is not,
/// `scale` may lower it.
fn quantize_rows(
    weights: &[f32],
    channels: usize,
    at_least: impl Fn(usize) -> f64,
    scale: impl Fn(usize, &[f32], f32) -> f32 + Sync,
    round: impl Fn(usize, &[f32], f32) -> Vec<i8> + Sync,
    before: Option<&QuantizedWeights>,
) -> Result<QuantizedWeights, CalibError> {
    if weights.is_empty() || channels == 0 || !weights.len().is_multiple_of(channels) {
        return Err(CalibError::Shape { values: weights.len(), channels });
    }
    let rows: Vec<&[f32]> = weights.chunks_exact(weights.len() / channels).collect();
    let mut widest = Vec::with_capacity(channels);
    for (channel, row) in rows.iter().enumerate() {
        if let Some(&value) = row.iter().find(|w| !w.is_finite()) {
            return Err(CalibError::NonFiniteWeight { channel, value });
        }
        let greatest = row.iter().fold(0.0, |m: f32, w| m.max(w.abs()));
        let needed = f64::from(greatest) / WEIGHT_LIMIT;
        let least = at_least(channel);
        widest.push((scale_for(needed.max(least)), (needed > least).then_some(least as f32)));
    }
    let scale = |(channel, row): (usize, &&[f32])| -> f32 {
        let (widest, least) = widest[channel];
        least.map_or(widest, |least| scale(channel, row, widest).max(least.next_up()))
    };
    let scales: Vec<f32> = rows.par_iter().enumerate().map(scale).collect();
    if let Some(before) = before.filter(|before| before.scales == scales && before.values.len() == weights.len()) {
        return Ok(before.clone());
    }
    let codes = rows.par_iter().enumerate().flat_map_iter(|(channel, row)| round(channel, row, scales[channel]));
    Ok(QuantizedWeights { values: codes.collect(), scales })
}

/// The scale nearest above `needed`, so that nothing exceeds the limit it was computed from; 1 if none is needed.
fn scale_for(needed: f64) -> f32 {
    if needed == 0.0 {
        return 1.0;
    }
    let nearest = needed as f32;
    let scale = if f64::from(nearest) < needed { nearest.next_up() } else { nearest };
    scale.clamp(MIN_SCALE, f32::MAX)
}

fn valid_scale(scale: f32) -> Result<f64, CalibError> {
    if scale > 0.0 && scale.is_finite() { Ok(scale.into()) } else { Err(CalibError::InvalidScale(scale)) }
}
