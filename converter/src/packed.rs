//! Float weights → int8, in the layout of the file.

use std::num::NonZeroU32;

use cardinal_calib::{CalibError, Inputs, Treatment, quantize_layer_with};
use cardinal_format::quant::QParams;
use cardinal_format::weights::WeightLayout;
use cardinal_format::write::{pack_channels, pack_weights};
use cardinal_format::{Preprocess, Shape};

use crate::Error;
use crate::graph::{Conv, Linear};
use crate::quantize::Known;

/// An activation as a tensor of the file has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    pub shape: Shape,
    pub qparams: QParams,
}

/// How a layer's weights are found.
pub(crate) struct Method<'a> {
    pub known: Option<&'a Known<'a>>,
    /// The layer's number.
    pub layer: usize,
    /// What is known of its groups' inputs.
    pub inputs: Vec<Inputs>,
}

/// The weights and channel parameters of a layer as the file has them.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Groups as stored.
    pub groups: NonZeroU32,
    pub weights: Vec<u8>,
    pub channels: Vec<u8>,
}

impl Packed {
    /// A convolution's, from one tensor to another. With `pixels`, it reads the image.
    ///
    /// # Errors
    /// The layer's name, and what does not fit.
    pub fn conv(
        name: &str,
        conv: &Conv,
        mut how: Method<'_>,
        [from, to]: [&Activation; 2],
        pixels: Option<&Preprocess>,
    ) -> Result<Self, Error> {
        let (weights, bias) = match pixels {
            Some(spec) => fold_normalisation(conv, spec),
            None => plain(conv),
        };
        let (groups, weights) = merge_narrow_groups(conv, weights).ok_or_else(|| {
            let (groups, width) = (conv.groups, conv.in_per_group);
            Error::Usage(format!("{name}: {groups} groups of {width} channels cannot be stored"))
        })?;
        // Merged groups have other inputs than those that were seen.
        if groups.get() != conv.groups {
            how.inputs.clear();
        }
        let quantized = quantized(&weights, &bias, &how, from.qparams, Some(to.qparams));
        let layout = WeightLayout::new(from.shape.channels, to.shape.channels, conv.window.kernel, groups.get());
        Self::new(name, quantized, layout, conv.window.kernel, groups)
    }

    /// The classifier's.
    ///
    /// # Errors
    /// As [`Self::conv`].
    pub fn linear(name: &str, linear: &Linear, how: &Method<'_>, from: &Activation) -> Result<Self, Error> {
        let bias: Vec<f64> = linear.bias.iter().map(|&b| f64::from(b)).collect();
        let quantized = quantized(&linear.weights, &bias, how, from.qparams, None);
        let layout = WeightLayout::new(from.shape.channels, bias.len() as u32, [1, 1], 1);
        Self::new(name, quantized, layout, [1, 1], NonZeroU32::MIN)
    }

    fn new(
        name: &str,
        quantized: Result<(Vec<i8>, Vec<u8>), CalibError>,
        layout: Option<WeightLayout>,
        kernel: [u8; 2],
        groups: NonZeroU32,
    ) -> Result<Self, Error> {
        let (weights, channels) = quantized.map_err(|cause| Error::Quantize { layer: name.into(), cause })?;
        let layout = layout.ok_or_else(|| Error::Usage(format!("{name}: impossible shape")))?;
        Ok(Packed { groups, weights: pack_weights(&layout, kernel, &weights), channels })
    }
}

/// Equations (2) and (3) of the quantization page: weights in int8, and channel parameters in the layout of the file.
/// Without an output the multipliers give real numbers.
fn quantized(
    weights: &[f32],
    bias: &[f64],
    how: &Method<'_>,
    input: QParams,
    output: Option<QParams>,
) -> Result<(Vec<i8>, Vec<u8>), CalibError> {
    let found = how.known.and_then(|known| known.found);
    let before = found.and_then(|found| found.borrow_mut().remove(&how.layer));
    let (rounding, clipping) =
        how.known.map_or((false, false), |Known { recipe, .. }| (recipe.rounding, recipe.clipping));
    let treatment = Treatment { inputs: &how.inputs, rounding, clipping, before: before.as_ref() };
    let layer = quantize_layer_with(weights, bias, input.scale, treatment)?;
    if let Some(found) = found {
        found.borrow_mut().insert(how.layer, layer.weights.clone());
    }
    let (values, scales) = (layer.weights.values, layer.weights.scales);
    let rows = values.chunks_exact(values.len() / bias.len().max(1));
    let with_zero_point = rows.zip(&layer.biases).map(|(row, &bias)| {
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let bias = i64::from(bias) - i64::from(input.zero_point) * sum;
        // Beyond i32 it is saturated, which the writer's check then refuses: inequality (4).
        bias.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    });
    let bias: Vec<i32> = with_zero_point.collect();
    let step = output.map_or(1.0, |q| f64::from(q.scale));
    let multipliers: Vec<f32> =
        scales.iter().map(|&s_w| (f64::from(input.scale) * f64::from(s_w) / step) as f32).collect();
    Ok((values, pack_channels(&bias, &multipliers)))
}

fn plain(conv: &Conv) -> (Vec<f32>, Vec<f64>) {
    (conv.weights.clone(), conv.bias.iter().map(|&b| f64::from(b)).collect())
}

/// Section 5 of the quantization page: mean and deviation move into the first convolution.
fn fold_normalisation(conv: &Conv, spec: &Preprocess) -> (Vec<f32>, Vec<f64>) {
    let (mut weights, mut bias) = plain(conv);
    let [rows, columns] = conv.window.kernel.map(usize::from);
    let taps = rows * columns;
    let per_channel = taps * conv.in_per_group as usize;
    for (channel, bias) in weights.chunks_exact_mut(per_channel).zip(&mut bias) {
        for ((plane, &mean), &std) in channel.chunks_exact_mut(taps).zip(&spec.mean).zip(&spec.std) {
            for w in plane {
                let folded = f64::from(*w) / f64::from(std);
                *bias -= folded * f64::from(mean);
                *w = folded as f32;
            }
        }
    }
    (weights, bias)
}

/// The format stores quads of channels: groups narrower than that are merged with their neighbours, block-diagonally.
/// The added weights are zero, so no output bit changes. `None` if they would be out of all proportion.
fn merge_narrow_groups(conv: &Conv, weights: Vec<f32>) -> Option<(NonZeroU32, Vec<f32>)> {
    /// 1 GiB of weights.
    const LIMIT: usize = 1 << 28;
    let divides = |merged: &u32| conv.groups.is_multiple_of(*merged) && (conv.in_per_group * merged).is_multiple_of(4);
    let merged = (1..=conv.groups).find(divides).unwrap_or(conv.groups.max(1));
    let groups = NonZeroU32::new(conv.groups / merged).unwrap_or(NonZeroU32::MIN);
    if merged == 1 {
        return Some((groups, weights));
    }
    let len = weights.len().checked_mul(merged as usize).filter(|&len| len <= LIMIT)?;
    let [rows, columns] = conv.window.kernel.map(usize::from);
    let row_len = conv.in_per_group as usize * rows * columns;
    let outputs_per_group = conv.bias.len() / conv.groups as usize;
    let mut wide = vec![0.0; len];
    for (n, (to, from)) in
        wide.chunks_exact_mut(row_len * merged as usize).zip(weights.chunks_exact(row_len)).enumerate()
    {
        let place = (n / outputs_per_group) % merged as usize;
        to[place * row_len..][..row_len].copy_from_slice(from);
    }
    Some((groups, wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cardinal_format::Window;

    #[test]
    fn narrow_groups_become_block_diagonal() {
        let window = Window::POINT;
        let weights: Vec<f32> = (1..=8).map(|w| w as f32).collect();
        let conv = Conv {
            weights: weights.clone(),
            bias: vec![0.0; 4],
            in_per_group: 2,
            window,
            groups: 4,
            residual: None,
            relu: false,
            norm: None,
        };
        let (groups, wide) = merge_narrow_groups(&conv, weights).expect("a small layer");
        assert_eq!(groups.get(), 2);
        assert_eq!(wide, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0]);
    }
}
