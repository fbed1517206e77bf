//! From a trained ResNeXt to one int8 file, and the proof of what that cost.
//!
//! The way of a network through this crate:
//!
//! 1. [`import`]: a `.pth`, `.safetensors` or `.onnx` file becomes the float [`graph`];
//! 2. [`calibrate`]: the graph runs in float over the calibration images, every activation under an observer;
//! 3. [`quantize`]: scales, int8 weights, int32 biases, as ops of the file;
//! 4. [`plan`]: a place in the arena for every activation;
//! 5. [`convert`]: all of it, to the bytes of a `.cardinal` file.
//!
//! [`engine`] runs the result in the int8 kernels or in tract, and the checkpoint in tract; [`evaluate`] does so over a
//! labelled folder, [`parity`] beside the float network; [`images`] reads those. [`report`] makes pages of what was
//! found.

#![forbid(unsafe_code)]

pub mod architecture;
pub mod auto;
pub mod calibrate;
pub mod convert;
pub mod embedded;
pub mod engine;
pub mod equalize;
mod error;
pub mod evaluate;
pub mod features;
mod float;
pub mod graph;
pub mod host;
pub mod images;
pub mod import;
pub mod inputs;
pub mod labels;
pub mod models;
pub mod output;
mod packed;
pub mod parity;
pub mod plan;
pub mod progress;
pub mod qdq;
pub mod quantize;
pub mod report;
pub mod timing;
pub mod units;

pub use error::Error;
