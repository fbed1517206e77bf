//! Calibration: the float graph over a sample of images, every activation under an observer.

use cardinal_calib::{Calibrated, ChannelPeaks, Histogram, Method, Observer};
use cardinal_format::Preprocess;
use rayon::prelude::*;

use crate::Error;
use crate::graph::Graph;
use crate::images::{Dataset, normalise_chw, spread};
use crate::import::sha256;
use crate::progress;

/// How to calibrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Images to draw, spread over the classes.
    pub images: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Thresholds.
    pub method: Method,
    /// Whether to look for more than thresholds: see [`refine`](crate::refine).
    pub refine: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { images: 512, seed: 0, method: Method::Mse, refine: true }
    }
}

/// What the images showed.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Indices of the images that were used, ascending.
    pub drawn: Vec<usize>,
    /// One per layer; `None` where the output needs no scale of its own.
    pub layers: Vec<Option<Calibrated>>,
    /// The values that they were chosen for, alike.
    pub histograms: Vec<Option<Histogram>>,
    /// How large each channel gets but for one value in a thousand, by layer; empty where the output needs no scale, and
    /// without [`Options::refine`].
    pub peaks: Vec<Vec<f32>>,
    /// The float network's logits for each drawn image.
    pub logits: Vec<Vec<f32>>,
    /// What each drawn image is known by afterwards, ascending: see [`image_digest`].
    pub digests: Vec<String>,
}

/// Characters of an [`image_digest`].
pub const DIGEST_LEN: usize = 10;

/// The first five bytes of the SHA-256 of an image's pixels as the network reads them, in hexadecimal: enough to tell an
/// image from millions of others.
pub fn image_digest(pixels: &[u8]) -> String {
    sha256(&[pixels])[..DIGEST_LEN].to_owned()
}

/// Observers of the layers, and index, logits and digest of one thread's share of the images.
type Share = (Vec<(Observer, ChannelPeaks)>, Vec<(usize, Vec<f32>, String)>);

/// Share of a channel's values that may exceed its peak.
const BEYOND: f64 = 0.001;

/// Runs the graph over the images. Memory does not grow with their number (but for their logits), and the result does
/// not depend on the number of threads.
///
/// # Errors
/// An empty folder, an image that cannot be read, or activations that are not finite; with its name.
pub fn calibrate(graph: &Graph, spec: &Preprocess, images: &Dataset, options: Options) -> Result<Calibration, Error> {
    calibrate_on(graph, spec, images, spread(images.labels(), options.images, options.seed), options)
}

/// As [`calibrate`], on these images, given by index in ascending order.
///
/// # Errors
/// As [`calibrate`].
pub fn calibrate_on(
    graph: &Graph,
    spec: &Preprocess,
    images: &Dataset,
    drawn: Vec<usize>,
    options: Options,
) -> Result<Calibration, Error> {
    if drawn.is_empty() {
        return Err(Error::Usage("calibration needs at least one image (--calib-images)".into()));
    }
    let model = graph.float_model()?;
    let observed = graph.observed();
    let input = [graph.image.height, graph.image.width];
    let bar = progress::bar(drawn.len(), "calibrating");
    let shapes = graph.shapes().map_err(|(layer, why)| Error::Usage(format!("{layer}: {why}")))?;
    let channels = |layer: usize| if options.refine { shapes[layer].channels as usize } else { 0 };
    let fresh = |&layer: &usize| (Observer::new(), ChannelPeaks::new(channels(layer)));
    let nothing = || -> Share { (observed.iter().map(fresh).collect(), Vec::new()) };
    let show = |(mut observers, mut logits): Share, &index: &usize| -> Result<Share, Error> {
        let pixels = images.prepare(index, spec, input)?;
        let result = model.run_observed(&normalise_chw(&pixels, spec, input), |i, values| {
            let (observer, peaks) = &mut observers[i];
            observer.observe(values);
            peaks.observe(values);
        })?;
        logits.push((index, result, image_digest(&pixels)));
        bar.inc(1);
        Ok((observers, logits))
    };
    let merge = |(mut a, mut logits): Share, (b, more): Share| -> Result<Share, Error> {
        for ((observer, peaks), (other, other_peaks)) in a.iter_mut().zip(&b) {
            observer.merge(other);
            peaks.merge(other_peaks);
        }
        logits.extend(more);
        Ok((a, logits))
    };
    let (observers, mut logits) = drawn.par_iter().try_fold(nothing, show).try_reduce(nothing, merge)?;
    bar.finish_and_clear();
    logits.sort_unstable_by_key(|&(index, ..)| index);

    let mut layers = vec![None; graph.layers.len()];
    let mut histograms = vec![None; graph.layers.len()];
    let mut peaks = vec![Vec::new(); graph.layers.len()];
    for (&layer, (observer, channels)) in observed.iter().zip(&observers) {
        peaks[layer] = channels.peaks(BEYOND);
        let fail = |cause| Error::Quantize { layer: graph.layers[layer].name.clone(), cause };
        layers[layer] = Some(observer.qparams(options.method).map_err(fail)?);
        histograms[layer] = Some(observer.histogram().clone());
    }
    let mut digests: Vec<String> = logits.iter().map(|(.., digest)| digest.clone()).collect();
    digests.sort_unstable();
    let logits = logits.into_iter().map(|(_, logits, _)| logits).collect();
    Ok(Calibration { drawn, layers, histograms, peaks, logits, digests })
}
