//! Activations of a model as an array for other programs: the vector before the classifier, or a stage's map.

use std::str::FromStr;

use cardinal_runtime::Model;

use crate::Error;

/// Which activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// The output of the global average pool: one value per channel.
    Pooled,
    /// The map that a stage, counted from 1, ends with.
    Stage(usize),
    /// A layer's map, by name.
    Layer(String),
}

impl FromStr for Features {
    type Err = std::convert::Infallible;

    /// `pooled`, `stage3`, or a layer's name as `cardinal inspect` shows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stage = text.strip_prefix("stage").and_then(|number| number.parse().ok());
        Ok(match (text, stage) {
            ("pooled", _) => Features::Pooled,
            (_, Some(stage)) => Features::Stage(stage),
            _ => Features::Layer(text.to_owned()),
        })
    }
}

impl Features {
    /// The op of the model that writes the activation.
    ///
    /// # Errors
    /// The model has no such layer.
    pub fn op<'m>(&self, model: &Model<'m>) -> Result<&'m str, Error> {
        let wanted = match self {
            Features::Pooled => "avgpool".to_owned(),
            Features::Stage(stage) => format!("layer{stage}."),
            Features::Layer(name) => name.clone(),
        };
        let fits = |&(name, op): &(&'m str, cardinal_format::Op<'m>)| match self {
            // Ops run in order, so a stage's last is its end.
            Features::Stage(_) => name.starts_with(&wanted),
            _ => name == wanted && op.output().is_some(),
        };
        model.file().ops().filter(fits).last().map(|(name, _)| name).ok_or_else(|| {
            let layers: Vec<&str> = model.file().ops().map(|(name, _)| name).collect();
            Error::Usage(format!("the model has no {self:?}; its layers are {}", layers.join(", ")))
        })
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
        for (text, features) in
            [("pooled", Features::Pooled), ("stage3", Features::Stage(3)), ("conv1", Features::Layer("conv1".into()))]
        {
            assert_eq!(text.parse(), Ok(features));
        }
    }
}
