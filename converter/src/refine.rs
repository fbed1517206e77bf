//! `--method auto`: what measurably helps on the calibration images is kept.

use serde::Serialize;

use crate::Error;
use crate::calibrate::{Calibration, Options, calibrate_on};
use crate::convert::{compare, encode};
use crate::equalize::{Equalized, equalize};
use crate::graph::Graph;
use crate::images::Dataset;
use crate::import::Imported;
use crate::inputs::{LayerInputs, gather};
use crate::quantize::Known;

/// How strongly channels are equalized; at 1 all would be equally large.
const STRENGTHS: [f32; 2] = [0.5, 0.75];

/// Multiply-adds that one candidate may take, about a minute's work of one core; a small network is tried on all images.
const WORK: u64 = 1 << 40;
/// Images that are enough to know the inputs of a large network, and that every network gets.
const LEAST_IMAGES: usize = 32;

/// Decibels that a candidate must gain to be preferred to a simpler one.
const LEAST_GAIN: f64 = 0.1;

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// What was done.
    pub name: String,
    /// Signal-to-quantization-noise ratio of its logits, on a subset of the calibration images, dB.
    pub logit_sqnr_db: f64,
    /// Whether it was kept.
    pub kept: bool,
}

/// What was found.
pub struct Refined {
    /// The network to quantize, where equalization helps.
    pub equalized: Option<Equalized>,
    /// What its layers' inputs were before; `None` where weights are best rounded one by one.
    pub inputs: Option<LayerInputs>,
    /// The candidates, simplest first.
    pub trials: Vec<Trial>,
}

impl Refined {
    /// For [`encode`].
    pub fn known(&self) -> Option<Known<'_>> {
        let factors = self.equalized.as_ref().map_or(&[][..], |equalized| &equalized.factors);
        self.inputs.as_ref().map(|inputs| Known { inputs, factors })
    }
}

/// About so many of the images, evenly spread.
fn subset(drawn: &[usize], count: usize) -> Vec<usize> {
    let count = count.max(LEAST_IMAGES);
    drawn.iter().copied().step_by(drawn.len().div_ceil(count).max(1)).collect()
}

/// Tries: nearest weights; weights rounded together and biases corrected; and that with channels equalized.
///
/// # Errors
/// As calibration and conversion.
pub fn refine(imported: &Imported, images: &Dataset, all: &Calibration, options: Options) -> Result<Refined, Error> {
    let Imported { graph, preprocess, .. } = imported;
    let affordable = |work: u64| usize::try_from(work / graph.cost().0.max(1)).unwrap_or(usize::MAX);
    let drawn = subset(&all.drawn, affordable(WORK));
    let inputs = gather(graph, preprocess, images, &subset(&all.drawn, affordable(WORK / 4)))?;
    // Channels are as large as they were seen to be.
    let options = Options { refine: false, ..options };
    let calibrate = |graph: &Graph| calibrate_on(graph, preprocess, images, drawn.clone(), options);
    let measure = |graph: &Graph, calibration: &Calibration, known: Option<Known<'_>>| -> Result<f64, Error> {
        let (bytes, _) = encode(graph, preprocess, calibration, known.as_ref(), &[], "{}")?;
        Ok(compare(&bytes, imported, images, calibration)?.sqnr_db())
    };
    let mut trials: Vec<Trial> = Vec::new();
    let mut best = f64::NEG_INFINITY;
    // Whether it is the best so far.
    let mut better = |name: String, db: f64| {
        let better = db > best + LEAST_GAIN;
        if better {
            best = db;
            trials.iter_mut().for_each(|trial| trial.kept = false);
        }
        trials.push(Trial { name, logit_sqnr_db: db, kept: better });
        better
    };
    let plain = if drawn == all.drawn { None } else { Some(calibrate(graph)?) };
    let plain = plain.as_ref().unwrap_or(all);
    better("nearest weights".into(), measure(graph, plain, None)?);
    let known = Known { inputs: &inputs, factors: &[] };
    let mut rounded = better("adaptive rounding".into(), measure(graph, plain, Some(known))?);
    let mut equalized = None;
    for strength in STRENGTHS {
        let candidate = equalize(graph, &all.peaks, strength);
        let known = Known { inputs: &inputs, factors: &candidate.factors };
        let db = measure(&candidate.graph, &calibrate(&candidate.graph)?, Some(known))?;
        if better(format!("adaptive rounding, channels equalized by {strength}"), db) {
            (rounded, equalized) = (true, Some(candidate));
        }
    }
    Ok(Refined { equalized, inputs: rounded.then_some(inputs), trials })
}
