//! Checkpoints: a trained network's float tensors by name, whatever container they came in.
//!
//! | container | written by | recognised by |
//! |---|---|---|
//! | zip archive | `torch.save` since PyTorch 1.6 | `PK` |
//! | pickle stream | `torch.save` before 1.6, or with the zip form turned off | a pickle, of PyTorch's magic number |
//! | safetensors | `safetensors.torch.save_file` | a header length, then `{` |
//!
//! The container is told from the bytes, never from the file's extension. Pickles are read by a reader which
//! builds plain values and executes nothing; whatever a file declares is checked against the bytes it holds before
//! anything is allocated for it.

mod dtype;
mod error;
mod limits;
mod meta;
mod pickle;
mod safetensors;
mod sniff;
mod state_dict;
mod storage;
mod torch_legacy;
mod torch_zip;

use std::collections::BTreeMap;

pub use self::error::CheckpointError;
use self::sniff::Container;

/// A row-major float32 tensor.
///
/// float16, bfloat16, float64, integer and boolean tensors are converted on reading. Every float16, bfloat16, 8-bit
/// and 16-bit value is exact in float32; float64 and wider integers are rounded to nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, last dimension fastest; their number is the product of `shape`.
    pub data: Vec<f32>,
}

/// The named tensors of a checkpoint, and its plain metadata.
///
/// Keys are those of the file, unchanged: a prefix such as `module.` or `backbone.` is for the caller to interpret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Tensor>,
    meta: BTreeMap<String, String>,
    leaves_averaged: bool,
}

/// Which of the copies of its weights that a checkpoint can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Those that the program which saved them would test.
    Trained,
    /// Their exponential moving average (EMA): timm's `state_dict_ema`, torchvision's `model_ema`. In mmengine's files
    /// the average is the `state_dict` itself, and `ema_state_dict` holds what it was averaged from.
    Averaged,
}

impl Checkpoint {
    /// Reads a checkpoint from the whole contents of a file.
    ///
    /// From a pickled checkpoint the tensors are those of its state dict: the first of the entries `state_dict`,
    /// `model_state_dict`, `model`, `net`, `state_dict_ema`, `model_ema` and `ema_state_dict` that holds tensors,
    /// otherwise the top level itself. Entries that are not tensors are left out.
    ///
    /// `file_name` only serves error messages.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] if the bytes are no checkpoint, are damaged or incomplete, hold no state dict, ask for a
    /// call that no checkpoint needs, or declare more than the file's length can account for. Reading neither
    /// panics nor executes anything, whatever the bytes are, and takes memory in proportion to the file.
    pub fn read(bytes: &[u8], file_name: &str) -> Result<Self, CheckpointError> {
        Self::read_weights(bytes, file_name, Weights::Trained)
    }

    /// As [`Checkpoint::read`], but of these weights.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::read`], and if the file has no weights of that kind.
    pub fn read_weights(bytes: &[u8], file_name: &str, weights: Weights) -> Result<Self, CheckpointError> {
        match (sniff::container(bytes, file_name)?, weights) {
            (Container::TorchZip, _) => torch_zip::read(bytes, file_name, weights),
            (Container::TorchLegacy, _) => torch_legacy::read(bytes, file_name, weights),
            (Container::Safetensors, Weights::Trained) => safetensors::read(bytes, file_name),
            (Container::Safetensors, Weights::Averaged) => {
                Err(CheckpointError::NotAveraged { file: file_name.to_owned() })
            }
        }
    }

    /// Whether the file holds averaged weights that were not read.
    #[must_use]
    pub fn leaves_averaged(&self) -> bool {
        self.leaves_averaged
    }

    /// The tensor named `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// The names of all tensors, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors with their names, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(key, tensor)| (key.as_str(), tensor))
    }

    /// The number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor at all. [`Checkpoint::read`] never returns such a checkpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The checkpoint's plain metadata.
    ///
    /// From a pickled checkpoint: the numbers, booleans and strings at its top level and, under dotted keys, those
    /// in its `meta` entry, for example `meta.dataset_meta.classes`; a list of them is written as a JSON array. From
    /// safetensors: `__metadata__`. Anything past 1 MiB in all is left out.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.meta
    }
}

impl FromIterator<(String, Tensor)> for Checkpoint {
    /// A checkpoint of the given tensors, without metadata.
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_iter().collect(), ..Self::default() }
    }
}
