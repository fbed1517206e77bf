//! Float32 execution of ResNeXt classifiers through [tract](https://docs.rs/tract-core).
//!
//! Two roads lead to a model that turns one image into logits:
//!
//! - [`Builder`] makes a [`FloatModel`] layer by layer, for calibration (every activation can be shown to an observer)
//!   and as the float reference that int8 is compared with;
//! - [`OnnxModel`] reads an ONNX file with tract's own reader, which shares no code with Cardinal's importer and can
//!   therefore vouch for it.
//!
//! Images are `f32`, already normalized, in `[channels, height, width]` order (CHW, rows top to bottom), one at a time:
//! the batch is always 1. Models are `Send + Sync`; run many images by calling one model from many threads.

mod builder;
mod error;
mod float;
mod onnx;
mod plan;
mod screen;
mod window;

pub use builder::{Builder, Conv, Tensor};
pub use error::TractError;
pub use float::FloatModel;
pub use onnx::{OnnxModel, decode};
pub use tract_onnx::pb;
pub use window::Pool;

/// The size of one input image, which a model reads in `[channels, height, width]` order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Color planes, outermost in memory.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns, innermost in memory.
    pub width: usize,
}

impl InputShape {
    /// Number of values in one image; saturates, so that an absurd shape matches no slice.
    pub fn len(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// Whether the shape holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses an image of any other size.
    fn check(&self, image: &[f32]) -> Result<(), TractError> {
        let (expected, found) = (self.len(), image.len());
        if expected == found { Ok(()) } else { Err(TractError::Image { expected, found }) }
    }
}
