//! Accuracy of a model over a labelled folder, and of the float network beside it.

use std::time::{Duration, Instant};

use cardinal_calib::Sqnr;
use cardinal_runtime::Model;
use cardinal_tract::FloatModel;
use rayon::prelude::*;
use serde::Serialize;

use crate::host::{Runner, ranking};
use crate::images::{Dataset, normalise_chw};
use crate::labels::{imagenet_1k, imagenet_1k_class};
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

/// int8 logits beside the float network's, image by image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    images: usize,
    agreeing: usize,
    sqnr: Sqnr,
}

impl Comparison {
    /// Adds an image: both networks' logits.
    pub fn add(&mut self, float: &[f32], int8: &[f32]) {
        self.images += 1;
        self.agreeing += usize::from(ranking(float).first() == ranking(int8).first());
        self.sqnr.observe(float, int8);
    }

    /// Share of images with the same best class.
    pub fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.images.max(1) as f64
    }

    /// Signal-to-quantization-noise ratio of the int8 logits, dB.
    pub fn sqnr_db(&self) -> f64 {
        self.sqnr.db()
    }
}

/// Which class of the model each class of the folder is: by label where the names agree, or by WordNet identifier if the
/// labels are ImageNet-1k's; else by order.
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
    let imagenet = labels.len() == 1000 && labels.iter().zip(imagenet_1k()).all(|(&label, (_, name))| label == name);
    let find = |class: &String| {
        labels.iter().position(|label| label == class).or_else(|| imagenet_1k_class(class).filter(|_| imagenet))
    };
    let by_name: Option<Vec<usize>> = classes.iter().map(find).collect();
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
    let floats = || outcomes.iter().filter_map(|o| o.float.as_ref().map(|(logits, time)| (o, logits, *time)));
    let float = outcomes.iter().all(|o| o.float.is_some()).then(|| {
        let mut comparison = Comparison::default();
        floats().for_each(|(o, float, _)| comparison.add(float, &o.int8));
        FloatComparison {
            score: score(floats().map(|(o, logits, _)| (o.class, logits.as_slice()))),
            agreement: comparison.agreement(),
            logit_sqnr_db: comparison.sqnr_db(),
            ms: 1e3 * floats().map(|(.., time)| time.as_secs_f64()).sum::<f64>() / n,
        }
    });
    Evaluation {
        images: outcomes.len(),
        int8: score(outcomes.iter().map(|o| (o.class, o.int8.as_slice()))),
        int8_ms: 1e3 * outcomes.iter().map(|o| o.int8_time.as_secs_f64()).sum::<f64>() / n,
        images_per_second: n / seconds.max(1e-9),
        float,
    }
}

/// Accuracy over pairs of the true class and the logits.
fn score<'a>(images: impl Iterator<Item = (usize, &'a [f32])>) -> Score {
    let (mut n, mut top1, mut top5) = (0, 0, 0);
    for (class, logits) in images {
        let place = ranking(logits).iter().position(|&c| c == class);
        n += 1;
        top1 += usize::from(place == Some(0));
        top5 += usize::from(place.is_some_and(|place| place < 5));
    }
    let share = |hits: usize| hits as f64 / n.max(1) as f64;
    Score { top1: share(top1), top5: share(top5) }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::architecture::Architecture;
    use crate::models::untrained;

    #[test]
    fn folders_named_by_wordnet_are_imagenet_classes() {
        let network = Architecture { blocks: vec![1; 4], cardinality: 1, width_per_group: 4 };
        let (bytes, _) = untrained(&network.graph([32, 32], 1000)).expect("it fits");
        let model = crate::host::open(&bytes).expect("a valid file");
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["n02123045", "toilet tissue", "n01440764"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
            RgbImage::new(2, 2).save(dir.path().join(name).join("a.png")).expect("written");
        }
        let images = Dataset::open(dir.path(), [32, 32]).expect("three classes");
        assert_eq!(match_classes(&model, &images).expect("all known"), [0, 281, 999]);
        std::fs::rename(dir.path().join("n02123045"), dir.path().join("n00000000")).expect("renamed");
        let images = Dataset::open(dir.path(), [32, 32]).expect("three classes");
        let error = match_classes(&model, &images).expect_err("an unknown class").to_string();
        assert!(error.contains("n00000000"), "{error}");
    }
}
