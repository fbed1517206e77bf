//! Checkpoints written by PyTorch and by safetensors, read by Cardinal.

use cardinal_converter::import::checkpoint::Checkpoint;

/// One network's state dict in each container and layout.
const SAME_NETWORK: [&str; 3] = ["tiny_zip.pth", "tiny_legacy.pth", "tiny_views.pth"];

fn bytes(name: &str) -> Vec<u8> {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/{}"), name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(name: &str) -> Checkpoint {
    Checkpoint::read(&bytes(name), name).unwrap()
}

#[test]
fn every_container_and_layout_holds_the_same_tensors() {
    // The safetensors crate reads this one.
    let expected = read("tiny.safetensors");
    assert!(expected.iter().any(|(_, tensor)| tensor.data.iter().any(|&x| x != 0.0)));
    for name in SAME_NETWORK {
        let checkpoint = read(name);
        assert_eq!(checkpoint.len(), expected.len(), "{name}");
        for (key, tensor) in checkpoint.iter() {
            let key = key.strip_prefix("module.").unwrap_or(key);
            assert_eq!(Some(tensor), expected.get(key), "{name}: {key}");
            assert_eq!(tensor.data.len(), tensor.shape.iter().product::<usize>(), "{name}: {key}");
        }
    }
}

#[test]
fn half_precision_is_widened() {
    let (half, single) = (read("tiny_fp16.pth"), read("tiny_zip.pth"));
    assert!(half.keys().eq(single.keys()));
    for (key, tensor) in half.iter() {
        let exact = single.get(key).unwrap();
        assert_eq!(tensor.shape, exact.shape, "{key}");
        for (&rounded, &exact) in tensor.data.iter().zip(&exact.data) {
            // Half an ulp of an 11-bit significand, and of the smallest subnormal.
            let tolerance = (exact.abs() / 2048.0).max(3e-8);
            assert!((rounded - exact).abs() <= tolerance, "{key}: {rounded} for {exact}");
        }
    }
}

#[test]
fn metadata_is_kept() {
    for name in ["tiny_zip.pth", "tiny_legacy.pth", "tiny_fp16.pth"] {
        let checkpoint = read(name);
        assert_eq!(checkpoint.meta()["meta.network"], "tiny", "{name}");
        assert_eq!(checkpoint.meta()["meta.classes"], r#"["a","b","c","d","e"]"#, "{name}");
    }
}

#[test]
fn a_bare_state_dict_is_read() {
    let checkpoint = read("vgg.pth");
    assert_eq!(checkpoint.get("features.0.weight").unwrap().shape, [8, 3, 3, 3]);
    assert!(checkpoint.meta().is_empty());
}

#[test]
fn the_extension_is_not_looked_at() {
    assert!(Checkpoint::read(&bytes("tiny.safetensors"), "model.pth").is_ok());
    assert!(Checkpoint::read(&bytes("tiny_legacy.pth"), "model.safetensors").is_ok());
}

#[test]
fn other_files_are_named() {
    let error = Checkpoint::read(&bytes("tiny.onnx"), "tiny.onnx").unwrap_err().to_string();
    assert!(error.starts_with("tiny.onnx: not a PyTorch or safetensors checkpoint: "), "{error}");
    assert!(error.contains("ONNX"), "{error}");
    let error = Checkpoint::read(&[], "model.pth").unwrap_err().to_string();
    assert!(error.starts_with("model.pth: the file is empty"), "{error}");
}

#[test]
fn cut_off_and_damaged_files_do_no_harm() {
    for name in ["tiny_zip.pth", "tiny_legacy.pth", "tiny.safetensors"] {
        let whole = bytes(name);
        for len in (0..whole.len()).step_by(211) {
            let error = Checkpoint::read(&whole[..len], name).expect_err("a part of a file");
            assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        }
        // Whatever comes of it, it has to come.
        for at in (0..whole.len()).step_by(89) {
            let mut damaged = whole.clone();
            damaged[at] = !damaged[at];
            let _ = Checkpoint::read(&damaged, name);
        }
    }
}
