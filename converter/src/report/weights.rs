//! How far apart the output channels of a layer's weights are, before equalization and after it.

use std::collections::HashMap;

use cardinal_format::{ChannelBlock, File, Op, Residual, TensorId};
use maud::{Markup, html};

use super::charts::key;
use super::page::code;
use crate::graph::{self, Graph};
use crate::units::number;

/// Channels of a curve; of more, so many are shown, evenly spread.
const POINTS: usize = 96;
/// Height of a chart in the units of its path.
const HEIGHT: f64 = 100.0;

/// A chart per layer with weights: those of `worst` at once, the others behind a click. `after` is the network that was
/// quantized, where that is another.
pub(super) fn weights(before: &Graph, after: Option<&Graph>, file: &File<'_>, worst: &[&str]) -> Markup {
    let scales = scales(before, file);
    let names: Vec<&str> = before.layers.iter().map(|layer| layer.name.as_str()).collect();
    let chart = |at: usize| {
        let first = peaks(before, at)?;
        let second = after.and_then(|graph| peaks(graph, at));
        let scales = scales.get(names[at]).map_or(&[][..], Vec::as_slice);
        Some((names[at], chart(names[at], &first, second.as_deref(), scales)))
    };
    let charts: Vec<(&str, Markup)> = (0..names.len()).filter_map(chart).collect();
    let (mut shown, hidden): (Vec<_>, Vec<_>) = charts.into_iter().partition(|(name, _)| worst.contains(name));
    shown.sort_by_key(|(name, _)| worst.iter().position(|other| other == name));
    html! {
        p.note {
            "The largest weight of each output channel as a share of the layer's largest, from the largest channel to \
             the smallest; lines are quarters. Every channel has a scale of its own, 1/127 of that weight (more where \
             its bias needs it, less where weights are clipped), so that small channels use all codes too. With one \
             scale for the whole layer, a channel of half the height would have half of the codes. The numbers below a \
             chart are the layer's largest and smallest scale."
            @if after.is_none() { " Channels were not equalized in this network." }
        }
        @match after {
            Some(_) => (key(&[("before", "as trained"), ("main", "after channels were equalized, as in the file")])),
            None => (key(&[("main", "as trained and in the file")])),
        }
        div.small { @for (_, chart) in &shown { (chart) } }
        @if !hidden.is_empty() {
            details {
                summary { "The other " (hidden.len()) " layers with weights" }
                div.small { @for (_, chart) in &hidden { (chart) } }
            }
        }
    }
}

fn chart(name: &str, before: &[f32], after: Option<&[f32]>, scales: &[f64]) -> Markup {
    let ends = scales.iter().fold(None, |ends: Option<(f64, f64)>, &scale| {
        Some(ends.map_or((scale, scale), |(least, most)| (least.min(scale), most.max(scale))))
    });
    let lowest = |peaks: &[f32]| peaks.last().map_or(0.0, |&peak| f64::from(peak / peaks[0].max(f32::MIN_POSITIVE)));
    let mut what =
        format!("Weights of {name} by channel: the smallest channel is {} of the largest", number(lowest(before)));
    if let Some(after) = after {
        what += &format!(", after equalization {}", number(lowest(after)));
    }
    let area = |peaks: &[f32]| format!("M0 {HEIGHT}L{}V{HEIGHT}Z", curve(peaks));
    html! {
        figure.histogram {
            figcaption { (code(name)) }
            svg role="img" aria-label=(what) viewBox={ "0 0 " (POINTS - 1) " " (HEIGHT) } preserveAspectRatio="none" {
                path.main d=(area(after.unwrap_or(before))) {}
                @for quarter in [25, 50, 75] { path.grid d={ "M0 " (quarter) "h" (POINTS - 1) } {} }
                @if after.is_some() { path.before d={ "M" (curve(before)) } {} }
            }
            @if let Some((least, most)) = ends {
                p.ends { span { (number(most)) } span { (number(least)) } }
            }
        }
    }
}

/// The points of a curve from the largest channel to the smallest.
fn curve(peaks: &[f32]) -> String {
    let most = peaks.first().copied().unwrap_or(0.0);
    let y = |peak: f32| HEIGHT * if most > 0.0 { 1.0 - f64::from(peak) / f64::from(most) } else { 1.0 };
    let at = |i: usize| peaks[i * (peaks.len() - 1) / (POINTS - 1)];
    let points: Vec<String> = (0..POINTS).map(|i| format!("{i} {}", y(at(i)).round())).collect();
    points.join(" ")
}

/// The largest weight of each output channel, largest first; none without weights.
fn peaks(graph: &Graph, layer: usize) -> Option<Vec<f32>> {
    let (weights, channels) = match &graph.layers.get(layer)?.op {
        graph::Op::Conv(conv) => (&conv.weights, conv.bias.len()),
        graph::Op::Linear(linear) => (&linear.weights, linear.bias.len()),
        graph::Op::MaxPool(_) | graph::Op::GlobalAvgPool => return None,
    };
    let row = (weights.len() / channels.max(1)).max(1);
    let largest = |row: &[f32]| row.iter().fold(0.0, |most: f32, weight| most.max(weight.abs()));
    let mut peaks: Vec<f32> = weights.chunks_exact(row).map(largest).collect();
    peaks.sort_unstable_by(|a, b| b.total_cmp(a));
    (!peaks.is_empty()).then_some(peaks)
}

/// The scales of every layer's weights, one per output channel, as the file has them. `graph` tells the names of the
/// layers that are part of others.
fn scales<'a>(graph: &'a Graph, file: &File<'a>) -> HashMap<&'a str, Vec<f64>> {
    let fused_into = graph.fused_into();
    let layer = |name: &str| graph.layers.iter().position(|layer| layer.name == name);
    let part_of = |name: &str| fused_into.iter().position(|&adder| adder.is_some() && adder == layer(name));
    let mut scales = HashMap::new();
    for (name, op) in file.ops() {
        match op {
            Op::Conv(conv) => {
                scales.insert(name, of_channels(file, conv.input, Some(conv.output), conv.channels));
                if let (Some(Residual::Projection(projection)), Some(part)) = (conv.residual, part_of(name)) {
                    let part_scales = of_channels(file, projection.input, Some(conv.output), projection.channels);
                    scales.insert(&graph.layers[part].name, part_scales);
                }
            }
            Op::Linear(linear) => _ = scales.insert(name, of_channels(file, linear.input, None, linear.channels)),
            Op::MaxPool(_) | Op::GlobalAvgPool(_) => {}
        }
    }
    scales
}

/// Of channels' multipliers, which are `s_x · s_w / s_y`, or `s_x · s_w` where real numbers come out: `s_w`.
fn of_channels(file: &File<'_>, input: TensorId, output: Option<TensorId>, channels: &[u8]) -> Vec<f64> {
    let tensor = |id: TensorId| file.tensor(id);
    let input = tensor(input).map_or(1.0, |tensor| f64::from(tensor.qparams.scale));
    let output = output.and_then(tensor);
    let count = output.map_or(file.classes(), |tensor| tensor.shape.channels as usize);
    let step = output.map_or(1.0, |tensor| f64::from(tensor.qparams.scale)) / input;
    let multipliers = channels.as_chunks().0.iter().flat_map(|block| ChannelBlock::read(block).multiplier);
    multipliers.take(count).map(|multiplier| f64::from(multiplier) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Options;
    use crate::convert::convert;
    use crate::{embedded, host};

    #[test]
    fn scales_are_those_of_the_weights() {
        let network = embedded::network().expect("the checkpoint ships");
        let images = embedded::calibration_images().expect("the images ship");
        let options = Options { images: Some(4), recipe: "mse".parse().ok(), ..Options::default() };
        let converted = convert(&network, &images, &options).expect("it fits");
        let model = host::open(&converted.bytes).expect("a model");
        let scales = scales(&network.graph, model.file());
        // The first layer has the deviation of the pixels inside.
        for (at, layer) in network.graph.layers.iter().enumerate().skip(1) {
            let Some(peaks) = peaks(&network.graph, at) else {
                assert!(!scales.contains_key(layer.name.as_str()), "{}", layer.name);
                continue;
            };
            let of_layer = &scales[layer.name.as_str()];
            assert_eq!(of_layer.len(), peaks.len(), "{}", layer.name);
            // A channel whose bias needs it has a larger one.
            let most = of_layer.iter().copied().fold(0.0, f64::max);
            assert!((most / (f64::from(peaks[0]) / 127.0) - 1.0).abs() < 1e-5, "{}", layer.name);
        }
    }

    #[test]
    fn dead_channels_are_at_the_bottom() {
        let curve = curve(&[4.0, 2.0, 1.0, 0.0]);
        assert!(curve.starts_with("0 0 ") && curve.contains(" 50 ") && curve.ends_with("95 100"), "{curve}");
        assert!(self::curve(&[0.0; 3]).starts_with("0 100 1 100"));
    }
}
