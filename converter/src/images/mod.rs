//! Photographs on disk, and how they become a model's input.
//!
//! [`Dataset`] finds and decodes labelled images, [`prepare`] turns one into the bytes of the image tensor,
//! [`normalise_chw`] into the floats of the float model, and [`spread`] picks the few to calibrate or compare with.
//!
//! Results depend on the files alone: not on the machine, the number of threads, or the order in which a folder lists.

mod dataset;
mod decode;
mod error;
mod folder;
mod mosaic;
mod preprocess;
mod sample;

pub use dataset::Dataset;
pub use decode::{convert, decode, open};
pub use error::ImageError;
pub use preprocess::{normalise_chw, prepare};
pub use sample::{spread, spread_over};
