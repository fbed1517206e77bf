//! What a float network was recorded to say, by `tests/reference/record.py`, whose `--help` describes the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cardinal_format::{Colour, Filter, Preprocess, Resize};
use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Error;
use crate::engine::Network;
use crate::images::Dataset;
use crate::import::{ColourSetting, FilterSetting, ResizeSetting, Settings, sha256};

/// A recording, read.
pub struct Recording {
    path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Classes of the network.
    pub classes: usize,
    logits: Vec<f32>,
    labels: Vec<usize>,
    digests: Vec<[u8; 32]>,
    /// Images that the layers were recorded of.
    pub sampled: Vec<usize>,
    layers: BTreeMap<String, Layer>,
    meta: Meta,
}

/// A layer's outputs for all sampled images, `[image][height][width][channels]`.
struct Layer {
    /// Height, width, channels.
    shape: [usize; 3],
    values: Vec<f16>,
}

/// The part of the entry `meta` that is held against the model.
#[derive(Deserialize)]
struct Meta {
    preprocessing: Settings,
    names: Vec<String>,
}

/// Bytes of a header that are looked at; as for checkpoints.
const MAX_HEADER: u64 = 16 << 20;

/// Whether a file is a recording and no checkpoint: safetensors with the names that only recordings have.
///
/// # Errors
/// The file cannot be read.
pub fn is_recording(path: &Path) -> Result<bool, Error> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut start = Vec::new();
    file.by_ref().take(8).read_to_end(&mut start).map_err(Error::io(path))?;
    let Some(length) = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).filter(|&n| n <= MAX_HEADER) else {
        return Ok(false);
    };
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(Error::io(path))?;
    let names: Option<BTreeMap<String, IgnoredAny>> = serde_json::from_slice(&header).ok();
    Ok(names.is_some_and(|names| names.contains_key("image_sha256") || names.contains_key("sampled")))
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is not what `record.py` writes.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::parse(path, &bytes).map_err(|why| {
            Error::Usage(format!("{}: is no whole recording: {why}; record again (record.py --out)", path.display()))
        })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let meta = header.metadata().as_ref().and_then(|entries| entries.get("meta"));
        let meta = meta.ok_or("it has no metadata entry `meta`")?;
        let meta: Meta = serde_json::from_str(meta).map_err(|error| format!("its `meta`: {error}"))?;
        let file = Tensors(SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?);

        let (shape, data) = file.tensor("logits", Dtype::F32)?;
        let Some((images, classes)) = table(&shape) else {
            return Err("`logits` is no table of images and classes".into());
        };
        let logits: Vec<f32> = data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(format!("the logits of image {} are not finite", at / classes));
        }
        let labels = file.numbers("labels", classes)?;
        let sampled = file.numbers("sampled", images)?;
        let (shape, data) = file.tensor("image_sha256", Dtype::U8)?;
        if shape != [images, 32] || labels.len() != images || meta.names.len() != images {
            return Err(format!("it has logits of {images} images, but not as many labels, names and digests"));
        }
        let digests = data.as_chunks().0.to_vec();
        let mut layers = BTreeMap::new();
        for name in file.0.names() {
            let Some(layer) = name.strip_prefix("layer.") else { continue };
            let (shape, data) = file.tensor(name, Dtype::F16)?;
            let [count, height, width, channels] = shape[..] else {
                return Err(format!("`{name}` does not have four dimensions"));
            };
            if count != sampled.len() {
                return Err(format!("`{name}` is of {count} images, but {} were sampled", sampled.len()));
            }
            let values = data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes)).collect();
            layers.insert(layer.to_owned(), Layer { shape: [height, width, channels], values });
        }
        let sha256 = sha256(&[bytes]);
        Ok(Recording { path: path.into(), sha256, classes, logits, labels, digests, sampled, layers, meta })
    }

    /// The float network's logits for an image.
    ///
    /// # Panics
    /// If there is no such image; [`check`](Self::check) tells.
    pub fn logits(&self, index: usize) -> &[f32] {
        &self.logits[index * self.classes..][..self.classes]
    }

    /// A layer's output for the sampled image of this number, `[channels][height][width]`, and its height, width and
    /// channels; `None` if it was not recorded.
    pub fn layer(&self, name: &str, sample: usize) -> Option<([usize; 3], Vec<f32>)> {
        let layer = self.layers.get(name)?;
        let [height, width, channels] = layer.shape;
        let size = height * width;
        let values = layer.values.get(sample * size * channels..)?.get(..size * channels)?;
        let plane = |c: usize| (0..size).map(move |pixel| values[pixel * channels + c].to_f32());
        Some((layer.shape, (0..channels).flat_map(plane).collect()))
    }

    /// Whether a recording is of this network's kind and of as many images.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, network: &Network<'_>, images: &Dataset) -> Result<(), Error> {
        let fail = |why: String| Err(Error::Usage(format!("{}: {why}", self.path.display())));
        if self.classes != network.classes {
            let (theirs, ours) = (self.classes, network.classes);
            return fail(format!("is of another network: it has {theirs} classes, the model {ours}"));
        }
        if self.labels.len() != images.len() {
            return fail(format!(
                "records {} images, but --data has {}: give the images that were recorded, or record again",
                self.labels.len(),
                images.len()
            ));
        }
        let files = (0..images.len()).any(|index| images.file(index).is_some());
        match differs(&self.meta.preprocessing, &network.preprocess, network.input(), files) {
            Some(what) => fail(format!(
                "was recorded with another {what} than the model has: record with the model's preprocessing (`cardinal \
                 inspect` shows it), or convert with the recording's"
            )),
            None => Ok(()),
        }
    }

    /// Whether an image is the one that was recorded. `pixels` are as the network reads them, `class` as it counts.
    ///
    /// # Errors
    /// It is another picture or has another label; with its name, and what to do.
    pub fn check_image(&self, images: &Dataset, index: usize, pixels: &[u8], class: usize) -> Result<(), Error> {
        let fail = |why: String| Err(Error::Usage(format!("{}: {why}", images.name(index))));
        // As record.py has it: of a file its bytes, of a mosaic's tile its pixels.
        let digest = match images.file(index) {
            Some(path) => sha256(&[&std::fs::read(path).map_err(Error::io(path))?]),
            None => sha256(&[pixels]),
        };
        let hex = |digest: &[u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let recorded = &self.meta.names[index];
        if hex(&self.digests[index]) != digest {
            return match self.digests.iter().position(|other| hex(other) == digest) {
                Some(at) => fail(format!(
                    "is image {index} here, but image {at} of {}, which has {recorded} in its place: give the images in \
                     the order that was recorded",
                    self.path.display()
                )),
                None => fail(format!(
                    "is not the picture that {} has in its place ({recorded}), or reaches the network with other \
                     pixels: give the images that were recorded and a model of the same preprocessing, or record again",
                    self.path.display()
                )),
            };
        }
        match self.labels[index] {
            label if label == class => Ok(()),
            label => fail(format!(
                "has class {class} here, but class {label} in {}: give the same labels, or record again",
                self.path.display()
            )),
        }
    }
}

/// Rows and columns; at least one column.
fn table(shape: &[usize]) -> Option<(usize, usize)> {
    match *shape {
        [rows, columns] if columns > 0 => Some((rows, columns)),
        _ => None,
    }
}

/// The tensors, with errors that name them.
struct Tensors<'a>(SafeTensors<'a>);

impl<'a> Tensors<'a> {
    fn tensor(&self, name: &str, dtype: Dtype) -> Result<(Vec<usize>, &'a [u8]), String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("it has no `{name}`"))?;
        match tensor.dtype() {
            found if found == dtype => Ok((tensor.shape().to_vec(), tensor.data())),
            found => Err(format!("`{name}` is of type {found}, not {dtype}")),
        }
    }

    /// Whole numbers below `limit`.
    fn numbers(&self, name: &str, limit: usize) -> Result<Vec<usize>, String> {
        let (_, data) = self.tensor(name, Dtype::I32)?;
        let number = |&bytes| usize::try_from(i32::from_le_bytes(bytes)).ok().filter(|&number| number < limit);
        let numbers: Option<Vec<usize>> = data.as_chunks().0.iter().map(number).collect();
        numbers.ok_or_else(|| format!("`{name}` has a number that is not from 0 to {}", limit.saturating_sub(1)))
    }
}

/// The first part of the preprocessing that differs; a part that is not recorded does not. How a photograph reaches the
/// input size counts for `files` only: a mosaic's tiles have that size, and their pixels are compared themselves.
fn differs(recorded: &Settings, model: &Preprocess, input: [u32; 2], files: bool) -> Option<&'static str> {
    let grey = recorded.colour.is_some_and(|colour| (colour == ColourSetting::Grey) != (model.colour == Colour::Grey));
    let filter = match model.filter {
        Filter::Bilinear => FilterSetting::Bilinear,
        Filter::Bicubic => FilterSetting::Bicubic,
    };
    let (resize, edge) = match model.resize {
        Resize::Exact => (ResizeSetting::Exact, None),
        Resize::ShortEdge(edge) => (ResizeSetting::ShortEdge, Some(edge)),
        Resize::Square(edge) => (ResizeSetting::Square, Some(edge)),
    };
    let channels = model.colour.channels() as usize;
    let blue_first = recorded.colour == Some(ColourSetting::Bgr);
    let values = |recorded: &Option<Vec<f32>>, model: &[f32; 4]| {
        let Some(mut recorded) = recorded.clone() else { return false };
        // A model always has red first.
        if blue_first {
            recorded.reverse();
        }
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
        recorded.len() != channels || !recorded.iter().zip(model).all(close)
    };
    match () {
        () if recorded.input.is_some_and(|size| size != input) => Some("input size"),
        () if grey => Some("colour"),
        () if values(&recorded.mean, &model.mean) => Some("mean"),
        () if values(&recorded.std, &model.std) => Some("deviation (std)"),
        () if files && recorded.resize.is_some_and(|how| how != resize) => Some("resize"),
        () if files && edge.is_some() && recorded.resize_short.is_some_and(|short| Some(short) != edge) => {
            Some("resize-short")
        }
        () if files && recorded.filter.is_some_and(|other| other != filter) => Some("filter"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preprocessing_that_differs_is_named() {
        let (mean, std) = ([10.0, 20.0, 30.0, 0.0], [2.0, 4.0, 8.0, 0.0]);
        let resize = Resize::ShortEdge(36);
        let model = Preprocess { colour: Colour::Rgb, resize, filter: Filter::Bilinear, mean, std };
        let same = r#"{"input": [32, 32], "colour": "rgb", "resize": "short-edge", "resize-short": 36,
            "filter": "bilinear", "mean": [10.0, 20.0, 30.0], "std": [2.0, 4.0, 8.0]}"#;
        let of = |text: &str, files| {
            let recorded: Settings = serde_json::from_str(text).expect("settings");
            differs(&recorded, &model, [32, 32], files)
        };
        assert_eq!(of(same, true), None);
        assert_eq!(of("{}", true), None);
        for (from, to, what) in [
            ("[32, 32]", "[32, 33]", "input size"),
            ("\"rgb\"", "\"grey\"", "colour"),
            ("\"rgb\"", "\"bgr\"", "mean"),
            ("20.0, 30.0", "20.0, 30.1", "mean"),
            ("10.0, 20.0, 30.0", "10.0", "mean"),
            ("8.0", "8.1", "deviation (std)"),
        ] {
            assert_eq!(of(&same.replace(from, to), false), Some(what), "{to}");
        }
        for (from, to, what) in
            [("short-edge", "exact", "resize"), (": 36", ": 35", "resize-short"), ("bilinear", "bicubic", "filter")]
        {
            assert_eq!(of(&same.replace(from, to), true), Some(what), "{to}");
            assert_eq!(of(&same.replace(from, to), false), None, "{to}");
        }
        let bgr =
            same.replace("rgb", "bgr").replace("10.0, 20.0, 30.0", "30, 20, 10").replace("2.0, 4.0, 8.0", "8, 4, 2");
        assert_eq!(of(&bgr, true), None);
    }
}
