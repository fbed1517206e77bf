//! The proof that an int8 network is as accurate as its float network: both over the same labelled images.
//!
//! The float side is a [`Reference`]: a network that runs beside in float32, or a [`Recording`] of what PyTorch said. What
//! [`Parity::run`] finds is the same on any number of threads: sums are taken in the order of the images.

mod gates;
mod junit;
mod layers;
mod recording;
mod run;
mod statistics;

use serde::Serialize;

pub use self::gates::{Gate, Gates};
pub use self::junit::junit;
pub use self::recording::{Recording, is_recording};
pub use self::statistics::{Paired, adjusted_wald_95, mcnemar_exact};
use crate::engine::Network;
use crate::images::Dataset;

/// The float side.
pub enum Reference<'a> {
    /// Runs beside, on the same pixels.
    Network(Box<Network<'a>>),
    /// Was recorded before, of the same images.
    Recording(Box<Recording>),
}

/// A comparison to be run.
pub struct Parity<'a> {
    /// The int8 network.
    pub network: &'a Network<'a>,
    /// Labelled images.
    pub images: &'a Dataset,
    /// The float side.
    pub reference: &'a Reference<'a>,
    /// Images, spread over the classes, to compare every layer on; a recording says itself which it has.
    pub layer_images: usize,
    /// Whether images that the network was calibrated with may count.
    pub allow_calibration_images: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// Images compared.
    pub images: usize,
    /// Accuracy of both.
    pub top1: Top1,
    /// Share of images whose best class is the same in both, 0…1.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the int8 logits over all images, dB; in JSON null if they equal float's.
    pub logit_sqnr_db: f64,
    /// Where a class's probability changed most.
    pub largest_probability_change: ProbabilityChange,
    /// How far each layer is from the float network's.
    pub layers: Layers,
    /// Images whose best class is another in int8.
    pub changed: Vec<Changed>,
}

/// Accuracy of both networks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Top1 {
    /// Share of images that the float network recognises, 0…1.
    pub float: f64,
    /// Share of images that the int8 network recognises, 0…1.
    pub int8: f64,
    /// Float's top-1 less int8's, percentage points, −100…100; positive where int8 is worse.
    pub drop_points: f64,
    /// 95 % interval of the drop, percentage points: [`adjusted_wald_95`].
    pub interval_points: [f64; 2],
    /// What the interval is called in the literature.
    pub interval_method: &'static str,
    /// Probability of so uneven a split, or a more uneven one, if both are equally accurate: [`mcnemar_exact`].
    pub mcnemar_p: f64,
    /// The counts that these come from.
    pub counts: Paired,
}

/// One class's probability on one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProbabilityChange {
    /// Absolute difference of the softmax probabilities, 0…1.
    pub change: f64,
    /// The image's name.
    pub image: String,
    /// Its number in the data set.
    pub index: usize,
    /// The class.
    pub class: usize,
    /// Its label, if there are labels.
    pub label: Option<String>,
    /// Its probability in float.
    pub float: f64,
    /// Its probability in int8.
    pub int8: f64,
}

/// Every layer's output beside the float network's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Layers {
    /// Images that they were compared on.
    pub images: usize,
    /// In running order.
    pub compared: Vec<LayerSqnr>,
    /// Layers of the int8 network that the reference does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// One layer's output beside the float network's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSqnr {
    /// The layer, as `cardinal inspect` names it.
    pub name: String,
    /// Signal-to-quantization-noise ratio of its dequantized output, dB; in JSON null if it equals float's.
    pub sqnr_db: f64,
}

/// An image whose best class is another in int8.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Its name.
    pub image: String,
    /// Its number in the data set.
    pub index: usize,
    /// The class that it is labelled with.
    pub class: usize,
    /// That class's label, if there are labels.
    pub label: Option<String>,
    /// Float's best class.
    pub float: Opinion,
    /// int8's best class.
    pub int8: Opinion,
}

/// The best class of one network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Opinion {
    /// The class.
    pub class: usize,
    /// Its label, if there are labels.
    pub label: Option<String>,
    /// Its softmax probability, 0…1.
    pub score: f64,
}
