//! What can go wrong in a calibration.

use thiserror::Error;

/// Why a tensor or a layer cannot be quantized. The caller adds its name.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CalibError {
    /// An observer was asked for parameters before it saw a value.
    #[error("no values were observed")]
    Empty,

    /// An activation was NaN or infinite: the model, or the image it was given, is at fault.
    #[error("{non_finite} of {total} observed values are NaN or infinite")]
    NonFinite {
        /// How many values were NaN or infinite.
        non_finite: u64,
        /// How many values were observed in all.
        total: u64,
    },

    /// A calibration method's name is unknown.
    #[error(
        "unknown calibration method {0:?}: expected min-max, moving-average, percentile, entropy, mse or sensitivity"
    )]
    UnknownMethod(String),

    /// There are no weights, or they do not divide evenly among the channels; or biases and scales differ in number.
    #[error("{values} values do not match {channels} channels")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Number of output channels.
        channels: usize,
    },

    /// A weight is NaN or infinite.
    #[error("channel {channel}: a weight is {value}")]
    NonFiniteWeight {
        /// Index of the output channel.
        channel: usize,
        /// The first such weight in the channel.
        value: f32,
    },

    /// A scale is not a positive finite number.
    #[error("{0} cannot be a scale: it must be positive and finite")]
    InvalidScale(f32),

    /// A bias, counted in steps of `s_x * s_w`, exceeds [`BIAS_LIMIT`](crate::BIAS_LIMIT), or is NaN.
    #[error("channel {channel}: bias {bias} is out of the int32 range at scale {scale:e}")]
    BiasOutOfRange {
        /// Index of the output channel.
        channel: usize,
        /// The bias in real units.
        bias: f64,
        /// The bias scale `s_x * s_w`.
        scale: f64,
    },
}
