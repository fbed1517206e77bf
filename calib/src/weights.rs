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
    quantize_rows(weights, channels, |_| 0.0, nearest)
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
    let smallest_step = valid_scale(s_x)? * f64::from(BIAS_LIMIT);
    let weights = quantize_rows(weights, biases.len(), |channel| biases[channel].abs() / smallest_step, nearest)?;
    let biases = quantize_bias(biases, s_x, &weights.scales)?;
    Ok(QuantizedLayer { weights, biases })
}

/// What is known of the inputs of a group of output channels.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// How weights are rounded for them; `None` for the nearest codes.
    pub rounding: Option<Rounding>,
    /// The mean input.
    pub mean: Vec<f64>,
}

impl Inputs {
    /// From what was seen.
    pub fn new(moments: Moments) -> Self {
        let mean = moments.mean().collect();
        Inputs { rounding: Rounding::new(moments), mean }
    }

    /// For the same inputs multiplied, number by number.
    ///
    /// # Panics
    ///
    /// If there are not as many factors as numbers.
    pub fn scaled(&self, factors: &[f32]) -> Self {
        let mean = self.mean.iter().zip(factors).map(|(mean, &f)| mean * f64::from(f)).collect();
        Inputs { rounding: self.rounding.as_ref().map(|rounding| rounding.scaled(factors)), mean }
    }
}

/// As [`quantize_layer`], for inputs that are known: weights are rounded together ([`Rounding`]), and each bias makes up
/// for what rounding does to the output's mean (bias correction: Nagel et al. 2019,
/// [arXiv:1906.04721](https://arxiv.org/abs/1906.04721), section 4.2).
///
/// `inputs` has one entry per group of output channels, all groups of equal size.
///
/// # Errors
///
/// As [`quantize_layer`], and [`CalibError::Shape`] if the groups do not divide the channels.
pub fn quantize_layer_for(
    weights: &[f32],
    biases: &[f64],
    s_x: f32,
    inputs: &[Inputs],
) -> Result<QuantizedLayer, CalibError> {
    let channels = biases.len();
    if channels == 0 || inputs.is_empty() || !channels.is_multiple_of(inputs.len()) {
        return Err(CalibError::Shape { values: inputs.len(), channels });
    }
    let of_channel = |channel: usize| &inputs[channel / (channels / inputs.len())];
    let smallest_step = valid_scale(s_x)? * f64::from(BIAS_LIMIT);
    let round = |channel: usize, row: &[f32], scale: f32| match &of_channel(channel).rounding {
        Some(rounding) => rounding.round(row, scale),
        None => nearest(channel, row, scale),
    };
    let quantized = quantize_rows(weights, channels, |channel| biases[channel].abs() / smallest_step, round)?;
    let row_len = weights.len() / channels;
    let rows = weights.chunks_exact(row_len).zip(quantized.values.chunks_exact(row_len));
    let corrected: Vec<f64> = rows
        .zip(&quantized.scales)
        .zip(biases)
        .enumerate()
        .map(|(channel, (((row, codes), &scale), &bias))| {
            let off = |(&w, &code): (&f32, &i8)| f64::from(code) * f64::from(scale) - f64::from(w);
            let shift: f64 = row.iter().zip(codes).map(off).zip(&of_channel(channel).mean).map(|(o, m)| o * m).sum();
            let limit = smallest_step * f64::from(scale);
            // The scale was chosen for the bias as it is.
            if (bias - shift).abs() <= limit { bias - shift } else { bias }
        })
        .collect();
    let biases = quantize_bias(&corrected, s_x, &quantized.scales)?;
    Ok(QuantizedLayer { weights: quantized, biases })
}

/// The nearest codes of a row; of ties the even ones.
fn nearest(_channel: usize, row: &[f32], scale: f32) -> Vec<i8> {
    // In f64 the quotient of two f32 is a tie only if it is one exactly.
    row.iter().map(|&w| (f64::from(w) / f64::from(scale)).round_ties_even() as i8).collect()
}

/// Quantizes each row at the scale its greatest magnitude needs, or `at_least(channel)` if that is larger.
fn quantize_rows(
    weights: &[f32],
    channels: usize,
    at_least: impl Fn(usize) -> f64,
    round: impl Fn(usize, &[f32], f32) -> Vec<i8> + Sync,
) -> Result<QuantizedWeights, CalibError> {
    if weights.is_empty() || channels == 0 || !weights.len().is_multiple_of(channels) {
        return Err(CalibError::Shape { values: weights.len(), channels });
    }
    let mut scales = Vec::with_capacity(channels);
    for (channel, row) in weights.chunks_exact(weights.len() / channels).enumerate() {
        if let Some(&value) = row.iter().find(|w| !w.is_finite()) {
            return Err(CalibError::NonFiniteWeight { channel, value });
        }
        let greatest = row.iter().fold(0.0, |m: f32, w| m.max(w.abs()));
        let scale = scale_for((f64::from(greatest) / WEIGHT_LIMIT).max(at_least(channel)));
        scales.push(scale);
    }
    let rows: Vec<(usize, &[f32])> = weights.chunks_exact(weights.len() / channels).enumerate().collect();
    let codes = rows.par_iter().flat_map_iter(|&(channel, row)| round(channel, row, scales[channel]));
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
