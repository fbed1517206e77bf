//! Signs that the images are not what the network was trained on.

use std::collections::{BTreeMap, HashSet};

use super::Observed;
use crate::graph::{Graph, Op};
use crate::host::ranking;

/// Images below which ranges are a matter of luck.
const FEW: usize = 16;
/// How far the mean normalised pixel may be from 0, and its deviation from 1 (as a factor). Training sets have 0 and 1 by
/// their making; any photographs have a third of these limits.
const MEAN: f64 = 1.2;
const DEVIATION: f64 = 3.0;
/// How far a layer's channels may be, on average, from where batch norm left them in training, in its deviations. Test images
/// of four trained networks were 0.09 off at most; photographs, shown to a network for drawings of clothes, 0.36.
const SHIFT: f64 = 0.2;

/// What speaks against the images, a sentence each; none, as a rule.
pub fn signs(graph: &Graph, observed: &Observed) -> Vec<String> {
    let images = observed.digests.len();
    let mut signs = Vec::new();
    let distinct = observed.digests.iter().collect::<HashSet<_>>().len();
    if distinct < FEW.min(images.max(2)) || images < FEW {
        signs.push(format!(
            "only {distinct} different images to calibrate with: rare large values were not seen and will be clipped; a few \
             hundred are better"
        ));
    }
    for (channel, [sum, squares, count]) in observed.pixels.iter().enumerate().filter(|(_, sums)| sums[2] > 0.0) {
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        if mean.abs() > MEAN || !(1.0 / DEVIATION..=DEVIATION).contains(&deviation) {
            signs.push(format!(
                "normalised pixels of channel {channel} have mean {mean:.2} and deviation {deviation:.2} where training had \
                 about 0 and 1: are these the images, and are --mean, --std and --colour the network's?"
            ));
            break;
        }
    }
    if let Some((layer, shift)) = shifts(graph, observed).into_iter().max_by(|a, b| a.1.total_cmp(&b.1))
        && shift > SHIFT
    {
        signs.push(format!(
            "{layer} answers otherwise than in training: its channels' means are {shift:.2} of batch norm's deviations off, \
             0.1 and less is usual; images of another kind, or prepared otherwise, do that"
        ));
    }
    let mut classes: BTreeMap<usize, usize> = BTreeMap::new();
    for logits in &observed.logits {
        *classes.entry(ranking(logits).first().copied().unwrap_or(0)).or_default() += 1;
    }
    if let Some((class, count)) = classes.into_iter().max_by_key(|(_, count)| *count)
        && images >= 4 * FEW
        && count * 10 > images * 9
    {
        signs.push(format!(
            "the float network finds class {class} in {count} of {images} images: they do not show what it can tell apart"
        ));
    }
    signs
}

/// How far the first convolution of each block is from its batch norm's mean, in its deviations, averaged over channels.
fn shifts(graph: &Graph, observed: &Observed) -> Vec<(String, f64)> {
    let of = |(layer, peaks): (&crate::graph::Layer, &cardinal_calib::ChannelPeaks)| {
        let Op::Conv(conv) = &layer.op else { return None };
        let norm = conv.norm.as_ref().filter(|_| conv.relu && conv.residual.is_none())?;
        let means = peaks.means();
        let expected = norm.mean.iter().zip(&norm.deviation);
        let (mut sum, mut count) = (0.0, 0.0);
        for ((&mean, &deviation), seen) in expected.zip(means) {
            // A channel that batch norm has all but switched off tells nothing.
            if deviation > 1e-3 {
                sum += (seen - rectified_mean(mean.into(), deviation.into())).abs() / f64::from(deviation);
                count += 1.0;
            }
        }
        (count > 0.0).then(|| (layer.name.clone(), sum / count))
    };
    graph.layers.iter().zip(&observed.peaks).filter_map(of).collect()
}

/// The mean of max(x, 0) for normal x: numerically, to a thousandth.
fn rectified_mean(mean: f64, deviation: f64) -> f64 {
    const STEPS: i32 = 160;
    let point = |i: i32| (f64::from(i) + 0.5) * 10.0 / f64::from(STEPS) - 5.0;
    let density = |z: f64| (-0.5 * z * z).exp();
    let (mut sum, mut total) = (0.0, 0.0);
    for z in (0..STEPS).map(point) {
        sum += density(z) * (mean + deviation * z).max(0.0);
        total += density(z);
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_behind_a_rectifier() {
        assert!((rectified_mean(0.0, 1.0) - 0.398_942).abs() < 1e-3);
        assert!((rectified_mean(3.0, 0.5) - 3.0).abs() < 1e-3);
        assert!(rectified_mean(-4.0, 1.0) < 1e-3);
    }
}
