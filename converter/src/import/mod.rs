//! Trained networks from files: any supported container → one float [`Graph`].

mod assemble;
pub mod checkpoint;
mod error;
mod onnx;
mod preset;
mod settings;
mod state_dict;
mod template;

use std::path::Path;

use cardinal_format::Preprocess;
use sha2::{Digest, Sha256};

use self::checkpoint::{Checkpoint, CheckpointError, Weights};
pub use self::error::ImportError;
pub use self::preset::Preset;
pub use self::settings::{ColourSetting, FilterSetting, ResizeSetting, Resolved, Settings};
pub use self::template::template;
use crate::Error;
use crate::architecture::Architecture;
use crate::graph::Graph;

/// A network as it came, and all that is known of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, batch norm folded.
    pub graph: Graph,
    /// How a photograph becomes its image.
    pub preprocess: Preprocess,
    /// Class names, if they are known; as many as classes.
    pub labels: Option<Vec<String>>,
    /// What it is.
    pub summary: Summary,
    /// Whether the file holds averaged weights (EMA) that were not asked for.
    pub leaves_averaged: bool,
    /// The settings that were used, given or by default: importing with them again gives the same graph.
    pub settings: Settings,
    /// Where it came from.
    pub source: SourceFile,
}

/// Identity of the file that was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// File name, without folders.
    pub file: String,
    /// SHA-256 of its bytes, hexadecimal; of an ONNX file with external data, of its bytes and those files' in the order of
    /// their names.
    pub sha256: String,
}

/// What a network is, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary(pub Architecture);

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Architecture { blocks, cardinality, width_per_group } = &self.0;
        let blocks: Vec<String> = blocks.iter().map(usize::to_string).collect();
        let family = if *cardinality == 1 { "ResNet" } else { "ResNeXt" };
        write!(f, "{family}-{} {cardinality}×{width_per_group}d, blocks {}", self.0.depth(), blocks.join("-"))
    }
}

/// Reads a checkpoint file. What the weights cannot tell comes from `given`, then from a TOML file beside the checkpoint
/// (same name, ending `.toml`), then from the ImageNet recipe where the stem is that recipe's.
pub fn read(path: &Path, given: &Settings) -> Result<Imported, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let beside = path.with_extension("toml");
    let settings = match std::fs::read_to_string(&beside) {
        Ok(text) => given.clone().or(Settings::parse(&text, &beside)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => given.clone(),
        Err(error) => return Err(Error::io(beside)(error)),
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    Ok(import(&bytes, &name, folder, &settings)?)
}

/// Reads a checkpoint from memory; an ONNX file must have all its weights in it.
pub fn from_bytes(bytes: &[u8], name: &str, settings: &Settings) -> Result<Imported, ImportError> {
    import(bytes, name, None, settings)
}

fn import(bytes: &[u8], name: &str, folder: Option<&Path>, settings: &Settings) -> Result<Imported, ImportError> {
    let mut external = onnx::External::new(folder);
    let weights = if settings.ema == Some(true) { Weights::Averaged } else { Weights::Trained };
    let (mut parts, leaves_averaged) = match (onnx::looks_like(bytes), weights) {
        (true, Weights::Averaged) => return Err(CheckpointError::NotAveraged { file: name.to_owned() }.into()),
        (true, Weights::Trained) => (onnx::read(bytes, name, &mut external)?, false),
        (false, _) => {
            let checkpoint = Checkpoint::read_weights(bytes, name, weights)?;
            (state_dict::read(&checkpoint, name)?, checkpoint.leaves_averaged())
        }
    };
    let resolved = settings.resolve(&parts)?;
    if resolved.bgr {
        parts.stem.reverse_inputs();
    }
    let (graph, summary) = assemble::graph(parts, &resolved)?;
    let labels = settings.labels.clone();
    if let Some(labels) = &labels
        && labels.len() != graph.classes()
    {
        let (given, needed) = (labels.len(), graph.classes());
        let why = format!("{name}: {given} labels were given, but the network has {needed} classes");
        return Err(ImportError::Settings(why));
    }
    let files: Vec<&[u8]> = std::iter::once(bytes).chain(external.files()).collect();
    let source = SourceFile { file: name.to_owned(), sha256: sha256(&files) };
    let settings = resolved.settings(labels.clone());
    Ok(Imported { graph, preprocess: resolved.preprocess, labels, summary, leaves_averaged, settings, source })
}

/// SHA-256 of the concatenated parts, as lower-case hexadecimal.
pub fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
