//! Why a file is not a ResNeXt that can be converted.

use super::checkpoint::CheckpointError;

/// What is wrong with a checkpoint, an ONNX file or the settings beside it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The container.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The ONNX protobuf.
    #[error("{file}: {why}")]
    Onnx {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The tensors or nodes are not those of a ResNeXt.
    #[error("{file}: {what}: {why}. Supported: ResNeXt and ResNet with bottleneck blocks (1×1, grouped 3×3, 1×1)")]
    Family {
        /// The file.
        file: String,
        /// Key or node.
        what: String,
        /// What does not fit.
        why: String,
    },
    /// A tensor of the right name with the wrong shape or values.
    #[error("{file}: {key}: {why}")]
    Tensor {
        /// The file.
        file: String,
        /// Its name there.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// Settings that are missing, wrong or contradictory.
    #[error("{0}")]
    Settings(String),
}
