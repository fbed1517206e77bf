//! Calibration: the float graph over a sample of images, every activation under an observer.

use cardinal_calib::{Calibrated, Method, Observer};
use cardinal_format::Preprocess;
use rayon::prelude::*;

use crate::Error;
use crate::graph::Graph;
use crate::images::{Dataset, normalise_chw, spread};
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
}

impl Default for Options {
    fn default() -> Self {
        Options { images: 512, seed: 0, method: Method::Mse }
    }
}

/// What the images showed.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The options that were used.
    pub options: Options,
    /// Indices of the images that were used, ascending.
    pub drawn: Vec<usize>,
    /// One per layer; `None` where the output needs no scale of its own.
    pub layers: Vec<Option<Calibrated>>,
    /// The float network's logits for each drawn image.
    pub logits: Vec<Vec<f32>>,
}

/// Observers of the layers, and logits of one thread's share of the images.
type Share = (Vec<Observer>, Vec<(usize, Vec<f32>)>);

/// Runs the graph over the images. Memory does not grow with their number (but for their logits), and the result does
/// not depend on the number of threads.
///
/// # Errors
/// An empty folder, an image that cannot be read, or activations that are not finite; with its name.
pub fn calibrate(graph: &Graph, spec: &Preprocess, images: &Dataset, options: Options) -> Result<Calibration, Error> {
    let drawn = spread(images.labels(), options.images, options.seed);
    if drawn.is_empty() {
        return Err(Error::Usage("calibration needs at least one image (--calib-images)".into()));
    }
    let model = graph.float_model()?;
    let observed = graph.observed();
    let input = [graph.image.height, graph.image.width];
    let bar = progress::bar(drawn.len(), "calibrating");
    let nothing = || -> Share { (vec![Observer::new(); observed.len()], Vec::new()) };
    let show = |(mut observers, mut logits): Share, &index: &usize| -> Result<Share, Error> {
        let pixels = images.prepare(index, spec, input)?;
        let result =
            model.run_observed(&normalise_chw(&pixels, spec, input), |i, values| observers[i].observe(values))?;
        logits.push((index, result));
        bar.inc(1);
        Ok((observers, logits))
    };
    let merge = |(mut a, mut logits): Share, (b, more): Share| -> Result<Share, Error> {
        a.iter_mut().zip(&b).for_each(|(a, b)| a.merge(b));
        logits.extend(more);
        Ok((a, logits))
    };
    let (observers, mut logits) = drawn.par_iter().try_fold(nothing, show).try_reduce(nothing, merge)?;
    bar.finish_and_clear();
    logits.sort_unstable_by_key(|&(index, _)| index);

    let mut layers = vec![None; graph.layers.len()];
    for (&layer, observer) in observed.iter().zip(&observers) {
        let fail = |cause| Error::Quantize { layer: graph.layers[layer].name.clone(), cause };
        layers[layer] = Some(observer.qparams(options.method).map_err(fail)?);
    }
    let logits = logits.into_iter().map(|(_, logits)| logits).collect();
    Ok(Calibration { options, drawn, layers, logits })
}
