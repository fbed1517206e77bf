//! What the page of a conversion needs and the conversion does not say: every layer beside the float network's, and how
//! long it takes.

use std::time::{Duration, Instant};

use cardinal_runtime::{Model, kernels};

use crate::convert::Converted;
use crate::engine::Network;
use crate::host::Runner;
use crate::images::Dataset;
use crate::import::Imported;
use crate::parity::{Layers, Parity, Reference};
use crate::{Error, progress};

/// Calibration images that layers are compared on.
const IMAGES: usize = 16;

/// Every layer's int8 output beside float's, on some of the calibration images.
pub(super) fn layers(
    model: Model<'_>,
    imported: &Imported,
    images: &Dataset,
    converted: &Converted,
) -> Result<Layers, Error> {
    let drawn = &converted.calibration.drawn;
    let some: Vec<usize> = drawn.iter().copied().step_by(drawn.len().div_ceil(IMAGES).max(1)).collect();
    let reference = Reference::Network(Box::new(Network::float32(imported)?));
    let network = Network::int8(model);
    Parity {
        network: &network,
        images,
        reference: &reference,
        layer_images: some.len(),
        allow_calibration_images: true,
    }
    .layers_on(&some)
}

/// How long each op takes on one thread of this machine.
pub(super) struct Times {
    /// The kernels that ran.
    pub backend: &'static str,
    /// How often.
    pub runs: usize,
    /// Median seconds of each op, in running order.
    pub seconds: Vec<f64>,
    /// Median seconds of a whole run.
    pub total: f64,
}

/// Runs that are enough.
const MOST_RUNS: usize = 51;
/// Runs that even a slow network gets, after a first one that does not count.
const LEAST_RUNS: usize = 3;
/// Time after which no further run is begun.
const ENOUGH: Duration = Duration::from_secs(4);

/// Measures on an image, `pixels`.
pub(super) fn times(model: Model<'_>, pixels: &[u8]) -> Result<Times, Error> {
    let bar = progress::bar(MOST_RUNS, "timing");
    let mut runner = Runner::new(model);
    let mut session = runner.session().map_err(Error::model("the converted model"))?;
    let mut layers: Vec<Vec<f64>> = Vec::new();
    let mut totals = Vec::new();
    let begin = Instant::now();
    for run in 0..=MOST_RUNS {
        if run > LEAST_RUNS && begin.elapsed() > ENOUGH {
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
        totals.push(laps.last().copied().unwrap_or_default().as_secs_f64());
        let before = std::iter::once(Duration::ZERO).chain(laps.iter().copied());
        for ((layer, lap), before) in layers.iter_mut().zip(&laps).zip(before) {
            layer.push(lap.saturating_sub(before).as_secs_f64());
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (runs, total) = (totals.len(), median(&mut totals));
    Ok(Times {
        // What `Session::new` takes.
        backend: kernels::best().name,
        runs,
        seconds: layers.iter_mut().map(|layer| median(layer)).collect(),
        total,
    })
}

/// Of an odd number the one in the middle, else the later of the two; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
