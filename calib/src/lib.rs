//! Calibration for post-training int8 quantization of image classifiers.
//!
//! The crate knows numbers, never files or graphs. It answers three questions:
//!
//! - which scale and zero point an activation tensor gets: an [`Observer`] gathers its values in a [`Histogram`], and
//!   a [`Method`] turns them into [`QParams`];
//! - which int8 values, scales and int32 biases a layer's weights get: [`quantize_layer`], or with a [`Treatment`]
//!   [`quantize_layer_with`];
//! - how much was lost: [`Sqnr`].
//!
//! # Arithmetic
//!
//! `real = scale * (code - zero_point)`, as in Jacob et al. 2018, *Quantization and Training of Neural Networks for
//! Efficient Integer-Arithmetic-Only Inference* ([arXiv:1712.05877](https://arxiv.org/abs/1712.05877)).
//!
//! | tensor      | type | codes          | granularity        | zero point             |
//! |-------------|------|----------------|--------------------|------------------------|
//! | activations | i8   | `[-128, 127]`  | per tensor         | any; -128 after a ReLU |
//! | weights     | i8   | `[-127, 127]`  | per output channel | 0                      |
//! | bias        | i32  | `[-2^30, 2^30]`| per output channel | 0, scale `s_x * s_w`   |
//!
//! Zero is always exactly representable. Every scale this crate returns is finite and at least [`MIN_SCALE`].
//!
//! # Reproducibility
//!
//! A calibration depends on the set of values observed, not on their order, nor on how they were shared out among
//! threads: the state of an observer is counts and extrema only, which merge exactly. A moving average alone depends on
//! the order of the images, which the caller keeps.
#![forbid(unsafe_code)]

mod channels;
mod distortion;
mod error;
mod histogram;
mod method;
mod metrics;
mod observer;
mod range;
mod rounding;
mod threshold;
mod weights;

pub use cardinal_format::quant::QParams;
pub use channels::ChannelPeaks;
pub use distortion::Distortion;
pub use error::CalibError;
pub use histogram::{BINS, Histogram};
pub use method::Method;
pub use metrics::{Sqnr, sqnr_db};
pub use observer::{Calibrated, Observer};
pub use range::{MIN_SCALE, representable, spanning};
pub use rounding::{Moments, Rounding};
pub use threshold::{AVERAGING, MovingRange, PERCENTILE};
pub use weights::{
    BIAS_LIMIT, Inputs, QuantizedLayer, QuantizedWeights, Treatment, clipped_scale, quantize_bias, quantize_layer,
    quantize_layer_with, quantize_per_channel,
};
