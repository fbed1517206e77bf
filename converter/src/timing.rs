//! How long a model takes on this machine, op by op.

use std::time::{Duration, Instant};

use cardinal_runtime::{Kernels, Model};

use crate::host::Runner;
use crate::{Error, progress};

/// How long a model's ops take.
#[derive(Clone, Debug)]
pub struct Times {
    /// The kernels that ran.
    pub backend: &'static str,
    /// Median seconds of each op, in running order.
    pub layers: Vec<f64>,
    /// Seconds of each whole run, ascending.
    pub runs: Vec<f64>,
}

/// How often to run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs that are enough.
    pub most: usize,
    /// Runs that even a slow network gets, after a first one that does not count.
    pub least: usize,
    /// Time after which no further run is begun.
    pub time: Duration,
    /// Threads that layers are divided between.
    pub threads: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { most: 51, least: 3, time: Duration::from_secs(4), threads: 1 }
    }
}

impl Times {
    /// Measures on an image, `pixels`; `what` names the model in errors.
    ///
    /// # Errors
    /// An arena that does not fit.
    pub fn measure(
        model: Model<'_>,
        kernels: &'static Kernels,
        pixels: &[u8],
        effort: Effort,
        what: &str,
    ) -> Result<Self, Error> {
        let bar = progress::bar(effort.most, "timing");
        let mut runner = Runner::with_kernels(model, kernels).with_threads(effort.threads);
        let mut session = runner.session().map_err(Error::model(what))?;
        let (mut layers, mut runs): (Vec<Vec<f64>>, _) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        for run in 0..=effort.most {
            if run > effort.least && begin.elapsed() > effort.time {
                break;
            }
            session.image_mut().copy_from_slice(pixels);
            let mut laps = Vec::new();
            let start = Instant::now();
            session.run_observed(|_| laps.push(start.elapsed()));
            if run == 0 {
                layers = vec![Vec::new(); laps.len()];
                continue;
            }
            runs.push(laps.last().copied().unwrap_or_default().as_secs_f64());
            let before = std::iter::once(Duration::ZERO).chain(laps.iter().copied());
            for ((layer, lap), before) in layers.iter_mut().zip(&laps).zip(before) {
                layer.push(lap.saturating_sub(before).as_secs_f64());
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        runs.sort_unstable_by(f64::total_cmp);
        let median = |mut layer: Vec<f64>| {
            layer.sort_unstable_by(f64::total_cmp);
            percentile(&layer, 0.5)
        };
        Ok(Times { backend: kernels.name, layers: layers.into_iter().map(median).collect(), runs })
    }

    /// Seconds of a whole run that this share of the runs do not exceed.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.runs, share)
    }
}

/// Of ascending values, the first that is not exceeded by `share` of them; 0 of none.
fn percentile(values: &[f64], share: f64) -> f64 {
    let place = (share * values.len() as f64).ceil() as usize;
    values.get(place.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|share| percentile(&values, share)), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(percentile(&values[..4], 0.5), 2.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
