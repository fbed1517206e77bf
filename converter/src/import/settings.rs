//! What weights cannot tell: strides, input size, preprocessing, labels.

use std::path::Path;

use cardinal_format::{Colour, Filter, Preprocess, Resize, Window};
use serde::{Deserialize, Serialize};

use super::ImportError;
use super::assemble::Parts;

/// Colour as it is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ColourSetting {
    /// One channel.
    Grey,
    /// Three channels, red first.
    Rgb,
    /// Three channels, blue first, as OpenCV and Caffe have them; mean and deviation are in this order too.
    Bgr,
}

/// Geometry as it is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeSetting {
    /// Stretch to the input size.
    Exact,
    /// Short edge to `resize-short`, then centre crop.
    ShortEdge,
    /// Stretch to a square of `resize-short`, then centre crop.
    Square,
}

/// Filter as it is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FilterSetting {
    /// Triangle, antialiased.
    Bilinear,
    /// Cubic, antialiased.
    Bicubic,
}

/// The file beside a checkpoint, and the flags of `cardinal convert`; both may be partial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Height, width of the network's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<[u32; 2]>,
    /// What the network was trained on; must agree with the stem's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<ColourSetting>,
    /// Stride of the first convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem_stride: Option<u8>,
    /// Whether a 3×3 stride-2 max-pool follows the stem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem_pool: Option<bool>,
    /// Stride of each stage's first block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strides: Option<Vec<u8>>,
    /// Per channel, 0…255 scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Per channel, 0…255 scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// How a photograph reaches the input size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizeSetting>,
    /// Pixels of the short edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_short: Option<u32>,
    /// Resampling filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterSetting>,
    /// Whether to take the file's averaged weights (EMA).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<bool>,
    /// Class names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
}

/// Settings with every question answered.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub(super) input: [u32; 2],
    /// Stem stride, stem pool, stage strides; `None` where the source states its windows itself.
    pub(super) topology: Option<(u8, bool, Vec<u8>)>,
    pub(super) preprocess: Preprocess,
    /// Whether the network reads blue first, where `preprocess` has red first.
    pub(super) bgr: bool,
    ema: Option<bool>,
}

/// mmpretrain's ImageNet normalisation.
pub(super) const IMAGENET_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
pub(super) const IMAGENET_STD: [f32; 3] = [58.395, 57.12, 57.375];

impl Settings {
    /// Reads the TOML file beside a checkpoint.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ImportError> {
        toml::from_str(text).map_err(|error| ImportError::Settings(format!("{}: {error}", path.display())))
    }

    /// These settings, with gaps filled from `other`.
    pub fn or(self, other: Settings) -> Self {
        Settings {
            input: self.input.or(other.input),
            colour: self.colour.or(other.colour),
            stem_stride: self.stem_stride.or(other.stem_stride),
            stem_pool: self.stem_pool.or(other.stem_pool),
            strides: self.strides.or(other.strides),
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            resize: self.resize.or(other.resize),
            resize_short: self.resize_short.or(other.resize_short),
            filter: self.filter.or(other.filter),
            ema: self.ema.or(other.ema),
            labels: self.labels.or(other.labels),
        }
    }

    /// Answers every question for a network, or says which flag is missing.
    pub(super) fn resolve(&self, parts: &Parts) -> Result<Resolved, ImportError> {
        let fail = |why: String| Err(ImportError::Settings(format!("{}: {why}", parts.file)));
        let channels = parts.stem.in_per_group;
        let colour = match channels {
            1 => Colour::Grey,
            3 => Colour::Rgb,
            n => return fail(format!("the network reads {n} channels; images have 1 (grey) or 3 (RGB)")),
        };
        if self.colour.is_some_and(|c| (c == ColourSetting::Grey) != (colour == Colour::Grey)) {
            return fail(format!("colour {:?} was given, but the network reads {channels} channels", self.colour));
        }
        let imagenet = parts.stem.kernel == [7, 7] && colour == Colour::Rgb;
        let need = |flag: &str| {
            ImportError::Settings(format!(
                "{}: the weights do not tell {flag}, and a {}×{} stem is not the ImageNet recipe: give it as a flag, or \
                 in a .toml file beside the checkpoint (see `cardinal convert --help`)",
                parts.file, parts.stem.kernel[0], parts.stem.kernel[1]
            ))
        };
        let default = |value: u32, flag: &str| if imagenet { Ok(value) } else { Err(need(flag)) };

        let stated = parts.input;
        let input = match self.input.or(stated) {
            Some(input) => input,
            None => [default(224, "the input size (--input HEIGHTxWIDTH)")?; 2],
        };
        if stated.is_some_and(|stated| stated != input) {
            return fail(format!("--input {}x{} contradicts the file, which states {stated:?}", input[0], input[1]));
        }
        if input.iter().any(|side| !(1..=4096).contains(side)) {
            return fail(format!("an input of {}×{} is out of range (1 to 4096)", input[0], input[1]));
        }
        let topology = if parts.has_windows {
            None
        } else {
            let stride = match self.stem_stride {
                Some(stride) => stride,
                None => default(2, "the stem's stride (--stem-stride N)")? as u8,
            };
            let pool = match self.stem_pool {
                Some(pool) => pool,
                None => default(1, "whether a max-pool follows the stem (--stem-pool true|false)")? == 1,
            };
            let stages = parts.stages.len();
            let strides =
                self.strides.clone().unwrap_or_else(|| (0..stages).map(|i| if i == 0 { 1 } else { 2 }).collect());
            if strides.len() != stages {
                return fail(format!(
                    "{} stage strides were given, but the network has {stages} stages",
                    strides.len()
                ));
            }
            if stride == 0 || strides.contains(&0) {
                return fail("a stride of 0 is not possible".into());
            }
            Some((stride, pool, strides))
        };

        let bgr = self.colour == Some(ColourSetting::Bgr);
        let per_channel = |given: &Option<Vec<f32>>, standard: [f32; 3], flag: &str| {
            let values = match given {
                Some(values) if bgr => values.iter().rev().copied().collect(),
                Some(values) => values.clone(),
                None if imagenet => standard.to_vec(),
                None => return Err(need(flag)),
            };
            if values.len() != channels as usize || values.iter().any(|v| !v.is_finite()) {
                return Err(ImportError::Settings(format!(
                    "{}: {flag} needs {channels} finite numbers on the 0…255 scale",
                    parts.file
                )));
            }
            let mut filled = [0.0; 4];
            filled[..values.len()].copy_from_slice(&values);
            Ok(filled)
        };
        let mean = per_channel(&self.mean, IMAGENET_MEAN, "--mean")?;
        let std = per_channel(&self.std, IMAGENET_STD, "--std")?;
        if std[..channels as usize].iter().any(|&s| s <= 0.0) {
            return fail("--std must be above 0 in every channel".into());
        }
        let resize = match self.resize.unwrap_or(ResizeSetting::ShortEdge) {
            ResizeSetting::Exact => Resize::Exact,
            cropped @ (ResizeSetting::ShortEdge | ResizeSetting::Square) => {
                // 256 for 224, as the ImageNet recipe has it; small inputs are used whole.
                let largest = input[0].max(input[1]);
                let standard = if imagenet { (largest * 8).div_ceil(7) } else { largest };
                let edge = self.resize_short.unwrap_or(standard);
                if edge < largest {
                    return fail(format!(
                        "--resize-short {edge} is smaller than the input ({}×{})",
                        input[0], input[1]
                    ));
                }
                if cropped == ResizeSetting::Square { Resize::Square(edge) } else { Resize::ShortEdge(edge) }
            }
        };
        let filter = match self.filter {
            Some(FilterSetting::Bicubic) => Filter::Bicubic,
            _ => Filter::Bilinear,
        };
        let preprocess = Preprocess { colour, resize, filter, mean, std };
        Ok(Resolved { input, topology, preprocess, bgr, ema: self.ema })
    }
}

impl Resolved {
    /// The same answers as settings, complete.
    pub(super) fn settings(&self, labels: Option<Vec<String>>) -> Settings {
        let channels = self.preprocess.colour.channels() as usize;
        let (resize, resize_short) = match self.preprocess.resize {
            Resize::Exact => (ResizeSetting::Exact, None),
            Resize::ShortEdge(edge) => (ResizeSetting::ShortEdge, Some(edge)),
            Resize::Square(edge) => (ResizeSetting::Square, Some(edge)),
        };
        let (stem_stride, stem_pool, strides) = match self.topology.clone() {
            Some((stride, pool, strides)) => (Some(stride), Some(pool), Some(strides)),
            None => (None, None, None),
        };
        let in_order = |values: &[f32; 4]| {
            let mut values = values[..channels].to_vec();
            if self.bgr {
                values.reverse();
            }
            Some(values)
        };
        Settings {
            input: Some(self.input),
            colour: Some(match (channels, self.bgr) {
                (1, _) => ColourSetting::Grey,
                (_, true) => ColourSetting::Bgr,
                (_, false) => ColourSetting::Rgb,
            }),
            stem_stride,
            stem_pool,
            strides,
            mean: in_order(&self.preprocess.mean),
            std: in_order(&self.preprocess.std),
            resize: Some(resize),
            resize_short,
            filter: Some(match self.preprocess.filter {
                Filter::Bilinear => FilterSetting::Bilinear,
                Filter::Bicubic => FilterSetting::Bicubic,
            }),
            ema: self.ema,
            labels,
        }
    }
}

/// A square window with the padding that keeps the size at stride 1.
pub(super) fn same_window(kernel: [u8; 2], stride: u8) -> Window {
    let [h, w] = [kernel[0] / 2, kernel[1] / 2];
    Window { kernel, stride: [stride; 2], padding: [h, w, h, w] }
}
