//! `cardinal parity` as its users meet it.

mod scratch;

use std::collections::BTreeMap;

use cardinal_converter::engine::Network;
use cardinal_converter::images::Dataset;
use cardinal_converter::import::{self, Settings};
use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use scratch::{Scratch, fixture, json};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A scratch folder with the converted network and `val`, 20 images that it was not calibrated with.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.model();
    for (class, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let folder = scratch.path("val").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for i in 0..4 {
            let shade = |x: u32| ((37 * class as u32 + 50 * i + x) % 256) as u8;
            let image =
                image::RgbImage::from_fn(20, 18, |x, y| image::Rgb([shade(9 * x), shade(x * y), shade(13 * y)]));
            image.save(folder.join(format!("{i}.png"))).expect("a picture");
        }
    }
    scratch
}

/// What record.py would write of the tiny network on `val`.
#[derive(Clone)]
struct Recorded {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    meta: Value,
}

impl Recorded {
    fn new(scratch: &Scratch) -> Self {
        let imported = import::read(&scratch.path("tiny.pth"), &Settings::default()).expect("a ResNeXt");
        let float = Network::float32(&imported).expect("tract runs it");
        let images = Dataset::open(&scratch.path("val"), float.input()).expect("class folders");
        let (mut logits, mut labels, mut digests, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut layers: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let mut runner = float.runner();
        for index in 0..images.len() {
            let pixels = images.prepare(index, &float.preprocess, float.input()).expect("an image");
            let said = runner.observe(&pixels, |name, shape, values| {
                let sides = [shape.height, shape.width, shape.channels].map(|side| side as usize);
                let of = [&[images.len()][..], &sides].concat();
                let (_, bytes) = layers.entry(format!("layer.{name}")).or_insert_with(|| (of, Vec::new()));
                let (size, channels) = (sides[0] * sides[1], sides[2]);
                for i in 0..values.len() {
                    bytes.extend(f16::from_f32(values[i % channels * size + i / channels]).to_le_bytes());
                }
            });
            logits.extend(said.expect("it runs").iter().flat_map(|logit| logit.to_le_bytes()));
            labels.extend((index as i32 / 4).to_le_bytes());
            let file = std::fs::read(images.file(index).expect("a file")).expect("there");
            digests.extend_from_slice(&Sha256::digest(file));
            names.push(format!("{index}"));
        }
        let sampled = (0..20_i32).flat_map(i32::to_le_bytes).collect();
        let mut tensors = BTreeMap::from([
            ("logits".to_owned(), (Dtype::F32, vec![20, 5], logits)),
            ("labels".to_owned(), (Dtype::I32, vec![20], labels)),
            ("image_sha256".to_owned(), (Dtype::U8, vec![20, 32], digests)),
            ("sampled".to_owned(), (Dtype::I32, vec![20], sampled)),
        ]);
        tensors.extend(layers.into_iter().map(|(name, (shape, bytes))| (name, (Dtype::F16, shape, bytes))));
        let mut preprocessing = serde_json::to_value(&imported.settings).expect("settings");
        let keys = ["input", "colour", "resize", "resize-short", "filter", "mean", "std"];
        preprocessing.as_object_mut().expect("a table").retain(|key, _| keys.contains(&key.as_str()));
        Recorded { tensors, meta: json!({"network": "tiny", "preprocessing": preprocessing, "names": names}) }
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"))
        });
        let views: BTreeMap<_, _> = views.collect();
        let meta = [("meta".to_owned(), self.meta.to_string())].into();
        safetensors::serialize(views, Some(meta)).expect("a file")
    }

    fn data(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.tensors.get_mut(name).expect("recorded").2
    }

    /// The recording of a network that is always right.
    fn perfect(mut self) -> Self {
        let logits = (0..20).flat_map(|image| (0..5).map(move |class| if class == image / 4 { 9.0_f32 } else { 0.0 }));
        *self.data("logits") = logits.flat_map(f32::to_le_bytes).collect();
        self
    }
}

const PARITY: [&str; 6] = ["parity", "tiny.cardinal", "--data", "val", "--reference", "tiny.pth"];

#[test]
fn text_json_and_junit() {
    let scratch = scratch();
    let text = scratch.succeed(&PARITY);
    for words in ["20 images", "top-1", "95 % interval", "McNemar p", "agreement", "layer1.0.conv2", "changed class"] {
        assert!(text.contains(words), "expected {words:?} in {text}");
    }
    let junit = ["--junit", "parity.xml", "--json", "--min-sqnr", "5"];
    let found = json(&scratch.succeed(&[&PARITY[..], &junit].concat()));
    assert_eq!(found["schema"], "cardinal.parity/1");
    assert_eq!((&found["images"], &found["reference"]["kind"]), (&20.into(), &"checkpoint".into()));
    assert_eq!((&found["passed"], &found["gates"][0]["name"]), (&true.into(), &"min-sqnr".into()));
    assert_eq!(found["layers"]["images"], 16);
    let layers = found["layers"]["compared"].as_array().expect("layers");
    assert_eq!(layers[0]["name"], "conv1");
    assert!(layers.iter().all(|layer| layer["sqnr_db"].as_f64().expect("a number") > 10.0), "{layers:?}");

    // The same numbers as eval's, which counts them another way.
    let eval = json(&scratch.succeed(&["eval", "tiny.cardinal", "val", "--float", "tiny.pth", "--json"]));
    assert_eq!(found["top1"]["int8"], eval["top1"]);
    assert_eq!(found["top1"]["float"], eval["float"]["top1"]);
    assert_eq!(found["agreement"], eval["float"]["agreement"]);
    assert_eq!(found["logit_sqnr_db"], eval["float"]["logit_sqnr_db"]);

    let xml = std::fs::read_to_string(scratch.path("parity.xml")).expect("written");
    assert!(
        xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cardinal parity\""),
        "{xml}"
    );
    assert!(xml.contains("tests=\"2\" failures=\"0\"") && xml.contains("name=\"min-sqnr\""), "{xml}");
    assert!(xml.contains("Agresti &amp; Min") && !xml.contains("<failure"), "{xml}");
}

#[test]
fn a_recording_says_what_its_network_says() {
    let scratch = scratch();
    std::fs::write(scratch.path("tiny.recorded.safetensors"), Recorded::new(&scratch).bytes()).expect("written");
    let ran = json(&scratch.succeed(&[&PARITY[..], &["--json", "--layer-images", "20"]].concat()));
    let parity = ["parity", "tiny.cardinal", "--data", "val", "--reference", "tiny.recorded.safetensors", "--json"];
    let recorded = json(&scratch.succeed(&parity));
    assert_eq!(recorded["reference"]["kind"], "recording");
    for key in ["images", "top1", "agreement", "logit_sqnr_db", "largest_probability_change", "changed"] {
        assert_eq!(recorded[key], ran[key], "{key}");
    }
    let layers = |found: &Value| found["layers"]["compared"].as_array().expect("layers").clone();
    assert_eq!(layers(&ran).len(), layers(&recorded).len());
    for (ran, recorded) in layers(&ran).iter().zip(layers(&recorded)) {
        assert_eq!(ran["name"], recorded["name"]);
        let [a, b] = [ran, &recorded].map(|layer| layer["sqnr_db"].as_f64().expect("a number"));
        // float16 rounds at 74 dB.
        assert!((a - b).abs() < 0.1, "{ran} {recorded}");
    }
    for threads in ["1", "3"] {
        let again = json(&scratch.succeed(&[&parity[..], &["--threads", threads]].concat()));
        assert_eq!(again, recorded, "{threads} threads");
    }
}

#[test]
fn gates() {
    let scratch = scratch();
    std::fs::write(scratch.path("perfect.safetensors"), Recorded::new(&scratch).perfect().bytes()).expect("written");
    let parity = ["parity", "tiny.cardinal", "--data", "val", "--reference", "perfect.safetensors"];
    for (flag, kept, crossed) in
        [("--max-drop", "100", "1.5"), ("--min-agreement", "0", "99.5"), ("--min-sqnr", "-90", "90")]
    {
        scratch.cardinal(&[&parity[..], &[flag, kept]].concat()).assert().code(0).stderr("");
        let args = [&parity[..], &[flag, crossed, "--json", "--junit", "gate.xml"]].concat();
        let output = scratch.cardinal(&args).assert().code(1).get_output().clone();
        let [out, message] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        let sentence = format!("crosses {flag} {crossed} ");
        assert!(message.starts_with("error: ") && message.contains(&sentence), "{message}");
        // The results are there all the same.
        let found = json(&out);
        assert_eq!((&found["passed"], &found["gates"][0]["passed"]), (&false.into(), &false.into()));
        assert_eq!(found["top1"]["float"], 1.0);
        let xml = std::fs::read_to_string(scratch.path("gate.xml")).expect("written");
        assert!(xml.contains("failures=\"1\"") && xml.contains(&format!("name=\"{}\"", &flag[2..])), "{xml}");
        assert!(xml.contains("<failure type=\"gate\" message=\"") && xml.contains(&sentence), "{xml}");
    }
    let all = ["--max-drop", "1.5", "--min-agreement", "99.5", "--min-sqnr", "-90"];
    let output = scratch.cardinal(&[&parity[..], &all].concat()).assert().code(1).get_output().clone();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("within --min-sqnr -90 dB") && text.contains("crosses --max-drop 1.5 points"), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2);
}

/// Recordings that do not fit, or are no recordings.
#[test]
fn bad_recordings() {
    let scratch = scratch();
    let good = Recorded::new(&scratch);
    let with = |change: &dyn Fn(&mut Recorded)| {
        let mut recorded = good.clone();
        change(&mut recorded);
        recorded.bytes()
    };
    let shape = |name: &'static str, to: &'static [usize], bytes: usize| {
        with(&move |r| {
            let tensor = r.tensors.get_mut(name).expect("recorded");
            (tensor.1, tensor.2) = (to.to_vec(), vec![0; bytes]);
        })
    };
    let whole = good.bytes();
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("val/a/3.png: is not the picture that", with(&|r| r.data("image_sha256")[3 * 32] ^= 1)),
        ("val/a/1.png: is image 1 here, but image 2 of", with(&|r| r.data("image_sha256")[32..96].rotate_left(32))),
        ("val/b/0.png: has class 1 here, but class 2", with(&|r| r.data("labels")[16] = 2)),
        ("recorded with another mean", with(&|r| r.meta["preprocessing"]["mean"] = json!([1.0, 2.0, 3.0]))),
        ("recorded with another resize-short", with(&|r| r.meta["preprocessing"]["resize-short"] = json!(99))),
        ("another input size", with(&|r| r.meta["preprocessing"]["input"] = json!([24, 24]))),
        (
            "it has 3 classes, the model 5",
            with(&|r| {
                *r.data("labels") = vec![0; 80];
                r.tensors.insert("logits".into(), (Dtype::F32, vec![20, 3], vec![0; 240]));
            }),
        ),
        (
            "another network: layer conv1",
            with(&|r| {
                r.tensors.insert("layer.conv1".into(), (Dtype::F16, vec![20, 1, 1, 1], vec![0; 40]));
            }),
        ),
        (
            "the logits of image 1 are not finite",
            with(&|r| {
                r.data("logits")[20..24].copy_from_slice(&f32::NAN.to_le_bytes());
            }),
        ),
        ("`labels` has a number that is not from 0 to 4", with(&|r| r.data("labels")[0] = 5)),
        ("`sampled` has a number", with(&|r| r.data("sampled")[3] = 0x80)),
        ("not as many labels", shape("labels", &[19], 76)),
        ("`logits` is no table", shape("logits", &[100], 400)),
        ("`logits` is no table", shape("logits", &[20, 0], 0)),
        ("`layer.conv1` does not have four dimensions", shape("layer.conv1", &[20], 40)),
        ("`layer.conv1` is of 19 images", shape("layer.conv1", &[19, 1, 1, 1], 38)),
        ("it has no `logits`", with(&|r| _ = r.tensors.remove("logits"))),
        ("it has no `labels`", with(&|r| _ = r.tensors.remove("labels"))),
        (
            "`labels` is of type I64, not I32",
            with(&|r| _ = r.tensors.insert("labels".into(), (Dtype::I64, vec![10], vec![0; 80]))),
        ),
        ("its `meta`: missing field `names`", with(&|r| _ = r.meta.as_object_mut().expect("a table").remove("names"))),
        ("is no whole recording", whole[..whole.len() - 1].to_vec()),
        ("not a valid safetensors file", whole[..100].to_vec()),
    ];
    for (says, bytes) in table {
        std::fs::write(scratch.path("bad.safetensors"), bytes).expect("written");
        let message = scratch.fail(&["parity", "tiny.cardinal", "--data", "val", "--reference", "bad.safetensors"]);
        assert!(message.starts_with("error: ") && message.contains(says), "expected {says:?} in {message}");
        assert!(message.contains("bad.safetensors") || says.starts_with("another network"), "{message}");
    }
    std::fs::write(scratch.path("good.safetensors"), &whole).expect("written");
    let fewer = ["parity", "tiny.cardinal", "--reference", "good.safetensors", "--data"];
    std::fs::remove_file(scratch.path("val/e/3.png")).expect("there");
    let message = scratch.fail(&[&fewer[..], &["val"]].concat());
    assert!(message.contains("records 20 images, but --data has 19"), "{message}");
    let message = scratch.fail(&[&fewer[..], &["val", "--strides", "1,2"]].concat());
    assert!(message.contains("good.safetensors: a recording has its own settings"), "{message}");
}

#[test]
fn bad_inputs() {
    let scratch = scratch();
    std::fs::copy(fixture("vgg.pth"), scratch.path("vgg.pth")).expect("the fixture is there");
    std::fs::create_dir(scratch.path("nothing")).expect("a folder");
    let before = scratch.files();
    let table: [(&[&str], &str); 13] = [
        (&["tiny.pth", "--data", "val", "--reference", "tiny.pth"], "tiny.pth: is a checkpoint"),
        (&["missing.cardinal", "--data", "val", "--reference", "tiny.pth"], "missing.cardinal"),
        (&["tiny.cardinal", "--data", "val", "--reference", "missing.pth"], "missing.pth"),
        (&["tiny.cardinal", "--data", "val", "--reference", "vgg.pth"], "no ResNeXt"),
        (
            &["tiny.cardinal", "--data", "val", "--reference", "tiny.cardinal"],
            "not a PyTorch or safetensors checkpoint",
        ),
        (&["tiny.cardinal", "--data", "val"], "--reference"),
        (&["tiny.cardinal", "--data", "nothing", "--reference", "tiny.pth"], "nothing: no images"),
        (&["tiny.cardinal", "--data", "val/a", "--reference", "tiny.pth"], "no classes"),
        (&["tiny.cardinal", "--data", "images", "--reference", "tiny.pth"], "images/a/0.png: the model was calibrated"),
        (&["tiny.cardinal", "--data", "val", "--reference", "tiny.pth", "--junit", "no/such.xml"], "no: "),
        (&["tiny.cardinal", "--data", "val", "--reference", "tiny.pth", "--max-drop", "-1"], "0 to 100"),
        (&["tiny.cardinal", "--data", "val", "--reference", "tiny.pth", "--min-agreement", "101"], "0 to 100"),
        (&["tiny.cardinal", "--data", "val", "--reference", "tiny.pth", "--min-sqnr", "nan"], "a number"),
    ];
    for (args, expected) in table {
        let message = scratch.fail(&[&["parity"], args].concat());
        assert!(message.contains(expected), "{args:?}: expected {expected:?} in {message:?}");
        assert!(message.contains("error: "), "{args:?}: {message}");
    }
    assert_eq!(scratch.files(), before, "a failed command left a file");
    let allowed =
        ["parity", "tiny.cardinal", "--data", "images", "--reference", "tiny.pth", "--allow-calibration-images"];
    assert!(scratch.succeed(&allowed).contains("20 images"));
    std::fs::write(scratch.path("val.txt"), "a/0.png 0\nc/1.png 2\n").expect("written");
    let listed = json(&scratch.succeed(&[&PARITY[..], &["--annotations", "val.txt", "--json"]].concat()));
    assert_eq!((&listed["images"], &listed["layers"]["images"]), (&2.into(), &2.into()));
}
