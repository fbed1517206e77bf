//! Both networks over all images.

use cardinal_calib::Sqnr;
use rayon::prelude::*;

use super::{Changed, Findings, Opinion, Paired, Parity, ProbabilityChange, Reference, Top1};
use super::{adjusted_wald_95, mcnemar_exact};
use crate::engine::Runner;
use crate::evaluate::{BATCH, class_of, match_classes, refuse_calibration_image};
use crate::host::{probabilities, ranking};
use crate::{Error, progress};

/// What one image showed.
struct Seen {
    index: usize,
    class: usize,
    /// Best class and its probability, of float and int8.
    best: [(usize, f64); 2],
    sqnr: Sqnr,
    /// The class whose probability changed most, and its probability in float and int8.
    moved: (usize, [f64; 2]),
}

impl Seen {
    fn new(index: usize, class: usize, float: &[f32], int8: &[f32]) -> Self {
        let mut sqnr = Sqnr::default();
        sqnr.observe(float, int8);
        let shares = [float, int8].map(probabilities);
        let best = [float, int8].map(|logits| ranking(logits).first().copied().unwrap_or(0));
        let score = |i: usize| (best[i], shares[i].get(best[i]).copied().unwrap_or(0.0));
        let change = |&class: &usize| (shares[0][class] - shares[1][class]).abs();
        // Of equal changes the first class; `max_by` takes the last.
        let most = (0..float.len()).rev().max_by(|a, b| change(a).total_cmp(&change(b))).unwrap_or(0);
        let moved = (most, [0, 1].map(|i: usize| shares[i].get(most).copied().unwrap_or(0.0)));
        Seen { index, class, best: [score(0), score(1)], sqnr, moved }
    }

    /// How far the probability of [`Seen::moved`] moved.
    fn change(&self) -> f64 {
        let [float, int8] = self.moved.1;
        (float - int8).abs()
    }
}

impl Parity<'_> {
    /// Runs over all images.
    ///
    /// # Errors
    /// Classes that cannot be matched, an image that cannot be read, was used to calibrate, or is not the one that was
    /// recorded; a reference of another network.
    pub fn run(&self) -> Result<Findings, Error> {
        let classes = match_classes(self.network, self.images)?;
        if let Reference::Recording(recording) = self.reference {
            recording.check(self.network, self.images)?;
        }
        let bar = progress::bar(self.images.len(), "comparing");
        let start = || {
            let float = match self.reference {
                Reference::Network(float) => Some(float.runner()),
                Reference::Recording(_) => None,
            };
            (self.network.runner(), float)
        };
        let one = |runners: &mut (Runner<'_, '_>, Option<Runner<'_, '_>>), &index: &usize| {
            let seen = self.see(runners, &classes, index);
            bar.inc(1);
            seen
        };
        let mut seen = Vec::with_capacity(self.images.len());
        let indices: Vec<usize> = (0..self.images.len()).collect();
        for batch in indices.chunks(BATCH) {
            // Of several errors the first image's, whatever the order in which threads meet them.
            let results: Vec<Result<Seen, Error>> = batch.par_iter().map_init(start, one).collect();
            for result in results {
                seen.push(result?);
            }
        }
        bar.finish_and_clear();
        let layers = self.layers()?;
        Ok(Findings { layers, ..self.sum(&seen) })
    }

    fn see(
        &self,
        (runner, float): &mut (Runner<'_, '_>, Option<Runner<'_, '_>>),
        classes: &[usize],
        index: usize,
    ) -> Result<Seen, Error> {
        let Parity { network, images, .. } = *self;
        let pixels = images.prepare(index, &network.preprocess, network.input())?;
        if !self.allow_calibration_images {
            refuse_calibration_image(network, images, index, &pixels)?;
        }
        let class = class_of(images, classes, index)?;
        let reference = match (self.reference, float) {
            (Reference::Recording(recording), _) => {
                recording.check_image(images, index, &pixels, class)?;
                recording.logits(index).to_vec()
            }
            (Reference::Network(_), Some(float)) => float.logits(&pixels)?,
            (Reference::Network(float), None) => float.runner().logits(&pixels)?,
        };
        let logits = runner.logits(&pixels)?;
        if reference.len() != logits.len() {
            let (theirs, ours) = (reference.len(), logits.len());
            return Err(Error::Usage(format!("the reference has {theirs} classes, the model {ours}")));
        }
        Ok(Seen::new(index, class, &reference, &logits))
    }

    /// All but the layers.
    fn sum(&self, seen: &[Seen]) -> Findings {
        let label = |class: usize| self.network.labels.get(class).cloned();
        let mut counts = Paired::default();
        let mut sqnr = Sqnr::default();
        let mut most: Option<&Seen> = None;
        let mut changed = Vec::new();
        for image in seen {
            let [float, int8] = image.best;
            counts.add(float.0 == image.class, int8.0 == image.class);
            sqnr.merge(&image.sqnr);
            if most.is_none_or(|most| image.change() > most.change()) {
                most = Some(image);
            }
            if float.0 != int8.0 {
                let opinion = |(class, score)| Opinion { class, label: label(class), score };
                changed.push(Changed {
                    image: self.images.name(image.index),
                    index: image.index,
                    class: image.class,
                    label: label(image.class),
                    float: opinion(float),
                    int8: opinion(int8),
                });
            }
        }
        let largest = most.map(|image| {
            let (class, [float, int8]) = image.moved;
            let (index, name) = (image.index, self.images.name(image.index));
            ProbabilityChange { change: image.change(), image: name, index, class, label: label(class), float, int8 }
        });
        let share = |count: usize| count as f64 / seen.len().max(1) as f64;
        let top1 = Top1 {
            float: share(counts.both + counts.only_float),
            int8: share(counts.both + counts.only_int8),
            drop_points: counts.drop_points(),
            interval_points: adjusted_wald_95(&counts),
            interval_method: "adjusted Wald for paired proportions (Agresti & Min 2005), 95 %",
            mcnemar_p: mcnemar_exact(&counts),
            counts,
        };
        Findings {
            images: seen.len(),
            top1,
            agreement: share(seen.len() - changed.len()),
            logit_sqnr_db: sqnr.db(),
            largest_probability_change: largest.unwrap_or_default(),
            layers: Default::default(),
            changed,
        }
    }
}
