//! `cardinal parity` of the network that ships, against what PyTorch recorded of it.

use std::path::Path;

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::convert;
use cardinal_converter::embedded;
use cardinal_converter::engine::Network;
use cardinal_converter::host::open;
use cardinal_converter::parity::{Findings, Parity, Recording, Reference};

/// As in `embedded.rs`: from this file on everything is exact everywhere.
const GOLDEN: &[u8] = include_bytes!("../fixtures/fmnist.cardinal");

// PyTorch recognised 1,884 of the 2,000 images, as the recording's meta says. Int8 loses one of them, and three have another
// best class.
const FLOAT_TOP1: f64 = 0.9420;
const INT8_TOP1: f64 = 0.9415;
const AGREEMENT: f64 = 0.9985;
const LOGIT_SQNR_DB: f64 = 40.6;

fn found(file: &[u8], reference: &Reference<'_>) -> Findings {
    let network = Network::int8(open(file).expect("a valid file"));
    let images = embedded::test_images().expect("the images ship");
    let parity =
        Parity { network: &network, images: &images, reference, layer_images: 4, allow_calibration_images: false };
    parity.run().expect("the recording is of these images")
}

fn recording() -> Reference<'static> {
    let file = "reference/networks/resnext20_8x4d_fmnist.recorded.safetensors";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    Reference::Recording(Box::new(Recording::open(&path).expect("a recording")))
}

#[test]
fn the_golden_file_is_on_a_par_with_the_recording() {
    on_a_par(GOLDEN);
}

/// A drop of 0.05 points or 1 dB in what `cardinal convert` makes fails here.
#[test]
fn the_default_conversion_is_on_a_par_with_the_recording() {
    let network = embedded::network().expect("the checkpoint ships");
    let images = embedded::calibration_images().expect("the images ship");
    on_a_par(&convert(&network, &images, &Options::default()).expect("it converts").bytes);
}

fn on_a_par(file: &[u8]) {
    let found = found(file, &recording());
    let close = |what, ours: f64, recorded: f64, tolerance: f64| {
        assert!((ours - recorded).abs() <= tolerance, "{what} is {ours}, not {recorded}");
    };
    assert_eq!(found.images, 2000);
    // 0.05 points: one image of the 2,000.
    close("float top-1", found.top1.float, FLOAT_TOP1, 0.0005);
    close("int8 top-1", found.top1.int8, INT8_TOP1, 0.0005);
    close("agreement", found.agreement, AGREEMENT, 0.0005);
    close("logit SQNR", found.logit_sqnr_db, LOGIT_SQNR_DB, 1.0);
    let [low, high] = found.top1.interval_points;
    assert!(low < found.top1.drop_points && found.top1.drop_points < high && high < 0.5, "{low} to {high}");
    assert_eq!((found.layers.images, found.layers.compared.len()), (4, 20));
    assert!(found.layers.missing.is_empty() && found.layers.compared.iter().all(|layer| layer.sqnr_db > 25.0));
    assert_eq!(found.changed.len(), found.images - (found.agreement * found.images as f64).round() as usize);
}

/// tract and PyTorch are one reference: sums in another order move a logit by a millionth of itself.
#[test]
fn checkpoint_and_recording_say_the_same() {
    let network = embedded::network().expect("the checkpoint ships");
    let float = Network::float32(&network).expect("tract runs it");
    let (ran, recorded) = (found(GOLDEN, &Reference::Network(Box::new(float))), found(GOLDEN, &recording()));
    assert!((ran.logit_sqnr_db - recorded.logit_sqnr_db).abs() < 0.01, "{} dB", ran.logit_sqnr_db);
    assert!((ran.agreement - recorded.agreement).abs() <= 0.0005, "{}", ran.agreement);
    assert!((ran.top1.drop_points - recorded.top1.drop_points).abs() <= 0.1, "{}", ran.top1.drop_points);
    let names = |found: &Findings| found.layers.compared.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ran), names(&recorded));
}
