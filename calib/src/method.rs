//! The ways to choose an activation tensor's range, by name.

use std::{fmt, str::FromStr};

use crate::CalibError;

/// How the range of an activation tensor is chosen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// The whole observed range; clips nothing. Krishnamoorthi 2018,
    /// [arXiv:1806.08342](https://arxiv.org/abs/1806.08342).
    MinMax,
    /// The running average of each image's least and greatest value, [`AVERAGING`](crate::AVERAGING) of the new one at a
    /// time. Jacob et al. 2018, [arXiv:1712.05877](https://arxiv.org/abs/1712.05877), section 3.1.
    MovingAverage,
    /// The range that holds [`PERCENTILE`](crate::PERCENTILE) of the values. Wu et al. 2020,
    /// [arXiv:2004.09602](https://arxiv.org/abs/2004.09602).
    Percentile,
    /// The range of least Kullback-Leibler divergence between the values and their codes. Migacz 2017, *8-bit Inference
    /// with TensorRT*, NVIDIA GPU Technology Conference.
    Entropy,
    /// The range of least expected squared error; clips outliers. Nagel et al. 2021,
    /// [arXiv:2106.08295](https://arxiv.org/abs/2106.08295), section 3.1.
    Mse,
    /// As [`Mse`](Self::Mse), where a channel's error counts as much as it moves the network's output. That an error's cost
    /// is its square times the output's sensitivity to it is Choi et al. 2017,
    /// [arXiv:1612.01543](https://arxiv.org/abs/1612.01543), who weigh weights so; how sensitive the output is, the caller
    /// says ([`Observer::weighted`](crate::Observer::weighted)).
    Sensitivity,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 6] =
        [Self::MinMax, Self::MovingAverage, Self::Percentile, Self::Entropy, Self::Mse, Self::Sensitivity];

    /// As it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::MovingAverage => "moving-average",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
            Self::Sensitivity => "sensitivity",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = CalibError;

    fn from_str(name: &str) -> Result<Self, CalibError> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| CalibError::UnknownMethod(name.to_owned()))
    }
}
