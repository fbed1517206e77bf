//! What the page of a conversion needs and the conversion does not say: every layer beside the float network's.

use cardinal_runtime::Model;

use crate::Error;
use crate::convert::Converted;
use crate::engine::Network;
use crate::images::Dataset;
use crate::import::Imported;
use crate::parity::{Layers, Parity, Reference};

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
