//! The tiny network as named tensors, to be spoiled and written in any container of a state dict.

use std::collections::BTreeMap;

use cardinal_converter::import::checkpoint::Checkpoint;

use crate::harness::{Row, fixture, row};

/// Shape and values of float32 tensors by name.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The tiny network, as PyTorch saves it.
pub fn tiny() -> Tensors {
    let checkpoint = Checkpoint::read(&fixture("tiny.safetensors"), "tiny.safetensors").expect("a valid fixture");
    checkpoint.iter().map(|(name, tensor)| (name.to_owned(), (tensor.shape.clone(), tensor.data.clone()))).collect()
}

/// The little-endian bytes of a tensor.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const STEM: &str = "backbone.conv1.weight";
const GROUPED: &str = "backbone.layer1.0.conv2.weight";
const EXPAND: &str = "backbone.layer1.0.conv3.weight";
const CLASSIFIER: &str = "head.fc.weight";

/// What is wrong, what is said of it, and how to do it.
type Change = (&'static str, &'static str, fn(&mut Tensors));

/// Gives a tensor a shape, and as many values as that has.
fn shape(tensors: &mut Tensors, name: &str, shape: &[usize]) {
    tensors.insert(name.to_owned(), (shape.to_vec(), vec![0.1; shape.iter().product()]));
}

/// Gives a batch norm so many channels.
fn norm(tensors: &mut Tensors, name: &str, channels: usize) {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        shape(tensors, &format!("{name}.{part}"), &[channels]);
    }
}

fn value(tensors: &mut Tensors, name: &str, value: f32) {
    tensors.get_mut(name).expect("the network has it").1[0] = value;
}

const CHANGES: &[Change] = &[
    ("a weight is NaN", "backbone.conv1.weight: has NaN or infinite", |t| value(t, STEM, f32::NAN)),
    ("a weight is infinite", "layer1.0.conv3.weight: has NaN or infinite", |t| value(t, EXPAND, f32::INFINITY)),
    ("the classifier is infinite", "head.fc.weight: has NaN or infinite", |t| value(t, CLASSIFIER, f32::NEG_INFINITY)),
    ("a variance is negative", "backbone.conv1.weight: has NaN or infinite", |t| {
        value(t, "backbone.bn1.running_var", -1.0);
    }),
    ("a mean is NaN", "layer1.0.conv2.weight: has NaN or infinite", |t| {
        value(t, "backbone.layer1.0.bn2.running_mean", f32::NAN);
    }),
    ("finite weights whose sums are not", "layer conv1: ", |t| {
        t.get_mut(STEM).expect("the network has it").1.fill(1e37);
    }),
    ("a classifier without bounds", "layer fc cannot be written to a .cardinal file", |t| {
        t.get_mut(CLASSIFIER).expect("the network has it").1.fill(3e38);
    }),
    ("groups do not divide the input", "do not divide an input of 8 channels", |t| shape(t, GROUPED, &[8, 3, 3, 3])),
    ("groups do not divide the output", "conv2.weight: weights for 10 outputs", |t| {
        shape(t, GROUPED, &[10, 2, 3, 3]);
        norm(t, "backbone.layer1.0.bn2", 10);
    }),
    ("groups of no channels", "conv2.weight: is empty", |t| shape(t, GROUPED, &[8, 0, 3, 3])),
    ("a convolution without outputs", "conv3.weight: is empty", |t| shape(t, EXPAND, &[0, 8, 1, 1])),
    ("a kernel without rows", "an odd kernel below 256", |t| shape(t, GROUPED, &[8, 4, 0, 3])),
    ("a kernel of 257 rows", "an odd kernel below 256", |t| shape(t, GROUPED, &[8, 4, 257, 1])),
    ("a convolution of five dimensions", "four dimensions", |t| shape(t, GROUPED, &[8, 4, 3, 3, 1])),
    ("an image of four channels", "reads 4 channels", |t| shape(t, STEM, &[8, 4, 3, 3])),
    ("no classes", "head.fc.weight: is empty", |t| shape(t, CLASSIFIER, &[0, 32])),
    ("a classifier of other features", "expects 31 features", |t| shape(t, CLASSIFIER, &[5, 31])),
    ("fewer biases than classes", "head.fc.bias: has shape [4], expected [5]", |t| shape(t, "head.fc.bias", &[4])),
    ("batch norm of other channels", "bn1.weight: has shape [9]", |t| shape(t, "backbone.bn1.weight", &[9])),
    ("no batch norm", "backbone.bn1.bias: there is no such tensor", |t| {
        t.remove("backbone.bn1.bias");
    }),
    ("a shortcut of other channels", "adds a shortcut of another shape", |t| {
        shape(t, "backbone.layer1.0.downsample.0.weight", &[24, 8, 1, 1]);
        norm(t, "backbone.layer1.0.downsample.1", 24);
    }),
    ("a tensor that has no place", "backbone.gate: this tensor is not part of a ResNeXt", |t| {
        shape(t, "backbone.gate", &[1]);
    }),
    ("a name that clears the screen", "\\u{1b}[2J: this tensor is not part", |t| shape(t, "\u{1b}[2J", &[1])),
    ("no tensor of a ResNeXt", "no tensor is named", |t| t.retain(|name, _| name.starts_with("head"))),
];

/// The rows of every container of a state dict; `write` makes the file.
pub fn rows(write: impl Fn(&Tensors) -> Vec<u8>) -> impl Iterator<Item = Row> {
    CHANGES.iter().map(move |&(what, says, change)| {
        let mut tensors = tiny();
        change(&mut tensors);
        row(what, write(&tensors), says)
    })
}
