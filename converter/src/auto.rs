//! `--method auto`: what measurably helps is kept.
//!
//! Candidates are measured by the signal-to-quantization-noise ratio of the logits on images that their ranges were not
//! chosen on: a range that clips what those images do not show costs nothing there, but elsewhere. It is the mean of each
//! image's own ratio in decibels, which a few images tell nearly as well as many.

use std::cell::RefCell;

use cardinal_calib::Method;
use rayon::prelude::*;
use serde::Serialize;

use crate::calibrate::{Drawn, Observed, Recipe, State, thresholds};
use crate::convert::{compare, encode};
use crate::equalize::{Equalized, equalize};
use crate::evaluate::Comparison;
use crate::graph::Graph;
use crate::images::spread_over;
use crate::import::Imported;
use crate::inputs::{LayerInputs, gather};
use crate::quantize::{FoundWeights, Known};
use crate::{Error, progress};

/// One in so many images is held out to measure candidates on, if there are enough.
const HELD_OUT: usize = 4;
/// Fewer images than this are used for both.
const FEW: usize = 64;

/// How strongly channels are equalized; at 1 all would be equally large.
const STRENGTHS: [f32; 2] = [0.5, 0.75];

/// Multiply-adds that one measurement may take, seconds of one core; four times that, what is seen for it.
const WORK: u64 = 1 << 36;
/// Images that are enough to know the inputs of a large network, or to observe it once more.
const LEAST_IMAGES: usize = 32;
/// Images that candidates are measured on, at most and at least.
const MEASURED: [usize; 2] = [16, 512];

/// Decibels that a candidate must gain to be preferred to a simpler one.
const LEAST_GAIN: f64 = 0.1;
/// Decibels that another range for a single layer must gain.
const LEAST_LAYER_GAIN: f64 = 0.03;
/// Layers that are looked at one by one.
const COSTLY: usize = 5;
/// Images that one layer's own cost is measured on, at least and at most.
const COST_IMAGES: [usize; 2] = [4, 16];
/// Multiply-adds that finding these costs may take for all layers.
const COST_WORK: u64 = 1 << 40;

/// Share of a channel's values that may exceed its peak.
pub(crate) const BEYOND: f64 = 0.001;

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// What was done.
    pub name: String,
    /// Signal-to-quantization-noise ratio of its logits, the mean over held-out calibration images, dB.
    pub logit_sqnr_db: f64,
    /// Whether it was kept.
    pub kept: bool,
}

/// A layer whose rounding costs much, and what was tried on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostlyLayer {
    /// Its name.
    pub name: String,
    /// SQNR of the logits if only this layer's output is rounded to int8, dB.
    pub logit_sqnr_db: f64,
    /// Ranges that were tried for it; the figures are those of the whole int8 network.
    pub tried: Vec<Trial>,
}

/// What was found.
pub struct Found {
    /// The best of what was tried.
    pub recipe: Recipe,
    /// What all images showed of the network as it came.
    pub observed: Observed,
    /// What its layers' inputs were; `None` where weights are best rounded one by one.
    pub inputs: Option<LayerInputs>,
    /// The candidates, simplest first.
    pub trials: Vec<Trial>,
    /// The layers that cost most, worst first.
    pub costly: Vec<CostlyLayer>,
}

/// The network at one strength of equalization, and what the images showed of it.
struct Variant {
    equalized: Option<Equalized>,
    observed: Observed,
    /// Weights that were found, by layer: see [`Known::found`].
    found: RefCell<FoundWeights>,
}

/// Candidates are made and measured here.
struct Bench<'a> {
    imported: &'a Imported,
    /// The images that they are measured on, and float's logits for them.
    measured: Drawn<'a>,
    logits: Vec<Vec<f32>>,
    inputs: Option<LayerInputs>,
}

impl Bench<'_> {
    /// The network that a variant quantizes.
    fn graph<'v>(&'v self, variant: &'v Variant) -> &'v Graph {
        variant.equalized.as_ref().map_or(&self.imported.graph, |equalized| &equalized.graph)
    }

    fn sqnr(&self, variant: &Variant, recipe: &Recipe) -> Result<f64, Error> {
        let graph = self.graph(variant);
        let factors = variant.equalized.as_ref().map_or(&[][..], |equalized| &equalized.factors);
        let inputs = self.inputs.as_ref().filter(|_| recipe.needs_inputs());
        let found = &variant.found;
        let known = inputs.map(|inputs| Known { inputs, factors, recipe, found: Some(found) });
        let layers = thresholds(graph, &variant.observed, recipe)?;
        let (bytes, _) = encode(graph, &self.imported.preprocess, &layers, known.as_ref(), &[], "{}")?;
        Ok(compare(&bytes, &self.measured, &self.logits)?.mean_sqnr_db())
    }

    /// The first images that candidates are measured on, as the float network reads them.
    fn inputs_of(&self, images: usize) -> Result<Vec<Vec<f32>>, Error> {
        let read = |i| Ok(self.measured.normalise(&self.measured.pixels(i)?));
        (0..images.min(self.measured.len())).map(read).collect()
    }
}

/// Tries weights rounded together, and clipped; channels equalized; other ranges, for all layers and for those that cost most.
///
/// # Errors
/// As calibration and conversion.
pub fn auto(imported: &Imported, drawn: &Drawn<'_>, state: &mut State) -> Result<Found, Error> {
    let graph = &imported.graph;
    let affordable = |work: u64| usize::try_from(work / graph.cost().0.max(1)).unwrap_or(usize::MAX);
    let held = |place: &usize| drawn.len() >= FEW && place % HELD_OUT == HELD_OUT - 1;
    let (held, fit): (Vec<usize>, Vec<usize>) = (0..drawn.len()).partition(held);
    let order = [&fit[..], &held[..]].concat();
    let fit = drawn.at(&fit);
    let seen = state.observe("images", graph, &fit, true)?;
    let (seen, all, measured) = if held.is_empty() {
        (seen.clone(), seen, fit.clone())
    } else {
        let held = drawn.at(&held);
        let of_held = state.observe("held out", graph, &held, true)?;
        let mut all = seen.clone();
        all.merge(&of_held);
        (Observed { logits: of_held.logits, ..seen }, all, held)
    };
    let places = spread_over(measured.len(), affordable(WORK).clamp(MEASURED[0], MEASURED[1]));
    let logits = places.iter().map(|&place| seen.logits[place].clone()).collect();
    let mut bench = Bench { imported, measured: measured.at(&places).kept()?, logits, inputs: None };

    let mut trials: Vec<Trial> = Vec::new();
    let mut best = f64::NEG_INFINITY;
    // Whether it is the best so far.
    let mut better = |recipe: &Recipe, db: f64| {
        let better = db > best + LEAST_GAIN;
        if better {
            best = db;
            trials.iter_mut().for_each(|trial| trial.kept = false);
        }
        trials.push(Trial { name: recipe.to_string(), logit_sqnr_db: db, kept: better });
        better
    };
    let mut variant = Variant { equalized: None, observed: seen, found: RefCell::default() };
    let mut recipe = Recipe::plain(Method::Mse);
    better(&recipe, state.measured(recipe.to_string(), || bench.sqnr(&variant, &recipe))?);
    let some = fit.at(&spread_over(fit.len(), affordable(4 * WORK).max(LEAST_IMAGES)));
    bench.inputs = Some(gather(graph, &some)?);
    for candidate in
        [Recipe { rounding: true, ..recipe.clone() }, Recipe { rounding: true, clipping: true, ..recipe.clone() }]
    {
        variant.found.take();
        if better(&candidate, state.measured(candidate.to_string(), || bench.sqnr(&variant, &candidate))?) {
            recipe = candidate;
        }
    }
    let peaks: Vec<Vec<f32>> = all.peaks.iter().map(|peaks| peaks.peaks(BEYOND)).collect();
    for strength in STRENGTHS {
        let candidate = Recipe { equalize: strength, rounding: true, ..recipe.clone() };
        let equalized = equalize(graph, &peaks, strength);
        let observed = state.observe(&format!("images, equalized by {strength}"), &equalized.graph, &some, true)?;
        let other = Variant { equalized: Some(equalized), observed, found: RefCell::default() };
        if better(&candidate, state.measured(candidate.to_string(), || bench.sqnr(&other, &candidate))?) {
            (recipe, variant) = (candidate, other);
        }
    }
    for thresholds in Method::ALL.into_iter().filter(|method| *method != Method::Mse) {
        let candidate = Recipe { thresholds, ..recipe.clone() };
        if better(&candidate, state.measured(candidate.to_string(), || bench.sqnr(&variant, &candidate))?) {
            recipe = candidate;
        }
    }
    let costly = costly(&bench, &variant, &mut recipe, best, state)?;
    let inputs = bench.inputs.filter(|_| recipe.needs_inputs());
    Ok(Found { recipe, observed: all.reordered(&order), inputs, trials, costly })
}

/// Finds the layers that cost most, and tries other ranges for them.
fn costly(
    bench: &Bench<'_>,
    variant: &Variant,
    recipe: &mut Recipe,
    mut best: f64,
    state: &mut State,
) -> Result<Vec<CostlyLayer>, Error> {
    let graph = bench.graph(variant);
    let chosen = thresholds(graph, &variant.observed, recipe)?;
    let work = graph.cost().0.max(1) * graph.layers.len() as u64;
    let images = usize::try_from(COST_WORK / work).unwrap_or(usize::MAX).clamp(COST_IMAGES[0], COST_IMAGES[1]);
    let images = bench.inputs_of(images)?;
    let layers: Vec<usize> = (0..graph.layers.len()).filter(|&layer| chosen[layer].is_some()).collect();
    let bar = progress::bar(layers.len(), "layers");
    let alone = |&layer: &usize| -> Result<(f64, usize), Error> {
        let Some(calibrated) = chosen[layer] else { return Ok((f64::INFINITY, layer)) };
        let model = graph.float_model_rounding(layer, calibrated.qparams)?;
        let mut comparison = Comparison::default();
        for (float, image) in bench.logits.iter().zip(&images) {
            comparison.add(float, &model.run(image)?);
        }
        bar.inc(1);
        Ok((comparison.sqnr_db(), layer))
    };
    let mut alone: Vec<(f64, usize)> = layers.par_iter().map(alone).collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    alone.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut costly = Vec::new();
    for (alone, layer) in alone.into_iter().take(COSTLY) {
        let name = graph.layers[layer].name.clone();
        let used = recipe.thresholds_of(&name);
        let mut tried = vec![Trial { name: used.to_string(), logit_sqnr_db: best, kept: true }];
        for method in Method::ALL.into_iter().filter(|method| *method != used) {
            let mut candidate = recipe.clone();
            candidate.exceptions.retain(|(layer, _)| *layer != name);
            candidate.exceptions.push((name.clone(), method));
            let db = state.measured(candidate.to_string(), || bench.sqnr(variant, &candidate))?;
            let kept = db > best + LEAST_LAYER_GAIN;
            if kept {
                (*recipe, best) = (candidate, db);
                tried.iter_mut().for_each(|trial| trial.kept = false);
            }
            tried.push(Trial { name: method.to_string(), logit_sqnr_db: db, kept });
        }
        costly.push(CostlyLayer { name, logit_sqnr_db: alone, tried });
    }
    Ok(costly)
}
