//! Flags for what weights cannot tell.

use std::path::Path;

use cardinal_converter::Error;
use cardinal_converter::engine::Engine;
use cardinal_converter::import::{ColourSetting, FilterSetting, Preset, ResizeSetting, Settings};
use cardinal_converter::labels::imagenet_1k_names;
use clap::Args;

/// Which engine.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct EngineArg {
    /// What runs the network; default: what the file is made for
    #[arg(long, value_enum)]
    pub(super) engine: Option<Engine>,
}

/// The same keys as in the .toml file beside a checkpoint; flags win.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What the weights cannot tell (or in CHECKPOINT's .toml; defaults: the ImageNet recipe)")]
pub(super) struct SettingsArgs {
    /// Preprocessing by name; other flags win over its parts
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// Input size of the network
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size)]
    input: Option<[u32; 2]>,
    /// Order of the channels that the network was trained with; --mean and --std are in it too
    #[arg(long, value_name = "ORDER")]
    colour: Option<ColourSetting>,
    /// Stride of the first convolution
    #[arg(long, value_name = "N")]
    stem_stride: Option<u8>,
    /// Whether a 3×3 max-pool follows it
    #[arg(long, value_name = "BOOL")]
    stem_pool: Option<bool>,
    /// Stride of each stage, as 1,2,2,2
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    strides: Option<Vec<u8>>,
    /// Mean per channel, on the 0…255 scale
    #[arg(long, value_name = "X,…", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviation per channel, on the 0…255 scale
    #[arg(long, value_name = "X,…", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// How a photograph reaches the input size
    #[arg(long, value_name = "HOW")]
    resize: Option<ResizeSetting>,
    /// Pixels of the short edge (or of the square's sides) before the centre crop
    #[arg(long, value_name = "N")]
    resize_short: Option<u32>,
    /// Resampling filter
    #[arg(long, value_name = "FILTER")]
    filter: Option<FilterSetting>,
    /// Take the file's averaged weights (EMA)
    #[arg(long)]
    ema: bool,
    /// Class names: a text file with one a line, a JSON array, a,b,c, or `imagenet-1k`; default: the folders of --calib,
    /// and of 1,000 classes ImageNet's
    #[arg(long, value_name = "FILE")]
    labels: Option<String>,
}

impl SettingsArgs {
    /// Reads the label file, if there is one.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let flags = Settings {
            input: self.input,
            colour: self.colour,
            stem_stride: self.stem_stride,
            stem_pool: self.stem_pool,
            strides: self.strides.clone(),
            mean: self.mean.clone(),
            std: self.std.clone(),
            resize: self.resize,
            resize_short: self.resize_short,
            filter: self.filter,
            ema: self.ema.then_some(true),
            labels: self.labels.as_deref().map(labels).transpose()?,
        };
        let mut preset = self.preset.map_or_else(Settings::default, Preset::settings);
        if flags.colour == Some(ColourSetting::Bgr) {
            // Presets are red first.
            preset.mean.iter_mut().chain(&mut preset.std).for_each(|values| values.reverse());
        }
        Ok(flags.or(preset))
    }
}

pub(super) fn size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err("expected HEIGHTxWIDTH, as 224x224".into()),
    }
}

fn labels(given: &str) -> Result<Vec<String>, Error> {
    let path = Path::new(given);
    if given == "imagenet-1k" {
        return Ok(imagenet_1k_names());
    }
    if !path.exists() && given.contains(',') {
        return Ok(given.split(',').map(|label| label.trim().to_owned()).collect());
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let labels: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|error| Error::Usage(format!("{given}: {error}")))?
    } else {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    if labels.is_empty() {
        return Err(Error::Usage(format!("{given}: no label in this file")));
    }
    Ok(labels)
}
