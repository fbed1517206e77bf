//! ONNX files that PyTorch exported, against PyTorch's own logits; and the same files damaged.

use cardinal_tract::{InputShape, OnnxModel, TractError, decode};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/", $name)).as_slice()
    };
}

const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const STD: [f32; 3] = [58.395, 57.12, 57.375];

/// The image of tiny.json as a network reads it, normalized CHW, and the logits of PyTorch.
fn reference() -> (Vec<f32>, Vec<f32>) {
    let json: serde_json::Value = serde_json::from_slice(fixture!("tiny.json")).unwrap();
    let numbers = |key: &str| -> Vec<f32> {
        json[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    };
    let bytes = numbers("image");
    let image =
        (0..3).flat_map(|c| bytes.chunks(3).map(move |pixel| (pixel[c] - MEAN[c]) / STD[c]).collect::<Vec<_>>());
    (image.collect(), numbers("logits"))
}

#[test]
fn exports_of_pytorch_give_its_logits() {
    let (image, logits) = reference();
    let open = InputShape { channels: 3, height: 16, width: 16 };
    for (name, bytes) in [
        ("tiny.onnx", fixture!("tiny.onnx")),
        ("tiny_bn.onnx", fixture!("tiny_bn.onnx")),
        ("tiny_dynamo.onnx", fixture!("tiny_dynamo.onnx")),
    ] {
        let model = OnnxModel::read(bytes, name, Some(open)).unwrap();
        assert_eq!(model.input_shape(), open, "{name}");
        let found = model.run(&image).unwrap();
        assert_eq!(found.len(), logits.len(), "{name}");
        for (found, expected) in found.iter().zip(&logits) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found}, not {expected}");
        }
        let short = model.run(&image[1..]).unwrap_err();
        assert_eq!(short, TractError::Image { expected: 768, found: 767 }, "{name}");
    }
}

#[test]
fn decoding_shows_the_graph() {
    let proto = decode(fixture!("tiny_bn.onnx")).unwrap();
    let graph = proto.graph.unwrap();
    assert!(graph.node.iter().any(|node| node.op_type == "BatchNormalization"));
    assert!(matches!(decode(b"not protobuf at all"), Err(TractError::Encoding { .. })));
}

#[test]
fn damaged_files_are_errors() {
    let whole = fixture!("tiny.onnx");
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n", &whole[..whole.len() / 2], &whole[1..]] {
        let error = OnnxModel::read(bytes, "cut.onnx", None).unwrap_err();
        assert!(error.to_string().contains("cut.onnx"), "{error}");
    }
}

/// Single bytes changed everywhere in the file: most become errors, some another network, none a panic. tract's own
/// panics are caught and may still print their message.
#[test]
fn no_byte_makes_the_reader_panic() {
    let (image, _) = reference();
    let whole = fixture!("tiny.onnx");
    for place in (0..whole.len()).step_by(601) {
        for value in [0x00, 0x7f] {
            let mut bytes = whole.to_vec();
            bytes[place] = value;
            if let Ok(model) = OnnxModel::read(&bytes, "changed.onnx", None) {
                let _ = model.run(&image);
            }
        }
    }
}
