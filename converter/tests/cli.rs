//! The command as its users meet it: what they read, exit codes, and that nothing is left behind when it fails.

mod scratch;

use std::path::{Path, PathBuf};

use scratch::{Scratch, fixture, json};

fn calibration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fmnist/calib")
}

#[test]
fn convert_inspect_predict_eval() {
    let scratch = Scratch::new();
    let report = json(&scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--json", "-o", "out.cardinal"]));
    assert_eq!(report["schema"], "cardinal.convert/1");
    assert_eq!(report["classes"], 5);
    assert_eq!(report["calibration"]["images"], 20);
    assert_eq!(report["file_bytes"], std::fs::metadata(scratch.path("out.cardinal")).expect("written").len());

    let inspected = json(&scratch.succeed(&["inspect", "out.cardinal", "--json"]));
    assert_eq!(inspected["labels"], serde_json::json!(["a", "b", "c", "d", "e"]));
    assert_eq!(inspected["provenance"]["source"]["file"], "tiny.pth");
    assert_eq!(inspected["multiply_adds"], report["multiply_adds"]);
    assert_eq!(inspected["layers"][0]["name"], "conv1");
    let block_end = &inspected["layers"][3];
    assert_eq!((&block_end["name"], &block_end["adds_shortcut"]), (&"layer1.0.conv3".into(), &true.into()));
    assert_eq!(block_end["projection"], serde_json::json!({"input": [8, 8, 8], "stride": [1, 1]}));
    let text = scratch.succeed(&["inspect", "out.cardinal"]);
    assert!(text.contains("layer1.0.conv2") && text.contains("convolution + projection/2"), "{text}");

    let on = json(&scratch.succeed(&["inspect", "out.cardinal", "--target", "cortex-m4", "--json"]));
    let part = |name: &str| on["footprint"][name].as_u64().expect("a number");
    assert_eq!(on["footprint"]["weights"], report["file_bytes"]);
    assert_eq!(part("flash"), part("code") + part("weights"));
    assert_eq!(part("ram"), part("arena") + part("statics") + part("stack"));
    assert_eq!(on["footprint"]["fits"], true);
    assert!(scratch.fail(&["inspect", "out.cardinal", "--target", "z80"]).contains("is none of cortex-m4"));
    scratch.cardinal(&["inspect", "out.cardinal", "--target", "cortex-m4", "--flash", "16K"]).assert().failure();

    let golden = ["golden", "out.cardinal", "images", "--images", "3", "-o", "out.golden"];
    assert!(scratch.succeed(&golden).contains("3 images"));
    let golden = std::fs::read(scratch.path("out.golden")).expect("written");
    let header = cardinal_format::golden::Header::parse(&golden).expect("a golden file");
    assert_eq!((header.count, header.classes), (3, 5));
    assert_eq!(golden.len(), 24 + 3 * header.record_len().expect("small"));

    let predicted = json(&scratch.succeed(&["predict", "out.cardinal", "images/a/0.png", "--topk", "2", "--json"]));
    let best = &predicted["predictions"][0];
    assert_eq!(best["top"].as_array().map(Vec::len), Some(2));
    assert_eq!(best["pred_class"], best["top"][0]["pred_class"]);
    let score = best["pred_score"].as_f64().expect("a number");
    assert!((0.2..=1.0).contains(&score), "the best of five classes has {score}");
    assert!(scratch.succeed(&["predict", "out.cardinal", "images/a/0.png"]).contains("pred_score"));

    let scored = json(&scratch.succeed(&[
        "eval",
        "out.cardinal",
        "images",
        "--float",
        "tiny.pth",
        "--json",
        "--allow-calibration-images",
    ]));
    assert_eq!(scored["images"], 20);
    assert_eq!((&scored["arithmetic"], &scored["top5"]), (&"int8".into(), &1.0.into()));
    assert!(scored["float"]["logit_sqnr_db"].as_f64().expect("a number") > 10.0);
}

#[test]
fn results_do_not_depend_on_threads() {
    let scratch = Scratch::new();
    for threads in ["1", "2", "5"] {
        let out = format!("{threads}.cardinal");
        scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--threads", threads, "-o", &out]);
    }
    let read = |name: &str| std::fs::read(scratch.path(name)).expect("written");
    assert!(read("1.cardinal") == read("2.cardinal") && read("2.cardinal") == read("5.cardinal"));
}

#[test]
fn results_do_not_depend_on_backends() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let predict = |backend: &str| {
        let flags = ["predict", &model, "images", "--backend", backend, "--json", "--features", "stage2"];
        let seen = json(&scratch.succeed(&flags))["predictions"].clone();
        (seen, std::fs::read(scratch.path("features.npy")).expect("written"))
    };
    let portable = predict("portable");
    for backend in cardinal_runtime::kernels::available() {
        assert_eq!(predict(backend.name), portable, "{}", backend.name);
    }
    let refused = scratch.fail(&["predict", &model, "images", "--backend", "sse9"]);
    assert!(refused.contains("--backend: \"sse9\" is none of ") && refused.contains("portable"), "{refused}");
}

#[test]
fn bench_compares_with_an_earlier_run() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let run = |more: &[&str]| scratch.succeed(&[&["bench", &model, "--runs", "3"], more].concat());
    let before = run(&["--json"]);
    let document = json(&before);
    assert_eq!(document["schema"], "cardinal.bench/1");
    let layers = document["layers"].as_array().expect("layers");
    let inspected = json(&scratch.succeed(&["inspect", &model, "--json"]));
    let field = |layers: &serde_json::Value, field: &str| -> Vec<serde_json::Value> {
        layers.as_array().expect("layers").iter().map(|layer| layer[field].clone()).collect()
    };
    for name in ["name", "multiply_adds"] {
        assert_eq!(field(&document["layers"], name), field(&inspected["layers"], name));
    }
    let shares: f64 = layers.iter().map(|layer| layer["share"].as_f64().expect("a number")).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    std::fs::write(scratch.path("before.json"), before).expect("written");
    let compared = json(&run(&["--compare", "before.json", "--json"]));
    assert!(compared["layers"].as_array().expect("layers").iter().all(|layer| layer["compared"]["ratio"].is_number()));
    assert!(run(&["--compare", "before.json"]).contains("3 runs on 1 thread, "));
    std::fs::write(scratch.path("before.json"), "{}").expect("written");
    let refused = scratch.fail(&["bench", &model, "--compare", "before.json"]);
    assert!(refused.contains("before.json: not what `cardinal bench --json` printed"), "{refused}");
}

#[test]
fn flags_win_over_the_file_beside() {
    let scratch = Scratch::new();
    scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--labels", "v,w,x,y,z"]);
    let inspected = json(&scratch.succeed(&["inspect", "tiny.cardinal", "--json"]));
    assert_eq!(inspected["labels"][4], "z");
}

#[test]
fn shards_and_a_cut_run_add_up_exactly() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let eval = |more: &[&str]| {
        let command = ["eval", &model, "images", "--float", "tiny.pth", "--allow-calibration-images", "--json"];
        let mut result = json(&scratch.succeed(&[&command, more].concat()));
        // Times differ from run to run.
        (result["ms"], result["float"]["ms"]) = (0.into(), 0.into());
        result
    };
    let whole = eval(&[]);
    assert_eq!(whole["per_class"][3]["label"], "d");
    assert_eq!(whole["per_class"][3]["images"], 4);
    assert_eq!(whole["confusion"].as_array().map(Vec::len), Some(5));
    let part = eval(&["--shard", "1/3", "--log", "1.jsonl"]);
    assert_eq!(part["images"], 7);
    eval(&["--shard", "0/3", "--log", "0.jsonl"]);
    let message = scratch.fail(&["merge", "0.jsonl", "1.jsonl"]);
    assert!(message.contains("6 of 20 images are in no log, the first of them image 2"), "{message}");

    // Cut in the middle of a line, as by a crash.
    eval(&["--shard", "2/3", "--log", "2.jsonl"]);
    let log = std::fs::read_to_string(scratch.path("2.jsonl")).expect("written");
    std::fs::write(scratch.path("2.jsonl"), &log[..log.len() - 40]).expect("cut");
    assert!(scratch.fail(&["merge", "0.jsonl", "1.jsonl", "2.jsonl"]).contains("1 of 20 images"));
    eval(&["--shard", "2/3", "--log", "2.jsonl"]);
    let mut merged = json(&scratch.succeed(&["merge", "2.jsonl", "0.jsonl", "1.jsonl", "--json"]));
    (merged["ms"], merged["float"]["ms"], merged["model"]) = (0.into(), 0.into(), whole["model"].clone());
    assert_eq!(merged, whole);
    assert!(
        scratch.succeed(&["merge", "0.jsonl", "1.jsonl", "2.jsonl", "--per-class"]).contains("taken by the network")
    );

    scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--method", "min-max", "-o", "other.cardinal"]);
    let message = scratch.fail(&["eval", "other.cardinal", "images", "--log", "0.jsonl"]);
    assert!(message.contains("0.jsonl: holds the evaluation of another model"), "{message}");
    let message = scratch.fail(&["eval", &model, "images", "--log", "0.jsonl", "--engine", "tract"]);
    assert!(message.contains("0.jsonl: holds the evaluation of another --engine"), "{message}");
}

#[test]
fn images_by_a_list() {
    let scratch = Scratch::new();
    let model = scratch.model();
    std::fs::write(scratch.path("val.txt"), "a/0.png 0\nc/1.png 2\n").expect("written");
    let flags = ["--annotations", "val.txt", "--allow-calibration-images"];
    let result = json(&scratch.succeed(&[&["eval", &model, "images", "--json"], &flags[..]].concat()));
    assert_eq!((&result["images"], &result["per_class"][1]["class"]), (&2.into(), &2.into()));
    std::fs::write(scratch.path("val.txt"), "a/0.png 5\n").expect("written");
    let message = scratch.fail(&[&["eval", &model, "images"], &flags[..]].concat());
    assert!(message.contains("class 5, but the model's 5 classes are numbered from 0"), "{message}");
}

#[test]
fn predict_takes_folders_and_standard_input() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let all = json(&scratch.succeed(&["predict", &model, "images", "images/b/1.png", "--json"]));
    let all = all["predictions"].as_array().expect("predictions");
    assert_eq!(all.len(), 21);
    let file = |i: usize| all[i]["file"].as_str().expect("a name");
    assert!(file(0).ends_with("a/0.png") && file(5).ends_with("b/1.png"));
    assert_eq!(all[5]["top"], all[20]["top"]);

    let bytes = std::fs::read(scratch.path("images/b/1.png")).expect("there");
    let output = scratch.cardinal(&["predict", &model, "-", "--json"]).write_stdin(bytes).assert().success();
    let piped = json(&String::from_utf8_lossy(&output.get_output().stdout));
    assert_eq!(piped["predictions"][0]["top"], all[5]["top"]);
    let output = scratch.cardinal(&["predict", &model, "-"]).write_stdin("no image").assert().failure();
    assert!(String::from_utf8_lossy(&output.get_output().stderr).contains("standard input"));
}

#[test]
fn predict_writes_features() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let header = |name: &str| {
        let bytes = std::fs::read(scratch.path(name)).expect("written");
        (String::from_utf8_lossy(&bytes[10..128]).trim_end().to_owned(), bytes.len() - 128)
    };
    scratch.succeed(&["predict", &model, "images", "--features"]);
    let (shape, bytes) = header("features.npy");
    assert!(shape.contains("'shape': (20, 32)") && bytes == 20 * 32 * 4, "{shape}");
    scratch.succeed(&["predict", &model, "images/a", "images/b/0.png", "--features", "stage1", "-o", "one.npy"]);
    let (shape, bytes) = header("one.npy");
    let sides = json(&scratch.succeed(&["inspect", &model, "--json"]))["layers"][3]["output"].clone();
    let side = sides[0].as_u64().expect("a height");
    assert!(shape.contains(&format!("'shape': (5, 16, {side}, {side})")), "{shape}");
    assert_eq!(bytes as u64, 5 * 16 * side * side * 4);
    // A projection is part of the convolution that adds it.
    for which in ["stage9", "layer1.0.downsample"] {
        let message = scratch.fail(&["predict", &model, "images", "--features", which, "-o", "none.npy"]);
        assert!(message.contains(&format!("shows no {which}; its layers are conv1, ")), "{message}");
        assert!(message.contains("layer1.0.conv3") && !scratch.path("none.npy").exists(), "{message}");
    }
}

/// The three ways to run one network give the same documents, and nearly the same numbers.
#[test]
fn engines_differ_by_one_flag() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let ways: [(&str, &[&str]); 3] =
        [("int8", &[&model]), ("qdq", &[&model, "--engine", "tract"]), ("float32", &["tiny.pth"])];
    let mut scores = Vec::new();
    for (arithmetic, way) in ways {
        let features = ["--features", "stage2", "-o", arithmetic];
        let text = scratch.succeed(&[&["predict"], way, &["images", "--json"], &features].concat());
        let predicted = json(&text);
        assert_eq!(predicted["arithmetic"], arithmetic);
        let predictions = predicted["predictions"].as_array().expect("predictions").clone();
        scores.push(predictions.iter().map(|p| p["pred_score"].as_f64().expect("a number")).collect::<Vec<_>>());
        let evaluated =
            json(&scratch.succeed(&[&["eval"], way, &["images", "--json", "--allow-calibration-images"]].concat()));
        assert_eq!((&evaluated["arithmetic"], &evaluated["images"]), (&arithmetic.into(), &20.into()));
    }
    let worst = |other: &[f64]| scores[0].iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst(&scores[1]) < 0.01 && worst(&scores[2]) < 0.1, "{scores:?}");
    let bytes = |name: &str| std::fs::read(scratch.path(name)).expect("written");
    assert_eq!(
        (bytes("int8").len(), bytes("int8")[..128].to_vec()),
        (bytes("float32").len(), bytes("float32")[..128].to_vec())
    );
}

/// The pixels that the network reads, and what it says of them.
#[test]
fn ends_of_the_network_as_features() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let values = |which: &str| {
        scratch.succeed(&["predict", &model, "images/a/0.png", "--features", which, "-o", "x.npy"]);
        let bytes = std::fs::read(scratch.path("x.npy")).expect("written");
        bytes[128..].as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect::<Vec<_>>()
    };
    let image = values("image");
    assert_eq!(image.len(), 3 * 16 * 16);
    assert!(image.iter().all(|p| (0.0..=255.0).contains(p) && p.fract() == 0.0));
    let logits = values("logits");
    let predicted = json(&scratch.succeed(&["predict", &model, "images/a/0.png", "--json"]));
    let best = predicted["predictions"][0]["pred_label"].as_u64().expect("a class") as usize;
    assert!(logits.len() == 5 && logits.iter().all(|logit| *logit <= logits[best]), "{logits:?}");
}

#[test]
fn presets_are_recorded() {
    let scratch = Scratch::new();
    let flags = ["--preset", "timm-a1", "--input", "32x32", "--resize-short", "34"];
    scratch.succeed(&[&["convert", "tiny.pth", "--calib", "images"], &flags[..]].concat());
    let inspected = json(&scratch.succeed(&["inspect", "tiny.cardinal", "--json"]));
    let settings = &inspected["provenance"]["settings"];
    assert_eq!(settings["filter"], "bicubic");
    assert_eq!(settings["resize-short"], 34);
    assert_eq!(settings["mean"][0], 123.675);
}

#[test]
fn models_by_name() {
    let scratch = Scratch::new();
    let published = json(&scratch.succeed(&["models", "--json"]));
    let rows = published["models"].as_array().expect("rows");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["resnext50-32x4d", "resnext101-32x4d", "resnext101-32x8d", "resnext152-32x4d"]);
    assert_eq!(rows[0]["parameters"], 25_028_904);
    assert_eq!(rows[0]["multiply_adds"], 4_230_479_872_u64);
    assert_eq!(rows[0]["published"]["top1"], 77.9);

    let text = scratch.succeed(&["models", "resnext26-8x16d", "--input", "96x96", "--classes", "10"]);
    assert!(text.contains("resnext26-8x16d") && text.contains("2-2-2-2"), "{text}");
}

#[test]
fn one_bad_image_does_not_hide_the_others() {
    let scratch = Scratch::new();
    let model = scratch.model();
    std::fs::write(scratch.path("broken.png"), b"not a picture").expect("written");
    let output = scratch.cardinal(&["predict", &model, "broken.png", "images/b/1.png"]).assert().failure();
    let output = output.get_output();
    assert!(String::from_utf8_lossy(&output.stdout).contains("images/b/1.png"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken.png"));
}

/// Every command with every kind of bad input: an error that names it, and no file that was not there before.
#[test]
fn bad_inputs() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let model_bytes = std::fs::read(scratch.path(&model)).expect("written");
    let checkpoint = std::fs::read(scratch.path("tiny.pth")).expect("there");
    let mut damaged = model_bytes.clone();
    damaged[model_bytes.len() / 2] ^= 1;
    let mut damaged_checkpoint = checkpoint.clone();
    damaged_checkpoint[checkpoint.len() / 2] ^= 0xff;
    let files: [(&str, &[u8]); 7] = [
        ("empty.pth", b""),
        ("cut.pth", &checkpoint[..checkpoint.len() / 2]),
        ("damaged.pth", &damaged_checkpoint),
        ("empty.cardinal", b""),
        ("cut.cardinal", &model_bytes[..model_bytes.len() - 100]),
        ("damaged.cardinal", &damaged),
        ("text.onnx", b"\x08this is no ONNX"),
    ];
    for (name, bytes) in files {
        std::fs::write(scratch.path(name), bytes).expect("written");
    }
    for name in ["vgg.pth", "vgg.onnx"] {
        std::fs::copy(fixture(name), scratch.path(name)).expect("the fixture is there");
    }
    std::fs::copy(scratch.path("tiny.pth"), scratch.path("alone.pth")).expect("copied");
    std::fs::create_dir(scratch.path("nothing")).expect("a folder");
    std::fs::create_dir_all(scratch.path("spoiled/a")).expect("a folder");
    std::fs::write(scratch.path("spoiled/a/broken.png"), b"\x89PNG\r\n\x1a\n, but no more").expect("written");
    let before = scratch.files();

    let calibration = calibration().display().to_string();
    let table: &[(&[&str], &str)] = &[
        (&["convert", "missing.pth", "--calib", "images"], "missing.pth"),
        (&["convert", "empty.pth", "--calib", "images"], "empty"),
        (&["convert", "cut.pth", "--calib", "images"], "cut.pth"),
        (&["convert", "damaged.pth", "--calib", "images"], "damaged.pth"),
        (&["convert", "text.onnx", "--calib", "images"], "text.onnx"),
        (&["convert", "vgg.pth", "--calib", "images"], "no ResNeXt"),
        (&["convert", "vgg.onnx", "--calib", "images"], "vgg.onnx: node"),
        (&["convert", "alone.pth", "--calib", "images"], "--input"),
        (&["convert", "tiny.pth", "--calib", "nothing"], "nothing: no images"),
        (&["convert", "tiny.pth", "--calib", "missing"], "missing"),
        (&["convert", "tiny.pth", "--calib", &calibration], "whole number of 16×16 tiles"),
        (&["convert", "tiny.pth", "--calib", "images", "--calib-images", "0"], "at least one image"),
        (&["convert", "tiny.pth", "--calib", "images", "--strides", "1,2,2"], "3 stage strides"),
        (&["convert", "tiny.pth", "--calib", "images", "--labels", "a,b"], "2 labels"),
        (&["convert", "tiny.pth", "--calib", "images", "--std", "1,0,1"], "--std"),
        (&["convert", "tiny.pth", "--calib", "images", "-o", "tiny.pth"], "the checkpoint itself"),
        (&["convert", "tiny.pth", "--calib", "images", "-o", "no/such/folder.cardinal"], "no/such"),
        (
            &["convert", "tiny.cardinal", "--calib", "images", "-o", "other.cardinal"],
            "not a PyTorch or safetensors checkpoint",
        ),
        (&["convert", "tiny.pth", "--calib", "images", "--arch", "resnext50-32x4d"], "not the resnext50-32x4d"),
        (&["convert", "tiny.pth", "--calib", "images", "--ema"], "holds no averaged weights"),
        (&["predict", "tiny.pth", "images/a/0.png", "--engine", "cardinal"], "convert the checkpoint first"),
        (&["predict", "tiny.cardinal", "images/a/0.png", "--strides", "1,2"], "has its own settings"),
        (&["eval", "tiny.cardinal", "images", "--float", "tiny.cardinal"], "not a PyTorch or safetensors checkpoint"),
        (&["predict", "vgg.onnx", "images/a/0.png"], "vgg.onnx: node"),
        (&["models", "resnet50d"], "not an architecture of this family"),
        (&["inspect", "missing.cardinal"], "missing.cardinal"),
        (&["inspect", "empty.cardinal"], "empty or cut off"),
        (&["inspect", "cut.cardinal"], "cut off"),
        (&["inspect", "damaged.cardinal"], "CRC-32"),
        (&["inspect", "tiny.pth"], "not a .cardinal file"),
        (&["predict", "damaged.cardinal", "images/a/0.png"], "CRC-32"),
        (&["eval", "cut.cardinal", "images"], "cut off"),
        (&["eval", "tiny.cardinal", "nothing"], "no images"),
        (&["eval", "tiny.cardinal", "images"], "was calibrated with this image"),
        (&["eval", "tiny.cardinal", "images", "--annotations", "missing.txt"], "missing.txt"),
        (&["eval", "tiny.cardinal", "images", "--log", "x.jsonl", "--shard", "3/3"], "0 to N-1"),
        (&["eval", "tiny.cardinal", "images", "--log", "text.onnx"], "text.onnx"),
        (&["merge", "missing.jsonl"], "missing.jsonl"),
        (&["merge", "tiny.toml"], "tiny.toml: line 1"),
        (&["eval", "tiny.cardinal", "images/a"], "no classes"),
        (&["eval", "tiny.cardinal", "spoiled"], "broken.png"),
        (&["convert", "tiny.pth", "--calib", "spoiled", "-o", "other.cardinal"], "broken.png"),
        (&["demo", "-o", "no/such/folder.cardinal"], "no/such"),
        (&["eval", "tiny.cardinal", "images", "--float", "vgg.pth"], "no ResNeXt"),
    ];
    for (args, expected) in table {
        let message = scratch.fail(args);
        assert!(message.contains(expected), "{args:?}: expected {expected:?} in {message:?}");
        assert!(message.contains("error: "), "{args:?}: {message}");
    }
    assert_eq!(scratch.files(), before, "a failed command left a file");
}

#[test]
fn signs_are_told_on_the_command_line() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("one")).expect("a folder");
    std::fs::copy(scratch.path("images/b/1.png"), scratch.path("one/1.png")).expect("a picture");
    let output = scratch.cardinal(&["convert", "tiny.pth", "--calib", "one"]).assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("warning: only 1 different images to calibrate with"), "{said}");
    std::fs::create_dir(scratch.path("none")).expect("a folder");
    let said = scratch.fail(&["convert", "tiny.pth", "--calib", "none", "-o", "none.cardinal"]);
    assert!(said.contains("none") && said.contains("image") && !scratch.path("none.cardinal").exists(), "{said}");
}
