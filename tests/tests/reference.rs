//! The networks kept in `tests/reference/`, held against what PyTorch recorded of them and against RESULTS.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cardinal_calib::Sqnr;
use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::convert;
use cardinal_converter::engine::Network;
use cardinal_converter::evaluate::evaluate;
use cardinal_converter::host::open;
use cardinal_converter::images::{Dataset, normalise_chw};
use cardinal_converter::import::{self, Imported, Settings};
use cardinal_converter::parity::{self, Parity, Reference};
use cardinal_tests::data::folder_with;
use half::f16;
use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A row of `results.json`.
#[derive(Deserialize)]
struct Row {
    network: String,
    checkpoint: String,
    kept: bool,
    int8: Int8,
}

#[derive(Deserialize)]
struct Int8 {
    images: usize,
    top1: f64,
    float_top1: f64,
    agreement: f64,
    logit_sqnr_db: f64,
}

fn reference(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(file)
}

fn kept() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(reference("results.json")).expect("results.json");
    let rows: BTreeMap<String, Row> = serde_json::from_str(&text).expect("rows");
    rows.into_iter().filter(|(_, row)| row.kept).collect()
}

/// Folder of the embedded network and its images.
fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../converter/assets/fmnist")
}

fn network(name: &str, row: &Row) -> Imported {
    let folder = if name == "fmnist" { embedded() } else { reference("networks") };
    import::read(&folder.join(&row.checkpoint), &Settings::default()).expect("a ResNeXt")
}

/// Folders of the images to calibrate with and of the test images; `None` if they are not here.
fn images(name: &str) -> Option<[PathBuf; 2]> {
    if name == "fmnist" {
        return Some(["calib", "test"].map(|part| embedded().join(part)));
    }
    let corpus = name.split('-').next().expect("corpus-network");
    let needed = format!("data/{corpus}");
    let folder = folder_with(&needed)?.join(needed);
    Some([folder.join("train"), folder.join("test")])
}

/// Images in tiles of the network's input size.
fn mosaics(folder: &Path, network: &Imported) -> Dataset {
    let image = network.graph.image;
    Dataset::open(folder, [image.height, image.width]).expect("mosaics")
}

/// What `record.py` wrote.
struct Recording(Vec<u8>);

impl Recording {
    fn open(row: &Row) -> Self {
        let file = format!("networks/{}.recorded.safetensors", row.network);
        Recording(fs::read(reference(&file)).expect("a recording"))
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).expect("tensors")
    }

    fn layers(&self) -> Vec<String> {
        let tensors = self.tensors();
        let layer = |name: &str| Some(name.strip_prefix("layer.")?.to_owned());
        tensors.names().into_iter().filter_map(layer).collect()
    }

    fn values<const N: usize, T>(&self, name: &str, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("{name} is not recorded"));
        tensor.data().as_chunks::<N>().0.iter().map(|&bytes| read(bytes)).collect()
    }
}

/// `[height × width][channels]` as `[channels][height × width]`.
fn planes(pixels: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|c| pixels.iter().skip(c).step_by(channels).copied()).collect()
}

#[test]
fn every_layer_says_what_pytorch_recorded() {
    for (name, row) in kept() {
        let network = network(&name, &row);
        let (graph, shapes) = (&network.graph, network.graph.shapes().expect("a valid graph"));
        // All but the classifier, whose output is the logits.
        let observed: Vec<usize> = (0..graph.layers.len() - 1).collect();
        let model = graph.float_model_observing(&observed).expect("tract runs it");
        let tensors = Recording::open(&row);
        let mut ours: Vec<&str> = graph.layers.iter().map(|layer| layer.name.as_str()).collect();
        let mut theirs = tensors.layers();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{name}");

        let Some([_, test]) = images(&name) else { continue };
        let size = [graph.image.height, graph.image.width];
        let test = mosaics(&test, &network);
        let logits = tensors.values("logits", f32::from_le_bytes);
        for (image, index) in tensors.values("sampled", i32::from_le_bytes).into_iter().enumerate() {
            let index = index as usize;
            let pixels = test.prepare(index, &network.preprocess, size).expect("an image");
            let check = |i: usize, ours: &[f32]| {
                let layer = &graph.layers[observed[i]].name;
                let all = tensors.values(&format!("layer.{layer}"), |bytes| f16::from_le_bytes(bytes).to_f32());
                let theirs = &all[image * ours.len()..][..ours.len()];
                let mut sqnr = Sqnr::default();
                sqnr.observe(&planes(theirs, shapes[observed[i]].channels as usize), ours);
                // Rounding to float16 alone leaves 74 dB.
                assert!(sqnr.db() > 65.0, "{name}, {layer}: {} dB", sqnr.db());
            };
            let pixels = normalise_chw(&pixels, &network.preprocess, size);
            let said = model.run_observed(&pixels, check).expect("it runs");
            let recorded = &logits[index * said.len()..][..said.len()];
            let worst = said.iter().zip(recorded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{name}: logits differ by {worst}");
        }
    }
}

#[test]
fn recorded_images_are_the_ones_we_read() {
    for (name, row) in kept() {
        let Some([_, test]) = images(&name) else { continue };
        let network = network(&name, &row);
        let size = [network.graph.image.height, network.graph.image.width];
        let test = mosaics(&test, &network);
        let tensors = Recording::open(&row);
        let hashes = tensors.values("image_sha256", |hash: [u8; 32]| hash);
        let labels = tensors.values("labels", i32::from_le_bytes);
        assert_eq!(test.len(), hashes.len());
        for (index, (hash, label)) in hashes.iter().zip(labels).enumerate() {
            let pixels = test.prepare(index, &network.preprocess, size).expect("an image");
            assert_eq!(Sha256::digest(&pixels)[..], hash[..], "{name}: {}", test.name(index));
            assert_eq!(test.label(index), Some(label as usize));
        }
    }
}

#[test]
fn int8_is_as_accurate_as_the_results_say() {
    for (name, row) in kept() {
        let Some([calib, test]) = images(&name) else { continue };
        let network = network(&name, &row);
        let calib = mosaics(&calib, &network);
        let test = mosaics(&test, &network);
        let converted = convert(&network, &calib, &Options::default()).expect("it converts");
        let float = Network::float32(&network).expect("tract runs it");
        let int8 = Network::int8(open(&converted.bytes).expect("a valid file"));
        let seen = evaluate(&int8, &test, Some(&float)).expect("it runs");
        let compared = seen.float.expect("the float network ran");
        assert_eq!(seen.images, row.int8.images, "{name}");
        // Float calibration may differ in the last bit from CPU to CPU, and a tie may turn.
        let close = |what, ours: f64, recorded: f64, tolerance: f64| {
            assert!((ours - recorded).abs() <= tolerance, "{name}: {what} is {ours}, RESULTS.md has {recorded}");
        };
        close("float top-1", compared.score.top1, row.int8.float_top1, 0.0005);
        close("int8 top-1", seen.score.top1, row.int8.top1, 0.0005);
        close("agreement", compared.agreement, row.int8.agreement, 0.001);
        close("logit SQNR", compared.logit_sqnr_db, row.int8.logit_sqnr_db, 0.2);

        // The same against PyTorch's recorded logits: what `cardinal parity` shows. It also holds every image against its
        // recorded digest.
        let file = reference(&format!("networks/{}.recorded.safetensors", row.network));
        let recording = Reference::Recording(Box::new(parity::Recording::open(&file).expect("a recording")));
        let parity = Parity {
            network: &int8,
            images: &test,
            reference: &recording,
            layer_images: 0,
            allow_calibration_images: false,
        };
        let found = parity.run().expect("it runs");
        close("recorded float top-1", found.top1.float, row.int8.float_top1, 0.0005);
        close("int8 top-1 beside the recording", found.top1.int8, row.int8.top1, 0.0005);
        close("agreement with the recording", found.agreement, row.int8.agreement, 0.001);
        close("logit SQNR to the recording", found.logit_sqnr_db, row.int8.logit_sqnr_db, 1.0);
        assert_eq!(found.layers.missing, [""; 0], "{name}");
        for layer in &found.layers.compared {
            // What `embedded.rs` demands of a single image.
            assert!(layer.sqnr_db > 15.0, "{name}, {}: {} dB", layer.name, layer.sqnr_db);
        }
    }
}
