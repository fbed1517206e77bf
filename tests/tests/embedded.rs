//! The network that ships with Cardinal, from checkpoint to int8 and back to the float network it came from.

use std::sync::OnceLock;

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::{Converted, convert};
use cardinal_converter::engine::Network;
use cardinal_converter::evaluate::evaluate;
use cardinal_converter::host::{Runner, open};
use cardinal_converter::images::normalise_chw;
use cardinal_converter::{embedded, import::Imported};
use cardinal_device_tests::plan::check_plan;
use cardinal_format::layout::CRC32;

/// The embedded network as an earlier `cardinal demo -o` wrote it. Kept, because float calibration may differ in the last
/// bit from CPU to CPU; from the file on, everything is exact everywhere.
const GOLDEN: &[u8] = include_bytes!("../fixtures/fmnist.cardinal");

fn converted() -> &'static (Imported, Converted) {
    static CONVERTED: OnceLock<(Imported, Converted)> = OnceLock::new();
    CONVERTED.get_or_init(|| {
        let network = embedded::network().expect("the checkpoint ships");
        let images = embedded::calibration_images().expect("the images ship");
        let converted = convert(&network, &images, &Options::default()).expect("it converts");
        (network, converted)
    })
}

#[test]
fn golden_logits() {
    let model = open(GOLDEN).expect("a valid file");
    let images = embedded::test_images().expect("the images ship");
    let mut runner = Runner::new(model);
    let shape = [model.image().height, model.image().width];
    let mut lines = String::new();
    // The first image of each class.
    for (class, index) in (0..images.len()).step_by(200).enumerate() {
        let pixels = images.prepare(index, model.preprocess(), shape).expect("a valid image");
        let logits = runner.logits(&pixels).expect("it runs");
        lines += &format!("{} {logits:?}\n", images.classes()[class]);
    }
    insta::assert_snapshot!(lines);
}

/// Every intermediate code of one image, as a checksum per layer.
#[test]
fn golden_activations() {
    let model = open(GOLDEN).expect("a valid file");
    let images = embedded::test_images().expect("the images ship");
    let shape = [model.image().height, model.image().width];
    let pixels = images.prepare(1234, model.preprocess(), shape).expect("a valid image");
    let mut runner = Runner::new(model);
    let mut session = runner.session().expect("an arena");
    session.image_mut().copy_from_slice(&pixels);
    let mut lines = String::new();
    session.run_observed(|step| {
        if let Some((tensor, codes)) = step.output {
            let len = tensor.code_type.byte_len();
            let code = |i| codes.get(i).expect("a code of every value").to_le_bytes().into_iter().take(len);
            let bytes: Vec<u8> = (0..tensor.shape.volume()).flat_map(code).collect();
            let sum = CRC32.checksum(&bytes);
            lines += &format!("{:<22}{:<12}{sum:08x}\n", step.name, tensor.shape.to_string());
        }
    });
    insta::assert_snapshot!(lines);
}

#[test]
fn accuracy_is_that_of_the_float_network() {
    let (network, converted) = converted();
    let model = open(&converted.bytes).expect("a valid file");
    let float = Network::float32(network).expect("a valid graph");
    let images = embedded::test_images().expect("the images ship");
    let evaluation = evaluate(&Network::int8(model), &images, Some(&float)).expect("it runs");
    let float = evaluation.float.expect("the float network ran");
    // PyTorch counted 1,884 of these 2,000 images (the checkpoint's meta says so). Another CPU sums in another order, which
    // may decide an image or two whose best classes are equal to the last bits.
    assert!((float.score.top1 - 0.9420).abs() <= 0.001, "float top-1 is {}", float.score.top1);
    assert!(evaluation.score.top1 >= float.score.top1 - 0.005, "int8 top-1 is {}", evaluation.score.top1);
    assert!(float.agreement >= 0.99, "agreement is {}", float.agreement);
    assert!(float.logit_sqnr_db >= 28.0, "logit SQNR is {} dB", float.logit_sqnr_db);
}

/// Each layer's dequantized output against tract's float activations of the same image.
#[test]
fn every_layer_is_close_to_tract_float() {
    let (network, converted) = converted();
    let model = open(&converted.bytes).expect("a valid file");
    let images = embedded::test_images().expect("the images ship");
    let input = [28, 28];
    let pixels = images.prepare(777, model.preprocess(), input).expect("a valid image");
    let observed = network.graph.observed();
    let mut float = vec![Vec::new(); network.graph.layers.len()];
    let chw = normalise_chw(&pixels, &network.preprocess, input);
    let float_model = network.graph.float_model().expect("a valid graph");
    float_model.run_observed(&chw, |i, values| float[observed[i]] = values.to_vec()).expect("it runs");

    let int8 = Network::int8(model);
    let names: Vec<&str> = network.graph.layers.iter().map(|layer| layer.name.as_str()).collect();
    let mut compared = 0;
    let compare = |name: &str, _, values: &[f32]| {
        let layer = names.iter().position(|layer| *layer == name).expect("a layer of the network");
        let db = cardinal_calib::sqnr_db(&float[layer], values);
        assert!(db > 15.0, "{name}: {db:.1} dB");
        compared += 1;
    };
    int8.runner().observe(&pixels, compare).expect("it runs");
    // All but the classifier and the projections, which have no output of their own.
    assert_eq!(compared, observed.len());
    assert_eq!(names.len(), observed.len() + 1 + 3);
}

#[test]
fn the_plan_keeps_what_is_read_later() {
    let (_, converted) = converted();
    let model = open(&converted.bytes).expect("a valid file");
    check_plan(model.file()).expect("every op finds what it reads");
    check_plan(open(GOLDEN).expect("a valid file").file()).expect("every op finds what it reads");
}
