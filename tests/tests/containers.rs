//! One network in every container that the converter reads: PyTorch's numbers from each, and the same int8 file.

use std::path::PathBuf;

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::convert;
use cardinal_converter::embedded;
use cardinal_converter::images::normalise_chw;
use cardinal_converter::import::{self, Imported, Settings};
use cardinal_format::File;
use cardinal_tract::{InputShape, OnnxModel};
use serde::Deserialize;

/// What PyTorch says of one image.
#[derive(Deserialize)]
struct Reference {
    image: Vec<u8>,
    logits: Vec<f32>,
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(name: &str) -> Imported {
    let toml = String::from_utf8(fixture("tiny.toml")).expect("UTF-8");
    let settings = Settings::parse(&toml, "tiny.toml".as_ref()).expect("valid settings");
    import::from_bytes(&fixture(name), name, &settings).unwrap_or_else(|error| panic!("{error}"))
}

fn reference() -> Reference {
    serde_json::from_slice(&fixture("tiny.json")).expect("valid JSON")
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Containers that hold the very same float32 tensors.
const SAME: [&str; 5] = ["tiny_zip.pth", "tiny_legacy.pth", "tiny_views.pth", "tiny.safetensors", "tiny_bn.onnx"];

#[test]
fn every_container_gives_pytorchs_logits() {
    let reference = reference();
    // Exporters that fold batch norm do it in float32; half precision keeps 11 bits.
    let others = [("tiny.onnx", 1e-5), ("tiny_dynamo.onnx", 1e-5), ("tiny_fp16.pth", 5e-3)];
    for (name, tolerance) in SAME.map(|name| (name, 1e-5)).into_iter().chain(others) {
        let network = read(name);
        let input = [network.graph.image.height, network.graph.image.width];
        let chw = normalise_chw(&reference.image, &network.preprocess, input);
        let logits = network.graph.float_model().expect("a valid graph").run(&chw).expect("it runs");
        let error = worst(&logits, &reference.logits);
        assert!(error <= tolerance, "{name}: {logits:?} differs from {:?} by {error}", reference.logits);
        assert_eq!(network.summary.to_string(), "ResNeXt-8 2×4d, blocks 1-1", "{name}");
    }
}

#[test]
fn the_importer_agrees_with_tracts_own_reader() {
    let reference = reference();
    let spec = read("tiny_zip.pth").preprocess;
    let chw = normalise_chw(&reference.image, &spec, [16, 16]);
    for name in ["tiny.onnx", "tiny_bn.onnx", "tiny_dynamo.onnx"] {
        let shape = InputShape { channels: 3, height: 16, width: 16 };
        let theirs = OnnxModel::read(&fixture(name), name, Some(shape)).expect("tract reads it").run(&chw);
        let ours = read(name).graph.float_model().expect("a valid graph").run(&chw).expect("it runs");
        assert!(worst(&ours, &theirs.expect("it runs")) <= 1e-5, "{name}");
    }
}

#[test]
fn the_same_tensors_give_the_same_graph_and_file() {
    let images = embedded::calibration_images().expect("the images ship");
    let options = Options { images: Some(32), ..Options::default() };
    let first = read(SAME[0]);
    let converted = convert(&first, &images, &options).expect("it converts");
    let file = File::new_checked(&converted.bytes).expect("a valid file");
    for name in &SAME[1..] {
        let network = read(name);
        for (a, b) in first.graph.layers.iter().zip(&network.graph.layers) {
            assert_eq!((&a.name, a.input, &a.op), (&b.name, b.input, &b.op), "{name}");
        }
        let other = convert(&network, &images, &options).expect("it converts");
        let other = File::new_checked(&other.bytes).expect("a valid file");
        assert!(file.content() == other.content(), "{name} gives another int8 file");
        assert!(file.labels().eq(other.labels()), "{name}");
    }
}
