//! A trained CIFAR-10 network on all 10,000 test images. It and the images do not ship: the test looks for a folder with
//! `checkpoints/` and `data/` in `CARDINAL_TEST_DATA`, or named `shared` beside the checkout.

use std::io::Write;
use std::path::{Path, PathBuf};

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::convert;
use cardinal_converter::evaluate::evaluate;
use cardinal_converter::host::open;
use cardinal_converter::images::Dataset;
use cardinal_converter::import::{self, Settings};

/// The folder, if it has the file; says so where test output is not captured if not.
fn data(needed: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("CARDINAL_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join(needed).exists() {
        return Some(folder);
    }
    let message = "\n*** SKIPPED: the trained CIFAR-10 network is not here (set CARDINAL_TEST_DATA) ***\n";
    std::io::stderr().write_all(message.as_bytes()).expect("standard error");
    None
}

const SETTINGS: &str = "
    input = [32, 32]
    stem-stride = 2
    stem-pool = false
    mean = [125.307, 122.950, 113.865]
    std = [62.993, 62.089, 66.705]
";

#[test]
fn cifar10_int8_is_as_accurate_as_float() {
    const CHECKPOINT: &str = "checkpoints/resnext20_16x4d_cifar10.pth";
    let Some(folder) = data(CHECKPOINT) else { return };
    let settings = Settings::parse(SETTINGS, "settings".as_ref()).expect("valid settings");
    let network = import::read(&folder.join(CHECKPOINT), &settings).expect("a ResNeXt");
    assert_eq!(network.summary.to_string(), "ResNeXt-20 16×4d, blocks 2-2-2");
    let train = Dataset::open(&folder.join("data/cifar10/train"), [32, 32]).expect("mosaics");
    let converted = convert(&network, &train, Options { images: 500, ..Options::default() }).expect("it converts");
    assert!(converted.report.agreement >= 0.985, "agreement is {}", converted.report.agreement);

    let test = Dataset::open(&folder.join("data/cifar10/test"), [32, 32]).expect("mosaics");
    let evaluation = evaluate(open(&converted.bytes).expect("a valid file"), &test, None).expect("it runs");
    assert_eq!(evaluation.images, 10_000);
    // PyTorch's float32 top-1 is 91.11 %.
    assert!(evaluation.int8.top1 >= 0.9111 - 0.005, "int8 top-1 is {}", evaluation.int8.top1);
}
