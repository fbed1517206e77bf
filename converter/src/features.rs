//! What a network sees, thinks on the way and says, as an array for other programs.

use std::str::FromStr;

use cardinal_format::Shape;

use crate::Error;
use crate::engine::{Network, Runner};

/// Which values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// The image as the network reads it, pixels from 0 to 255.
    Image,
    /// The output of the global average pool: one value per channel.
    Pooled,
    /// The map that a stage, counted from 1, ends with.
    Stage(usize),
    /// A layer's map, by name.
    Layer(String),
    /// One value per class.
    Logits,
}

impl FromStr for Features {
    type Err = std::convert::Infallible;

    /// `image`, `pooled`, `stage3`, `logits`, or a layer's name as `cardinal inspect` shows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stage = text.strip_prefix("stage").and_then(|number| number.parse().ok());
        Ok(match (text, stage) {
            ("image", _) => Features::Image,
            ("pooled", _) => Features::Pooled,
            ("logits", _) => Features::Logits,
            (_, Some(stage)) => Features::Stage(stage),
            _ => Features::Layer(text.to_owned()),
        })
    }
}

impl std::fmt::Display for Features {
    /// As it is parsed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Features::Image => f.pad("image"),
            Features::Pooled => f.pad("pooled"),
            Features::Logits => f.pad("logits"),
            Features::Stage(number) => write!(f, "stage{number}"),
            Features::Layer(name) => f.pad(name),
        }
    }
}

/// [`Features`], found in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// See [`Features::Image`].
    Image,
    /// See [`Features::Logits`].
    Logits,
    /// The output of the layer of this name.
    Layer(String),
}

impl Features {
    /// Where in the network they are.
    ///
    /// # Errors
    /// The network has no such layer.
    pub fn find(&self, network: &Network<'_>) -> Result<Wanted, Error> {
        let start = match self {
            Features::Image => return Ok(Wanted::Image),
            Features::Logits => return Ok(Wanted::Logits),
            Features::Pooled => "avgpool".to_owned(),
            Features::Stage(stage) => format!("layer{stage}."),
            Features::Layer(name) => name.clone(),
        };
        let layers = network.layers();
        let fits = |name: &&&str| match self {
            Features::Stage(_) => name.starts_with(&start),
            _ => **name == start,
        };
        // Layers run in order, so a stage's last is its end.
        let found = layers.iter().rfind(fits).map(|name| Wanted::Layer((*name).to_owned()));
        found.ok_or_else(|| Error::Usage(format!("the network shows no {self}; its layers are {}", layers.join(", "))))
    }
}

impl Wanted {
    /// Runs a network on one image's pixels: its logits, and what is wanted.
    ///
    /// # Errors
    /// What the engine says.
    pub fn run(&self, runner: &mut Runner<'_, '_>, pixels: &[u8], image: Shape) -> Result<(Vec<f32>, Map), Error> {
        if let Wanted::Layer(name) = self {
            return runner.logits_and_map(pixels, name);
        }
        let logits = runner.logits(pixels)?;
        let map = match self {
            Wanted::Image => Map::from_hwc(image, pixels.iter().map(|&p| f32::from(p))),
            _ => Map { shape: [logits.len(), 1, 1], values: logits.clone() },
        };
        Ok((logits, map))
    }
}

/// One image's activation, `[channels][height][width]` in real units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// The values.
    pub values: Vec<f32>,
}

impl Map {
    /// From values in the order height, width, channels.
    pub fn from_hwc(shape: Shape, values: impl Iterator<Item = f32> + Clone) -> Self {
        let [channels, height, width] = [shape.channels, shape.height, shape.width].map(|side| side as usize);
        let plane = |c| values.clone().skip(c).step_by(channels);
        Map { shape: [channels, height, width], values: (0..channels).flat_map(plane).collect() }
    }
}

/// Maps of one shape as the bytes of a NumPy array file, `float32 (images, channels, height, width)`; of 1×1 maps
/// `(images, channels)`. Format version 1.0 of NumPy's NEP 1.
pub fn npy(maps: &[Map]) -> Vec<u8> {
    let shape = maps.first().map_or([0; 3], |map| map.shape);
    let dimensions: Vec<String> = match shape {
        [channels, 1, 1] => vec![maps.len(), channels],
        [channels, height, width] => vec![maps.len(), channels, height, width],
    }
    .iter()
    .map(usize::to_string)
    .collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dimensions.join(", ")).into_bytes();
    // Magic, version and length take ten bytes; the data starts at a multiple of 64.
    header.resize((10 + header.len() + 1).next_multiple_of(64) - 11, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header);
    bytes.extend(maps.iter().flat_map(|map| &map.values).flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_file_is_what_numpy_writes() {
        let map = |values: [f32; 2]| Map { shape: [2, 1, 1], values: values.to_vec() };
        let bytes = npy(&[map([1.0, 2.0]), map([3.0, -0.5]), map([0.0, 4.0])]);
        // numpy.save of the same array, version 2.4.
        let mut expected =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        for value in [1.0_f32, 2.0, 3.0, -0.5, 0.0, 4.0] {
            expected.extend(value.to_le_bytes());
        }
        assert_eq!(bytes, expected);
        let header = npy(&[Map { shape: [2, 3, 1], values: vec![0.0; 6] }]);
        assert!(String::from_utf8_lossy(&header[..128]).contains("'shape': (1, 2, 3, 1), }"));
    }

    #[test]
    fn names() {
        for (text, features) in [
            ("image", Features::Image),
            ("pooled", Features::Pooled),
            ("stage3", Features::Stage(3)),
            ("conv1", Features::Layer("conv1".into())),
            ("logits", Features::Logits),
        ] {
            assert_eq!(features.to_string(), text);
            assert_eq!(text.parse(), Ok(features));
        }
    }
}
