//! A trained CIFAR-10 network on all 10,000 test images. Neither it nor the images ship: see [`cardinal_tests::data`].

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::convert;
use cardinal_converter::engine::Network;
use cardinal_converter::evaluate::evaluate;
use cardinal_converter::host::open;
use cardinal_converter::images::Dataset;
use cardinal_converter::import::{self, Settings};
use cardinal_tests::data::folder_with;

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
    let Some(folder) = folder_with(CHECKPOINT) else { return };
    let settings = Settings::parse(SETTINGS, "settings".as_ref()).expect("valid settings");
    let network = import::read(&folder.join(CHECKPOINT), &settings).expect("a ResNeXt");
    assert_eq!(network.summary.to_string(), "ResNeXt-20 16×4d, blocks 2-2-2");
    let train = Dataset::open(&folder.join("data/cifar10/train"), [32, 32]).expect("mosaics");
    let converted =
        convert(&network, &train, &Options { images: Some(500), ..Options::default() }).expect("it converts");
    assert!(converted.report.agreement >= 0.985, "agreement is {}", converted.report.agreement);

    let test = Dataset::open(&folder.join("data/cifar10/test"), [32, 32]).expect("mosaics");
    let evaluation =
        evaluate(&Network::int8(open(&converted.bytes).expect("a valid file")), &test, None).expect("it runs");
    assert_eq!(evaluation.images, 10_000);
    // PyTorch's float32 top-1 is 91.11 %.
    assert!(evaluation.score.top1 >= 0.9111 - 0.005, "int8 top-1 is {}", evaluation.score.top1);
}
