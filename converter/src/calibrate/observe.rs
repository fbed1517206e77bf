//! The float graph over images, every activation under an observer.

use cardinal_calib::{ChannelPeaks, Observer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::sensitivity::sensitivities;
use super::{Drawn, image_digest};
use crate::graph::Graph;
use crate::{Error, progress};

/// Images between one point that a cut run can go on from and the next.
const BATCH: usize = 64;

/// What images showed of a network. Its size does not grow with their number, but for their logits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Observed {
    /// One per layer; `None` where the output needs no scale of its own.
    pub observers: Vec<Option<Observer>>,
    /// How large the channels of each layer get; of none where the output needs no scale of its own.
    pub peaks: Vec<ChannelPeaks>,
    /// The logits for each image, in their order.
    pub logits: Vec<Vec<f32>>,
    /// What each image is known by, in their order: [`image_digest`].
    pub digests: Vec<String>,
    /// Sum of the normalised pixels' values, of their squares, and how many there were, by channel.
    pub pixels: [[f64; 3]; 4],
}

impl Observed {
    /// Of a network that has seen nothing.
    fn nothing(graph: &Graph, sensitive: bool) -> Result<Self, Error> {
        let shapes = graph.sized()?;
        let sensitivities = sensitive.then(|| sensitivities(graph, &shapes));
        let mut observers: Vec<Option<Observer>> = vec![None; graph.layers.len()];
        let mut peaks = vec![ChannelPeaks::new(0); graph.layers.len()];
        for layer in graph.calibrated() {
            observers[layer] = Some(match &sensitivities {
                Some(sensitivities) => Observer::weighted(&sensitivities[layer]),
                None => Observer::new(),
            });
            peaks[layer] = ChannelPeaks::new(shapes[layer].channels as usize);
        }
        Ok(Observed { observers, peaks, ..Observed::default() })
    }

    /// The same with images in another order: the one at `places[i]` was the `i`-th.
    pub fn reordered(mut self, places: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_unstable_by_key(|&i| places[i]);
        self.logits = order.iter().map(|&i| std::mem::take(&mut self.logits[i])).collect();
        self.digests = order.iter().map(|&i| std::mem::take(&mut self.digests[i])).collect();
        self
    }

    /// Adds what further images showed of the same network. Averages stay those of the first.
    pub fn merge(&mut self, other: &Self) {
        for (to, from) in self.observers.iter_mut().zip(&other.observers) {
            if let (Some(to), Some(from)) = (to, from) {
                to.merge(from);
            }
        }
        self.peaks.iter_mut().zip(&other.peaks).for_each(|(to, from)| to.merge(from));
        self.logits.extend_from_slice(&other.logits);
        self.digests.extend_from_slice(&other.digests);
        self.pixels.iter_mut().flatten().zip(other.pixels.iter().flatten()).for_each(|(to, from)| *to += from);
    }
}

/// What one image showed beside its values.
struct Image {
    logits: Vec<f32>,
    digest: String,
    /// Extrema by observed layer.
    extrema: Vec<(f32, f32)>,
    pixels: [[f64; 3]; 4],
}

/// Runs the graph over the images. The result depends on the images and their order alone, on any number of threads.
/// With `sensitive`, values also count by what the logits are sensitive to ([`sensitivities`]).
///
/// `keep` gets what has been seen so far, now and then; `so_far` is what it got last, to go on from there.
///
/// # Errors
/// An image that cannot be read, what tract says, or what `keep` says.
pub fn observe(
    graph: &Graph,
    drawn: &Drawn<'_>,
    sensitive: bool,
    so_far: Option<Observed>,
    mut keep: impl FnMut(&Observed) -> Result<(), Error>,
) -> Result<Observed, Error> {
    let observed = graph.calibrated();
    let model = graph.float_model_observing(&observed)?;
    let channels = graph.image.channels as usize;
    let nothing = Observed::nothing(graph, sensitive)?;
    let mut all = so_far.unwrap_or_else(|| nothing.clone());
    let bar = progress::bar(drawn.len(), "calibrating");
    bar.set_position(all.logits.len() as u64);
    let rest: Vec<usize> = (all.logits.len()..drawn.len()).collect();
    for batch in rest.chunks(BATCH) {
        // One set of observers per thread, whatever the number of images.
        let share = |images: &[usize]| -> Result<(Observed, Vec<Image>), Error> {
            let mut part = nothing.clone();
            let mut seen = Vec::with_capacity(images.len());
            for &i in images {
                let pixels = drawn.pixels(i)?;
                let input = drawn.normalise(&pixels);
                let mut extrema = Vec::with_capacity(observed.len());
                let logits = model.run_observed(&input, |n, values| {
                    let layer = observed[n];
                    if let Some(observer) = &mut part.observers[layer] {
                        extrema.push(observer.observe(values));
                    }
                    part.peaks[layer].observe(values);
                })?;
                let digest = image_digest(&pixels);
                seen.push(Image { logits, digest, extrema, pixels: moments(&input, channels) });
                bar.inc(1);
            }
            Ok((part, seen))
        };
        let parts: Vec<Result<(Observed, Vec<Image>), Error>> =
            batch.par_chunks(batch.len().div_ceil(rayon::current_num_threads())).map(share).collect();
        for part in parts {
            let (part, seen) = part?;
            all.merge(&part);
            for image in seen {
                for (&layer, extrema) in observed.iter().zip(image.extrema) {
                    if let Some(observer) = &mut all.observers[layer] {
                        observer.add_to_average(extrema);
                    }
                }
                all.logits.push(image.logits);
                all.digests.push(image.digest);
                all.pixels.iter_mut().flatten().zip(image.pixels.as_flattened()).for_each(|(to, from)| *to += from);
            }
        }
        keep(&all)?;
    }
    bar.finish_and_clear();
    Ok(all)
}

/// Sum, sum of squares and number of an image's values, by channel.
fn moments(image: &[f32], channels: usize) -> [[f64; 3]; 4] {
    let mut moments = [[0.0; 3]; 4];
    for (sums, plane) in moments.iter_mut().zip(image.chunks_exact((image.len() / channels.max(1)).max(1))) {
        for &value in plane {
            let value = f64::from(value);
            sums[0] += value;
            sums[1] += value * value;
        }
        sums[2] = plane.len() as f64;
    }
    moments
}
