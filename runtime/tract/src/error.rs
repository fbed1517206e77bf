/// Why a model could not be built, read or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TractError {
    /// A layer given to [`Builder`](crate::Builder) does not fit its input, or its slices do not have its sizes.
    #[error("layer `{node}`: {reason}")]
    Layer {
        /// Name of the layer, as the caller gave it.
        node: String,
        /// What does not fit, with both sizes.
        reason: String,
    },
    /// tract refused to prepare or to run a graph.
    #[error("`{node}`: tract: {reason}")]
    Tract {
        /// Layer or model at which tract stopped; tract's own message names the node where it knows one.
        node: String,
        /// tract's message, outermost cause first.
        reason: String,
    },
    /// An image has the wrong number of values.
    #[error("the image has {found} values, the model reads {expected}")]
    Image {
        /// Values that the model reads: channels · height · width.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
    /// The bytes given to [`decode`](crate::decode) are no ONNX file.
    #[error("not an ONNX file: {reason}")]
    Encoding {
        /// Where the decoder stopped, and why.
        reason: String,
    },
    /// An ONNX file is damaged, or is none that this crate executes.
    #[error("`{name}`: {reason}")]
    Onnx {
        /// Name of the file, as the caller gave it.
        name: String,
        /// What is wrong, with the node or tensor where it is known.
        reason: String,
    },
}

impl TractError {
    /// The error of a layer whose sizes do not fit.
    pub(crate) fn layer(node: &str, reason: impl Into<String>) -> Self {
        Self::Layer { node: node.to_owned(), reason: reason.into() }
    }

    /// An adapter for `map_err` on tract's results; `{:#}` keeps tract's whole chain of causes.
    pub(crate) fn tract(node: &str) -> impl FnOnce(tract_core::prelude::TractError) -> Self {
        move |error| Self::Tract { node: node.to_owned(), reason: format!("{error:#}") }
    }
}
