//! Accuracy of a model over a labelled folder, and of the float network beside it.

use std::time::{Duration, Instant};

use cardinal_calib::Sqnr;
use cardinal_runtime::Model;
use cardinal_tract::FloatModel;
use rayon::prelude::*;
use serde::Serialize;

use crate::host::{Runner, ranking};
use crate::images::{Dataset, normalise_chw};
use crate::{Error, progress};

/// How many images were recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Share whose class is the best guess.
    pub top1: f64,
    /// Share whose class is among the five best guesses.
    pub top5: f64,
}

/// An evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: usize,
    /// The int8 model.
    pub int8: Score,
    /// Wall time of one image in the int8 model, one thread, milliseconds.
    pub int8_ms: f64,
    /// Images per second over all threads, with reading and preprocessing, and with the float model if there is one.
    pub images_per_second: f64,
    /// The float network, if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatComparison>,
}

/// The float network on the same images.
#[derive(Clone, Debug, Serialize)]
pub struct FloatComparison {
    /// Its accuracy.
    #[serde(flatten)]
    pub score: Score,
    /// Share of images with the same best class.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the int8 logits, dB.
    pub logit_sqnr_db: f64,
    /// Wall time of one image in tract, one thread, milliseconds.
    pub ms: f64,
}

/// Which class of the model each class of the folder is: by label where the names agree, else by order.
///
/// # Errors
/// Classes that cannot be matched.
pub fn match_classes(model: &Model<'_>, images: &Dataset) -> Result<Vec<usize>, Error> {
    let classes = images.classes();
    if classes.is_empty() {
        return Err(Error::Usage(
            "the folder has no classes: expected class/image files, or mosaics named <label>_<name>.png".into(),
        ));
    }
    let labels: Vec<&str> = model.file().labels().collect();
    let by_name: Option<Vec<usize>> = classes.iter().map(|c| labels.iter().position(|l| l == c)).collect();
    match by_name {
        Some(matched) => Ok(matched),
        None if classes.len() == model.classes() => Ok((0..classes.len()).collect()),
        None => {
            let unknown = classes.iter().find(|c| !labels.contains(&c.as_str())).map_or("", String::as_str);
            Err(Error::Usage(format!(
                "the folder has {} classes, the model {}, and class {unknown:?} is not a label of the model",
                classes.len(),
                model.classes()
            )))
        }
    }
}

/// What one image showed.
struct Outcome {
    int8: Vec<f32>,
    int8_time: Duration,
    float: Option<(Vec<f32>, Duration)>,
    class: usize,
}

/// Runs a model over all images, with the float network beside it if one is given.
pub fn evaluate(model: Model<'_>, images: &Dataset, float: Option<&FloatModel>) -> Result<Evaluation, Error> {
    let classes = match_classes(&model, images)?;
    let (spec, shape) = (*model.preprocess(), model.image());
    let input = [shape.height, shape.width];
    let bar = progress::bar(images.len(), "evaluating");
    let start = Instant::now();
    let run = |runner: &mut Runner<'_>, index: usize| -> Result<Outcome, Error> {
        let pixels = images.prepare(index, &spec, input)?;
        let started = Instant::now();
        let int8 = runner.logits(&pixels).map_err(Error::model("the model"))?;
        let int8_time = started.elapsed();
        let float = match float {
            Some(float) => {
                let started = Instant::now();
                let logits = float.run(&normalise_chw(&pixels, &spec, input))?;
                Some((logits, started.elapsed()))
            }
            None => None,
        };
        let class = images.label(index).and_then(|label| classes.get(label)).copied();
        bar.inc(1);
        Ok(Outcome { int8, int8_time, float, class: class.unwrap_or(usize::MAX) })
    };
    let outcomes = (0..images.len()).into_par_iter().map_init(|| Runner::new(model), run);
    let outcomes: Vec<Outcome> = outcomes.collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    Ok(summarise(&outcomes, seconds))
}

fn summarise(outcomes: &[Outcome], seconds: f64) -> Evaluation {
    let n = outcomes.len().max(1) as f64;
    let score = |logits: &dyn Fn(&Outcome) -> Option<Vec<usize>>| {
        let within = |k: usize| {
            let hit = |o: &&Outcome| logits(o).is_some_and(|ranking| ranking.iter().take(k).any(|&c| c == o.class));
            outcomes.iter().filter(hit).count() as f64 / n
        };
        Score { top1: within(1), top5: within(5) }
    };
    let mean_ms =
        |time: &dyn Fn(&Outcome) -> Duration| 1e3 * outcomes.iter().map(|o| time(o).as_secs_f64()).sum::<f64>() / n;
    let float = outcomes.iter().all(|o| o.float.is_some()).then(|| {
        let float = |o: &Outcome| o.float.as_ref().map(|(logits, _)| ranking(logits));
        let mut sqnr = Sqnr::default();
        let mut agreeing = 0;
        for outcome in outcomes {
            if let Some((logits, _)) = &outcome.float {
                sqnr.observe(logits, &outcome.int8);
                agreeing += usize::from(ranking(logits).first() == ranking(&outcome.int8).first());
            }
        }
        FloatComparison {
            score: score(&float),
            agreement: agreeing as f64 / n,
            logit_sqnr_db: sqnr.db(),
            ms: mean_ms(&|o| o.float.as_ref().map_or(Duration::ZERO, |(_, time)| *time)),
        }
    });
    Evaluation {
        images: outcomes.len(),
        int8: score(&|o| Some(ranking(&o.int8))),
        int8_ms: mean_ms(&|o| o.int8_time),
        images_per_second: n / seconds.max(1e-9),
        float,
    }
}
