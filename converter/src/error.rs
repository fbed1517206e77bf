//! Why a command failed, in words for the person who gave it.

use std::path::PathBuf;

use cardinal_calib::CalibError;
use cardinal_format::FormatError;
use cardinal_runtime::RuntimeError;
use cardinal_tract::TractError;

use crate::images::ImageError;
use crate::import::ImportError;

/// Any failure of the converter. Every message names the file, layer or value, and what to do where that is not plain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The checkpoint is not a ResNeXt that can be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A folder or an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The float model failed.
    #[error("the float model: {0}")]
    Float(#[from] TractError),
    /// A layer's numbers cannot be quantized.
    #[error("layer {layer}: {cause}")]
    Quantize {
        /// The layer.
        layer: String,
        /// Why.
        cause: CalibError,
    },
    /// A `.cardinal` file.
    #[error("{}: {cause}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: RuntimeError,
    },
    /// The network that was asked for does not fit the format.
    #[error("this network cannot be written as a .cardinal file: {0}")]
    Write(FormatError),
    /// One layer of it does not.
    #[error("layer {layer} cannot be written to a .cardinal file: {cause}; its weights are too large or too small")]
    WriteLayer {
        /// The layer.
        layer: String,
        /// Why.
        cause: FormatError,
    },
    /// A network was read, but cannot be converted.
    #[error("{file}: {cause}")]
    Network {
        /// The file that it came from.
        file: String,
        /// Why.
        cause: Box<Error>,
    },
    /// Options or inputs that contradict each other.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// As it is, but with the file that the network came from where it is the network that is at fault.
    pub(crate) fn of_network(self, file: &str) -> Error {
        match self {
            Error::Float(_) | Error::Quantize { .. } | Error::Write(_) | Error::WriteLayer { .. } => {
                Error::Network { file: file.to_owned(), cause: Box::new(self) }
            }
            other => other,
        }
    }

    /// For `map_err` on file operations.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |cause| Error::Io { path, cause }
    }

    /// For `map_err` on reading a model.
    pub fn model(path: impl Into<PathBuf>) -> impl FnOnce(RuntimeError) -> Error {
        let path = path.into();
        move |cause| Error::Model { path, cause }
    }
}
