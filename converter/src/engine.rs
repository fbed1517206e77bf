//! One network behind either engine: the same pixels in, the same logits out.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cardinal_format::layout::MAGIC;
use cardinal_format::{Preprocess, Shape};
use cardinal_runtime::{Mapped, Model};
use cardinal_tract::FloatModel;
use serde::{Deserialize, Serialize};

use crate::convert::Provenance;
use crate::equalize::ChannelFactors;
use crate::features::Map;
use crate::host;
use crate::images::normalise_chw;
use crate::import::{self, Imported, Settings, sha256};
use crate::qdq::{Qdq, qdq};
use crate::{Error, labels};

/// What runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// cardinal-runtime: the int8 kernels. Runs .cardinal files
    Cardinal,
    /// tract: float32. Runs checkpoints, and .cardinal files as a graph of dequantized weights (QDQ)
    Tract,
}

/// The numbers that a network computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// cardinal-runtime on a `.cardinal` file.
    Int8,
    /// tract on a `.cardinal` file: float32 sums of dequantized weights, rounded to the same codes after each layer.
    Qdq,
    /// tract on a checkpoint.
    Float32,
}

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Arithmetic::Int8 => "int8",
            Arithmetic::Qdq => "qdq",
            Arithmetic::Float32 => "float32",
        })
    }
}

/// A file that a network can be made of.
pub enum ModelFile {
    /// A `.cardinal` file's path and bytes.
    Cardinal(PathBuf, Mapped),
    /// A checkpoint, read.
    Checkpoint(Box<Imported>),
}

impl ModelFile {
    /// Reads a file: a `.cardinal` file if it starts or is named like one, else a checkpoint with these settings.
    ///
    /// # Errors
    /// The file cannot be read, or is no checkpoint, or settings were given for a `.cardinal` file, which has its own.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let mut start = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(Error::io(path))?;
        if start != MAGIC && path.extension().is_none_or(|extension| extension != "cardinal") {
            return Ok(ModelFile::Checkpoint(Box::new(import::read(path, settings)?)));
        }
        if *settings != Settings::default() {
            return Err(Error::Usage(format!(
                "{}: a .cardinal file has its own settings; flags for a checkpoint do not apply",
                path.display()
            )));
        }
        Ok(ModelFile::Cardinal(path.into(), Mapped::open(path).map_err(Error::io(path))?))
    }

    /// The network, for an engine or for the one that the file is made for.
    ///
    /// # Errors
    /// The file is damaged, or the engine cannot run it.
    pub fn network(&self, engine: Option<Engine>) -> Result<Network<'_>, Error> {
        match self {
            ModelFile::Cardinal(path, bytes) => {
                let model = host::open(bytes).map_err(Error::model(path))?;
                match engine {
                    Some(Engine::Tract) => Network::qdq(model),
                    Some(Engine::Cardinal) | None => Ok(Network::int8(model)),
                }
            }
            ModelFile::Checkpoint(imported) if engine == Some(Engine::Cardinal) => Err(Error::Usage(format!(
                "{}: --engine cardinal runs .cardinal files: convert the checkpoint first, or say --engine tract",
                imported.source.file
            ))),
            ModelFile::Checkpoint(imported) => Network::float32(imported),
        }
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> String {
        match self {
            ModelFile::Cardinal(_, bytes) => sha256(&[bytes]),
            ModelFile::Checkpoint(imported) => imported.source.sha256.clone(),
        }
    }

    /// Bytes of the file; of a checkpoint, of its parameters in float32.
    pub fn bytes(&self) -> usize {
        match self {
            ModelFile::Cardinal(_, bytes) => bytes.len(),
            ModelFile::Checkpoint(imported) => 4 * imported.graph.cost().1 as usize,
        }
    }
}

/// What the file says about its making, if it was made by this program.
fn provenance(model: &Model<'_>) -> Option<Provenance> {
    serde_json::from_str(model.file().provenance()).ok()
}

/// A network ready to run.
pub struct Network<'m> {
    /// Height, width and channels of the image.
    pub image: Shape,
    /// How a photograph becomes the image.
    pub preprocess: Preprocess,
    /// Number of classes.
    pub classes: usize,
    /// Class names; none, or one a class.
    pub labels: Vec<String>,
    /// The settings that it was imported with; none if its file does not say.
    pub settings: Settings,
    /// What the file's layers are scaled by inside, beyond their scales; see
    /// [`equalize`](crate::equalize). Values that are shown are without it.
    factors: ChannelFactors,
    /// What the images used for calibration are known by ([`image_digest`](crate::calibrate::image_digest)).
    pub calibration_images: HashSet<String>,
    runs: Runs<'m>,
}

enum Runs<'m> {
    Int8(Model<'m>),
    Tract(Box<InTract>),
}

struct InTract {
    model: FloatModel,
    arithmetic: Arithmetic,
    /// Mean and deviation that make the model's input of pixels.
    input: Preprocess,
    /// What the model observes.
    layers: Vec<(String, Shape)>,
}

impl<'m> Network<'m> {
    /// A `.cardinal` file in the int8 kernels.
    pub fn int8(model: Model<'m>) -> Self {
        Self::of_file(model, Runs::Int8(model))
    }

    /// A `.cardinal` file in tract.
    ///
    /// # Errors
    /// As [`qdq()`].
    pub fn qdq(model: Model<'m>) -> Result<Self, Error> {
        let Qdq { model: graph, input, layers } = qdq(&model)?;
        Ok(Self::of_file(
            model,
            Runs::Tract(Box::new(InTract { model: graph, arithmetic: Arithmetic::Qdq, input, layers })),
        ))
    }

    fn of_file(model: Model<'m>, runs: Runs<'m>) -> Self {
        let provenance = provenance(&model);
        Network {
            image: model.image(),
            preprocess: *model.preprocess(),
            classes: model.classes(),
            labels: model.file().labels().map(str::to_owned).collect(),
            settings: provenance.as_ref().map_or_else(Settings::default, |p| p.settings.clone()),
            factors: provenance.as_ref().map_or_else(ChannelFactors::default, |p| p.channel_factors.clone()),
            calibration_images: provenance.iter().flat_map(Provenance::calibration_images).map(str::to_owned).collect(),
            runs,
        }
    }

    /// A checkpoint in tract. Without labels of its own, 1,000 classes are ImageNet-1k's.
    ///
    /// # Errors
    /// What tract says.
    pub fn float32(imported: &Imported) -> Result<Self, Error> {
        let (graph, preprocess) = (&imported.graph, imported.preprocess);
        let shapes = graph.sized()?;
        let layers = graph.observed().into_iter().map(|i| (graph.layers[i].name.clone(), shapes[i])).collect();
        let model = graph.float_model()?;
        let by_default = || labels::by_default(graph.classes(), &[]);
        Ok(Network {
            image: graph.image,
            preprocess,
            classes: graph.classes(),
            labels: imported.labels.clone().unwrap_or_else(by_default),
            settings: imported.settings.clone(),
            factors: ChannelFactors::default(),
            calibration_images: HashSet::new(),
            runs: Runs::Tract(Box::new(InTract { model, arithmetic: Arithmetic::Float32, input: preprocess, layers })),
        })
    }

    /// What it computes with.
    pub fn arithmetic(&self) -> Arithmetic {
        match &self.runs {
            Runs::Int8(_) => Arithmetic::Int8,
            Runs::Tract(tract) => tract.arithmetic,
        }
    }

    /// Height and width of the image.
    pub fn input(&self) -> [u32; 2] {
        [self.image.height, self.image.width]
    }

    /// Layers whose outputs can be had, in running order.
    pub fn layers(&self) -> Vec<&str> {
        match &self.runs {
            Runs::Int8(model) => {
                model.file().ops().filter(|(_, op)| op.output().is_some()).map(|(name, _)| name).collect()
            }
            Runs::Tract(tract) => tract.layers.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// What runs one image at a time; one per thread.
    pub fn runner(&self) -> Runner<'_, 'm> {
        match &self.runs {
            Runs::Int8(model) => Runner(Running::Int8(host::Runner::new(*model)), &self.factors),
            Runs::Tract(tract) => Runner(Running::Tract(tract, self.input()), &self.factors),
        }
    }
}

/// A [`Network`] with the memory that it needs.
pub struct Runner<'n, 'm>(Running<'n, 'm>, &'n ChannelFactors);

enum Running<'n, 'm> {
    Int8(host::Runner<'m>),
    Tract(&'n InTract, [u32; 2]),
}

impl Runner<'_, '_> {
    /// Divides int8 layers between so many threads of rayon's pool, where there is only one image at a time.
    pub fn with_threads(self, threads: usize) -> Self {
        match self.0 {
            Running::Int8(runner) => Runner(Running::Int8(runner.with_threads(threads)), self.1),
            tract => Runner(tract, self.1),
        }
    }

    /// Logits of one image, height × width × channels bytes as [`crate::images::prepare`] makes them.
    ///
    /// # Errors
    /// What the engine says.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, Error> {
        match &mut self.0 {
            Running::Int8(runner) => runner.logits(pixels).map_err(Error::model("the model")),
            Running::Tract(tract, size) => Ok(tract.model.run(&normalise_chw(pixels, &tract.input, *size))?),
        }
    }

    /// Logits of one image, and the output of `layer` on the way; empty if there is no such layer.
    ///
    /// # Errors
    /// What the engine says.
    pub fn logits_and_map(&mut self, pixels: &[u8], layer: &str) -> Result<(Vec<f32>, Map), Error> {
        if let Running::Int8(runner) = &mut self.0 {
            let (logits, mut map) = runner.logits_and_map(pixels, layer).map_err(Error::model("the model"))?;
            self.1.remove(layer, &mut map.values);
            return Ok((logits, map));
        }
        let mut map = Map::default();
        let logits = self.observe(pixels, |name, shape, values| {
            if name == layer {
                let shape = [shape.channels, shape.height, shape.width].map(|side| side as usize);
                map = Map { shape, values: values.to_vec() };
            }
        })?;
        Ok((logits, map))
    }

    /// Logits of one image. `show` gets every layer's name, extent and output on the way, `[channels][height][width]` in
    /// real units.
    ///
    /// # Errors
    /// What the engine says.
    pub fn observe(&mut self, pixels: &[u8], mut show: impl FnMut(&str, Shape, &[f32])) -> Result<Vec<f32>, Error> {
        let factors = self.1;
        let mut show = |name: &str, shape: Shape, values: &[f32]| {
            if factors.has(name) {
                let mut values = values.to_vec();
                factors.remove(name, &mut values);
                show(name, shape, &values);
            } else {
                show(name, shape, values);
            }
        };
        match &mut self.0 {
            Running::Int8(runner) => runner.observe(pixels, show).map_err(Error::model("the model")),
            Running::Tract(tract, size) => {
                let show = |i: usize, values: &[f32]| {
                    if let Some((name, shape)) = tract.layers.get(i) {
                        show(name, *shape, values);
                    }
                };
                Ok(tract.model.run_observed(&normalise_chw(pixels, &tract.input, *size), show)?)
            }
        }
    }
}
