//! Calibration of networks and images that make it hard, and of runs that are cut.

use std::path::Path;
use std::time::Duration;

use cardinal_converter::calibrate::{Drawn, Options, Recipe, State, observe};
use cardinal_converter::convert::{Converted, convert, convert_resuming, identity};
use cardinal_converter::engine::Network;
use cardinal_converter::evaluate::evaluate;
use cardinal_converter::graph::{Graph, Op, Source};
use cardinal_converter::images::Dataset;
use cardinal_converter::import::Imported;
use cardinal_converter::{Error, embedded, host};
use image::{GrayImage, Luma};
use tempfile::TempDir;

fn with(recipe: &str) -> Options {
    let recipe = (recipe != "auto").then(|| recipe.parse::<Recipe>().expect("a recipe"));
    Options { images: Some(96), recipe, ..Options::default() }
}

/// Logit SQNR on the test images, and the conversion.
fn sqnr(network: &Imported, recipe: &str) -> (f64, Converted) {
    let images = embedded::calibration_images().expect("the images ship");
    let converted = convert(network, &images, &with(recipe)).expect("it converts");
    let int8 = Network::int8(host::open(&converted.bytes).expect("a valid file"));
    let float = Network::float32(network).expect("tract runs it");
    let seen = evaluate(&int8, &embedded::test_images().expect("the images ship"), Some(&float)).expect("it runs");
    (seen.float.expect("float ran beside").logit_sqnr_db, converted)
}

/// A folder of pictures of the embedded network's size.
fn pictures(count: u32, pixel: impl Fn(u32, u32, u32) -> u8) -> (TempDir, Dataset) {
    let folder = TempDir::new().expect("a temporary folder");
    for n in 0..count {
        let picture = GrayImage::from_fn(28, 28, |x, y| Luma([pixel(n, x, y)]));
        picture.save(folder.path().join(format!("{n:03}.png"))).expect("a picture");
    }
    let images = Dataset::open(folder.path(), [28, 28]).expect("a folder of pictures");
    (folder, images)
}

fn layer(graph: &Graph, name: &str) -> usize {
    graph.layers.iter().position(|layer| layer.name == name).expect("a layer")
}

/// Multiplies one channel of a layer's output, and divides it out again where it is read: the same function.
fn scale_channel(graph: &mut Graph, name: &str, channel: usize, factor: f32) {
    let number = layer(graph, name);
    for layer in &mut graph.layers {
        let reads = layer.input == Source::Layer(number);
        let Op::Conv(conv) = &mut layer.op else { continue };
        let row_len = conv.weights.len() / conv.bias.len();
        if layer.name == name {
            conv.weights[channel * row_len..][..row_len].iter_mut().for_each(|w| *w *= factor);
            conv.bias[channel] *= factor;
        } else if reads {
            let (in_per_group, out_per_group) = (conv.in_per_group as usize, conv.bias.len() / conv.groups as usize);
            let taps = row_len / in_per_group;
            let first = channel / in_per_group * out_per_group;
            for row in conv.weights.chunks_exact_mut(row_len).skip(first).take(out_per_group) {
                row[channel % in_per_group * taps..][..taps].iter_mut().for_each(|w| *w /= factor);
            }
        }
    }
}

#[test]
fn every_step_gives_a_sound_file() {
    let network = embedded::network().expect("the checkpoint ships");
    for (recipe, least) in [
        ("min-max", 30.0),
        ("percentile", 20.0),
        // Behind a black background many values are one and the same: that spike passes for information.
        ("entropy", 10.0),
        ("mse", 33.0),
        ("sensitivity", 33.0),
        ("mse+clipping", 33.0),
        ("mse+rounding+equalize=0.5", 36.0),
        ("mse+conv1:percentile+layer3.1.conv3:min-max", 30.0),
    ] {
        let (db, converted) = sqnr(&network, recipe);
        assert!(db > least, "{recipe}: {db} dB");
        assert_eq!(converted.report.calibration.method, recipe);
    }
    // The average of images' extrema clips half of what images have.
    assert!(sqnr(&network, "moving-average").0 > 10.0);
}

#[test]
fn what_auto_keeps_can_be_asked_for() {
    let network = embedded::network().expect("the checkpoint ships");
    let images = embedded::calibration_images().expect("the images ship");
    let auto = convert(&network, &images, &with("auto")).expect("it converts");
    let kept: Vec<_> = auto.report.trials.iter().filter(|trial| trial.kept).collect();
    assert_eq!(kept.len(), 1);
    assert!(auto.report.calibration.method.starts_with(&kept[0].name), "{}", auto.report.calibration.method);
    assert_eq!(auto.report.costly_layers.len(), 5);
    assert!(auto.report.costly_layers.is_sorted_by(|a, b| a.logit_sqnr_db <= b.logit_sqnr_db));
    assert!(auto.report.logit_sqnr_db > 33.0 && auto.report.signs.is_empty(), "{:?}", auto.report);
    // Inputs are gathered of three quarters of the images there, and of all here.
    let asked = convert(&network, &images, &with(&auto.report.calibration.method)).expect("it converts");
    assert!((asked.report.logit_sqnr_db - auto.report.logit_sqnr_db).abs() < 1.5, "{}", asked.report.logit_sqnr_db);
}

#[test]
fn dead_channels_do_no_harm() {
    let mut network = embedded::network().expect("the checkpoint ships");
    for name in ["conv1", "layer1.1.conv2", "layer2.0.conv3", "layer3.0.conv1"] {
        let number = layer(&network.graph, name);
        let Op::Conv(conv) = &mut network.graph.layers[number].op else { panic!("a convolution") };
        let row_len = conv.weights.len() / conv.bias.len();
        for channel in (0..conv.bias.len()).step_by(5) {
            conv.weights[channel * row_len..][..row_len].fill(0.0);
            conv.bias[channel] = if channel % 2 == 0 { 0.0 } else { -0.25 };
        }
    }
    for recipe in ["mse", "auto"] {
        let (db, _) = sqnr(&network, recipe);
        assert!(db > 30.0, "{recipe}: {db} dB");
    }
}

#[test]
fn one_channel_a_thousand_times_larger_is_equalized() {
    let mut network = embedded::network().expect("the checkpoint ships");
    for name in ["layer1.0.conv1", "layer2.1.conv2"] {
        scale_channel(&mut network.graph, name, 3, 1000.0);
    }
    let (plain, _) = sqnr(&network, "mse");
    let (equalized, converted) = sqnr(&network, "auto");
    assert!(plain < 20.0, "thresholds alone: {plain} dB");
    assert!(equalized > 30.0, "auto: {equalized} dB");
    assert!(converted.report.calibration.method.contains("equalize"), "{}", converted.report.calibration.method);
}

#[test]
fn signs_of_the_wrong_images() {
    let network = embedded::network().expect("the checkpoint ships");
    let signs = |images: &Dataset| {
        let converted = convert(&network, images, &with("mse")).expect("it converts all the same");
        converted.report.signs.join("\n")
    };
    let says = |images: &Dataset, sign: &str| {
        let signs = signs(images);
        assert!(signs.contains(sign), "{sign:?} is not among: {signs}");
    };
    assert_eq!(signs(&embedded::calibration_images().expect("the images ship")), "");
    let (_folder, one) = pictures(1, |_, x, y| (9 * (x ^ y)) as u8);
    says(&one, "only 1 different images");
    // Constant, each of another shade: the network knows no such thing.
    let (_folder, constant) = pictures(96, |n, _, _| (2 * n) as u8);
    says(&constant, "answers otherwise than in training");
    let (_folder, black) = pictures(96, |_, _, _| 0);
    says(&black, "only 1 different images");
    // Upside down in brightness.
    let (_folder, white) = pictures(96, |n, x, y| if (x + n) % 28 < 4 && y < 9 { 10 } else { 250 });
    says(&white, "normalised pixels of channel 0 have mean 1.8");
    says(&white, "answers otherwise than in training");
}

#[test]
fn a_cut_calibration_goes_on() {
    let network = embedded::network().expect("the checkpoint ships");
    let images = embedded::calibration_images().expect("the images ship");
    let options = Options { images: Some(200), ..with("mse+rounding+equalize=0.5") };
    let whole = convert(&network, &images, &options).expect("it converts").bytes;

    // Cut after a batch of the first look at the images.
    let graph = &network.graph;
    let drawn = Drawn::new(&images, graph, &network.preprocess, (0..200).collect());
    let mut half = None;
    let cut = observe(graph, &drawn, false, None, |seen| {
        half = Some(seen.clone());
        Err(Error::Usage("cut".into()))
    });
    assert!(cut.is_err());
    let half = half.expect("a batch");
    assert!((1..200).contains(&half.logits.len()), "{}", half.logits.len());
    let resumed = observe(graph, &drawn, false, Some(half), |_| Ok(())).expect("it goes on");
    let at_once = observe(graph, &drawn, false, None, |_| Ok(())).expect("it runs");
    assert_eq!(resumed.observers, at_once.observers);
    assert_eq!((resumed.logits, resumed.digests), (at_once.logits, at_once.digests));

    // Through a file.
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("state");
    let of = identity(&network, &images, &options);
    let open = |path: &Path, of: &str| State::open(path, of.to_owned());
    let state = open(&file, &of).expect("a new file").every(Duration::ZERO);
    let kept = std::cell::Cell::new(0);
    let mut state = state;
    let cut = observe(graph, &Drawn::new(&images, graph, &network.preprocess, spread(&images)), false, None, |seen| {
        kept.set(kept.get() + 1);
        state.keep("images", seen)?;
        if kept.get() == 2 { Err(Error::Usage("cut".into())) } else { Ok(()) }
    });
    assert!(cut.is_err() && kept.get() == 2);
    drop(state);
    let other = open(&file, "another").err().expect("it is of another conversion").to_string();
    assert!(other.contains("belongs to another conversion") && other.contains("--resume"), "{other}");
    let state = open(&file, &of).expect("the same conversion");
    assert_eq!(state.observed("images").map(|seen| seen.logits.len()), Some(128));
    let resumed = convert_resuming(&network, &images, &options, state).expect("it goes on").bytes;
    assert!(resumed == whole && !file.exists());

    std::fs::write(&file, b"cardinal calibration 1\nand then nonsense").expect("a file");
    assert!(open(&file, &of).err().expect("damaged").to_string().contains("is damaged"));
    std::fs::write(&file, b"my thesis").expect("a file");
    assert!(open(&file, &of).err().expect("no state").to_string().contains("is no state"));
    assert_eq!(std::fs::read(&file).expect("still there"), b"my thesis");
}

/// As `convert` draws 200.
fn spread(images: &Dataset) -> Vec<usize> {
    cardinal_converter::images::spread(images.labels(), 200, 0)
}
