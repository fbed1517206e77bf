//! Accuracy of a network over labelled images, and of the float network beside it.

mod log;
mod outcome;

use std::time::Instant;

use cardinal_calib::Sqnr;
use rayon::prelude::*;

pub use self::log::{Header, Log, merge};
pub use self::outcome::{
    Beside, ClassScore, Comparison, Evaluation, FloatComparison, Guess, Outcome, Score, summarise,
};
use crate::calibrate::image_digest;
use crate::engine::{Network, Runner};
use crate::images::Dataset;
use crate::labels::{imagenet_1k_class, is_imagenet_1k};
use crate::{Error, progress};

/// Which class of the model each label of the data set is: the label itself if it came from a list, else by the folder's
/// name, or by WordNet identifier if the model's labels are ImageNet-1k's; else by order.
///
/// # Errors
/// Classes that cannot be matched.
pub fn match_classes(network: &Network<'_>, images: &Dataset) -> Result<Vec<usize>, Error> {
    let classes = images.classes();
    if classes.is_empty() {
        let labels: Option<Vec<usize>> = images.labels().iter().copied().collect();
        return match labels.map(|labels| labels.into_iter().max().unwrap_or(0)) {
            Some(label) if label < network.classes => Ok((0..network.classes).collect()),
            Some(label) => Err(Error::Usage(format!(
                "the list has class {label}, but the model's {} classes are numbered from 0",
                network.classes
            ))),
            None => Err(Error::Usage(
                "the folder has no classes: expected class/image files, or mosaics named <label>_<name>.png, or a list \
                 of files and classes (--annotations)"
                    .into(),
            )),
        };
    }
    let labels: Vec<&str> = network.labels.iter().map(String::as_str).collect();
    let imagenet = is_imagenet_1k(labels.iter().copied());
    let find = |class: &String| {
        labels.iter().position(|label| label == class).or_else(|| imagenet_1k_class(class).filter(|_| imagenet))
    };
    let by_name: Option<Vec<usize>> = classes.iter().map(find).collect();
    match by_name {
        Some(matched) => Ok(matched),
        None if classes.len() == network.classes => Ok((0..classes.len()).collect()),
        None => {
            let unknown = classes.iter().find(|c| !labels.contains(&c.as_str())).map_or("", String::as_str);
            Err(Error::Usage(format!(
                "the folder has {} classes, the model {}, and class {unknown:?} is not a label of the model",
                classes.len(),
                network.classes
            )))
        }
    }
}

/// The model's class that an image is labelled with; `classes` as [`match_classes`] gives them.
pub(crate) fn class_of(images: &Dataset, classes: &[usize], index: usize) -> Result<usize, Error> {
    let class = images.label(index).and_then(|label| classes.get(label)).copied();
    class.ok_or_else(|| Error::Usage(format!("{}: has no class", images.name(index))))
}

/// An error if the network was calibrated with this image.
pub(crate) fn refuse_calibration_image(
    network: &Network<'_>,
    images: &Dataset,
    index: usize,
    pixels: &[u8],
) -> Result<(), Error> {
    let used = &network.calibration_images;
    if used.is_empty() || !used.contains(&image_digest(pixels)) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: the model was calibrated with this image, so it proves little: evaluate other images, or say \
         --allow-calibration-images",
        images.name(index)
    )))
}

/// Images whose results are kept together: if the run is cut, at most these are lost.
pub(crate) const BATCH: usize = 256;

/// An evaluation to be run: a network, labelled images, and what else is wanted.
pub struct Evaluator<'a> {
    /// The network.
    pub network: &'a Network<'a>,
    /// The images.
    pub images: &'a Dataset,
    /// The float network, to run beside on the same pixels.
    pub float: Option<&'a Network<'a>>,
    /// Whether images that the network was calibrated with may count.
    pub allow_calibration_images: bool,
}

impl Evaluator<'_> {
    /// Runs over the images of these indices; `keep` gets each batch of outcomes as it is there.
    ///
    /// # Errors
    /// Classes that cannot be matched, an image that cannot be read or was used to calibrate, what `keep` says.
    pub fn run(
        &self,
        indices: &[usize],
        mut keep: impl FnMut(&[Outcome]) -> Result<(), Error>,
    ) -> Result<Vec<Outcome>, Error> {
        let Evaluator { network, images, .. } = *self;
        let classes = match_classes(network, images)?;
        let bar = progress::bar(indices.len(), "evaluating");
        let start = || (network.runner(), self.float.map(Network::runner));
        let one = |(runner, float): &mut (Runner<'_, '_>, Option<Runner<'_, '_>>), &index: &usize| {
            let pixels = images.prepare(index, &network.preprocess, network.input())?;
            if !self.allow_calibration_images {
                refuse_calibration_image(network, images, index, &pixels)?;
            }
            let class = class_of(images, &classes, index)?;
            let (logits, guess) = judge(runner, &pixels, class)?;
            let float = match float {
                Some(float) => {
                    let (reference, guess) = judge(float, &pixels, class)?;
                    let mut sqnr = Sqnr::default();
                    sqnr.observe(&reference, &logits);
                    Some(Beside { guess, signal: sqnr.signal, noise: sqnr.noise })
                }
                None => None,
            };
            bar.inc(1);
            Ok(Outcome { index, class, guess, float })
        };
        let mut outcomes = Vec::with_capacity(indices.len());
        for batch in indices.chunks(BATCH) {
            let done = batch.par_iter().map_init(start, one).collect::<Result<Vec<_>, Error>>()?;
            keep(&done)?;
            outcomes.extend(done);
        }
        bar.finish_and_clear();
        Ok(outcomes)
    }
}

/// Runs one image, with a clock.
fn judge(runner: &mut Runner<'_, '_>, pixels: &[u8], class: usize) -> Result<(Vec<f32>, Guess), Error> {
    let started = Instant::now();
    let logits = runner.logits(pixels)?;
    let guess = Guess::new(&logits, class, started.elapsed().as_secs_f64());
    Ok((logits, guess))
}

/// Runs a network over all images, with the float network beside it if one is given.
///
/// # Errors
/// As [`Evaluator::run`].
pub fn evaluate(network: &Network<'_>, images: &Dataset, float: Option<&Network<'_>>) -> Result<Evaluation, Error> {
    let evaluator = Evaluator { network, images, float, allow_calibration_images: false };
    let indices: Vec<usize> = (0..images.len()).collect();
    let outcomes = evaluator.run(&indices, |_| Ok(()))?;
    Ok(summarise(&outcomes, network.arithmetic(), network.classes, &network.labels))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::architecture::Architecture;
    use crate::import::template;
    use crate::models::untrained;

    #[test]
    fn folders_named_by_wordnet_are_imagenet_classes() {
        let network = Architecture { blocks: vec![1; 4], cardinality: 1, width_per_group: 4 };
        let graph = template(&network, [32, 32], 1000).expect("it fits");
        let (bytes, _) = untrained(&graph).expect("it fits");
        let network = Network::int8(crate::host::open(&bytes).expect("a valid file"));
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["n02123045", "toilet tissue", "n01440764"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
            RgbImage::new(2, 2).save(dir.path().join(name).join("a.png")).expect("written");
        }
        let images = Dataset::open(dir.path(), [32, 32]).expect("three classes");
        assert_eq!(match_classes(&network, &images).expect("all known"), [0, 281, 999]);
        std::fs::rename(dir.path().join("n02123045"), dir.path().join("n00000000")).expect("renamed");
        let images = Dataset::open(dir.path(), [32, 32]).expect("three classes");
        let error = match_classes(&network, &images).expect_err("an unknown class").to_string();
        assert!(error.contains("n00000000"), "{error}");
    }
}
