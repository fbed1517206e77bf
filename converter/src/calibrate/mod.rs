//! Calibration: the float graph over a sample of images, and what follows from what its activations were like.

mod drawn;
mod observe;
mod recipe;
pub mod sensitivity;
mod signs;
mod state;

use cardinal_calib::{Calibrated, Histogram};

pub use self::drawn::Drawn;
pub use self::observe::{Observed, observe};
pub use self::recipe::Recipe;
pub use self::signs::signs;
pub use self::state::State;
use crate::Error;
use crate::graph::Graph;
use crate::import::sha256;

/// How to calibrate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Images to draw, spread over the classes; by default [`Options::images_for`].
    pub images: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
    /// What to do; `None` for what measurably helps: [`auto`](crate::auto).
    pub recipe: Option<Recipe>,
}

impl Options {
    /// Images that every network is calibrated with.
    pub const LEAST: usize = 512;
    /// Images that a small network is calibrated with: what only one image in a thousand shows is still worth knowing.
    pub const MOST: usize = 2048;

    /// Images to draw for a network: [`Options::MOST`] if that is a matter of seconds, else fewer.
    pub fn images_for(&self, graph: &Graph) -> usize {
        /// Multiply-adds, some ten seconds of one core in float.
        const WORK: u64 = 1 << 37;
        let affordable = usize::try_from(WORK / graph.cost().0.max(1)).unwrap_or(usize::MAX);
        self.images.unwrap_or(affordable.clamp(Self::LEAST, Self::MOST))
    }
}

/// What the images showed, and the ranges that were chosen for it.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Indices of the images that were used, ascending.
    pub drawn: Vec<usize>,
    /// One per layer; `None` where the output needs no scale of its own.
    pub layers: Vec<Option<Calibrated>>,
    /// The values that they were chosen for, alike.
    pub histograms: Vec<Option<Histogram>>,
}

/// Chooses every layer's range by a recipe.
///
/// # Errors
/// Activations that are not finite, or an exception for a layer that is not there; with its name.
pub fn thresholds(graph: &Graph, observed: &Observed, recipe: &Recipe) -> Result<Vec<Option<Calibrated>>, Error> {
    for (name, _) in &recipe.exceptions {
        let at = graph.layers.iter().position(|layer| layer.name == *name);
        if at.is_none_or(|layer| observed.observers[layer].is_none()) {
            return Err(Error::Usage(format!("--method: no layer {name:?} has a range of its own")));
        }
    }
    let choose = |(layer, observer): (&crate::graph::Layer, &Option<_>)| {
        let Some(observer): &Option<cardinal_calib::Observer> = observer else { return Ok(None) };
        let fail = |cause| Error::Quantize { layer: layer.name.clone(), cause };
        observer.qparams(recipe.thresholds_of(&layer.name)).map(Some).map_err(fail)
    };
    graph.layers.iter().zip(&observed.observers).map(choose).collect()
}

/// Characters of an [`image_digest`].
pub const DIGEST_LEN: usize = 10;

/// The first five bytes of the SHA-256 of an image's pixels as the network reads them, in hexadecimal: enough to tell an
/// image from millions of others.
pub fn image_digest(pixels: &[u8]) -> String {
    sha256(&[pixels])[..DIGEST_LEN].to_owned()
}
