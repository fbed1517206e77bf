//! ONNX files that are not, or not quite, a ResNeXt: each refused by name, in bounded memory.

use cardinal_converter::import::{self, Settings};
use cardinal_tract::{decode, pb};
use prost::Message;

const TINY: &[u8] = include_bytes!("../../tests/fixtures/tiny_bn.onnx");
const SETTINGS: &str = include_str!("../../tests/fixtures/tiny.toml");

fn import(bytes: &[u8]) -> Result<import::Imported, String> {
    let settings = Settings::parse(SETTINGS, "tiny.toml".as_ref()).expect("valid settings");
    import::from_bytes(bytes, "file.onnx", &settings).map_err(|error| error.to_string())
}

/// What is said of the tiny network after a change.
fn refusal(change: impl FnOnce(&mut pb::GraphProto)) -> String {
    let mut model = decode(TINY).expect("a valid fixture");
    change(model.graph.as_mut().expect("a graph"));
    import(&model.encode_to_vec()).map(|imported| imported.summary).expect_err("refused")
}

fn node<'a>(graph: &'a mut pb::GraphProto, op_type: &str) -> &'a mut pb::NodeProto {
    graph.node.iter_mut().find(|node| node.op_type == op_type).expect("the fixture has such a node")
}

fn attribute<'a>(node: &'a mut pb::NodeProto, name: &str) -> &'a mut pb::AttributeProto {
    node.attribute.iter_mut().find(|attribute| attribute.name == name).expect("the node has such an attribute")
}

/// What the refusal must say, and the change.
type Row = (&'static str, fn(&mut pb::GraphProto));

/// Turns the global average pool into one that states its extent.
fn average(graph: &mut pb::GraphProto, kernel: [i64; 2]) {
    let strides = attribute(node(graph, "Conv"), "strides").clone();
    let pool = node(graph, "GlobalAveragePool");
    pool.op_type = "AveragePool".into();
    pool.attribute = vec![pb::AttributeProto { name: "kernel_shape".into(), ints: kernel.to_vec(), ..strides }];
}

/// The same network as TensorFlow's converter writes it, and with the sizes of a batch that is left open.
#[test]
fn other_ways_to_say_the_same() {
    let expected = import(TINY).expect("the fixture");
    let table: [fn(&mut pb::GraphProto); 3] = [
        |g| average(g, [4, 4]),
        |g| {
            let perm = pb::AttributeProto { name: "perm".into(), ints: vec![0, 3, 1, 2], ..Default::default() };
            let image = g.input[0].name.clone();
            node(g, "Conv").input[0] = "transposed".into();
            let (input, output) = (vec![image], vec!["transposed".into()]);
            let attribute = vec![perm];
            g.node.insert(
                0,
                pb::NodeProto { op_type: "Transpose".into(), input, output, attribute, ..Default::default() },
            );
            let Some(pb::type_proto::Value::TensorType(tensor)) =
                g.input[0].r#type.as_mut().and_then(|t| t.value.as_mut())
            else {
                panic!("the image is a tensor");
            };
            tensor.shape.as_mut().expect("a shape").dim[1..].rotate_left(1);
        },
        |g| {
            let flatten = g.node.iter().position(|n| n.op_type == "Flatten").expect("the fixture has one");
            let pooled = g.node[flatten].input[0].clone();
            let one = |op: &str, input: &[&str], output: &str| pb::NodeProto {
                op_type: op.into(),
                input: input.iter().map(|&name| name.into()).collect(),
                output: vec![output.into()],
                ..Default::default()
            };
            let index = g.initializer[0].name.clone();
            g.node[flatten].op_type = "Reshape".into();
            g.node[flatten].input.push("target".into());
            let sizes = [
                one("Shape", &[&pooled], "sizes"),
                one("Gather", &["sizes", &index], "batch"),
                one("Unsqueeze", &["batch"], "list"),
                one("Concat", &["list", "list"], "target"),
            ];
            g.node.splice(flatten..flatten, sizes);
        },
    ];
    for change in table {
        let mut model = decode(TINY).expect("a valid fixture");
        change(model.graph.as_mut().expect("a graph"));
        assert_eq!(import(&model.encode_to_vec()).expect("the same network").graph, expected.graph);
    }
}

#[test]
fn changed_networks_are_refused_by_node() {
    let table: &[Row] = &[
        ("node /backbone/Relu (Sigmoid)", |g| node(g, "Relu").op_type = "Sigmoid".into()),
        ("exactly one input", |g| g.input.push(pb::ValueInfoProto { name: "second".into(), ..Default::default() })),
        ("no node computes the output", |g| g.output[0].name = "nothing".into()),
        ("which no earlier node computes", |g| g.node.reverse()),
        ("which no earlier node computes", |g| node(g, "Conv").input[0] = "nowhere".into()),
        ("must be a constant of floats", |g| node(g, "Conv").input[1] = "nowhere".into()),
        ("which is not said", |g| g.initializer[0].data_location = Some(1)),
        ("its shape", |g| g.initializer[0].dims[0] = 1 << 40),
        ("impossible shape", |g| g.initializer[0].dims[0] = -1),
        ("data type 8", |g| g.initializer[0].data_type = 8),
        ("impossible groups", |g| attribute(node(g, "Conv"), "group").i = -1),
        ("do not divide", |g| attribute(node(g, "Conv"), "group").i = 3),
        ("dilation", |g| attribute(node(g, "Conv"), "dilations").ints = vec![2, 2]),
        ("stride of 0", |g| attribute(node(g, "Conv"), "strides").ints = vec![0, 1]),
        ("strides [300, 1]", |g| attribute(node(g, "Conv"), "strides").ints = vec![300, 1]),
        ("shortcut of another shape", |g| {
            let shortcut = g.node.iter_mut().find(|n| n.name.contains("layer2.0/downsample/downsample.0/Conv"));
            attribute(shortcut.expect("a shortcut"), "strides").ints = vec![1, 1];
        }),
        ("right behind a convolution only", |g| node(g, "BatchNormalization").input[0] = "input".into()),
        ("no residual block", |g| {
            let gap = node(g, "GlobalAveragePool").clone();
            let relu = node(g, "Relu").output[0].clone();
            node(g, "GlobalAveragePool").input[0] = relu;
            assert_ne!(gap.input, node(g, "GlobalAveragePool").input);
        }),
        ("training mode", |g| node(g, "BatchNormalization").output.push("batch_mean".into())),
        ("averages 2×3 positions", |g| average(g, [2, 3])),
        ("node transposed (Transpose): is not an operation", |g| {
            let relu = node(g, "Relu").output[0].clone();
            let perm = attribute(node(g, "Conv"), "strides").clone();
            let perm = pb::AttributeProto { name: "perm".into(), ints: vec![0, 3, 1, 2], ..perm };
            let output = vec!["transposed".into()];
            let transpose = pb::NodeProto {
                op_type: "Transpose".into(),
                input: vec![relu],
                output,
                attribute: vec![perm],
                ..Default::default()
            };
            let at = g.node.iter().position(|n| n.op_type == "Relu").expect("a ReLU");
            g.node.insert(at + 1, transpose);
        }),
        ("alpha, beta and transA", |g| attribute(node(g, "Gemm"), "alpha").f = 2.0),
        ("NaN or infinite", |g| {
            let values = &mut g.initializer[0].raw_data;
            values[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
    ];
    for (expected, change) in table {
        let message = refusal(change);
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
        assert!(message.starts_with("file.onnx: "), "{message}");
    }
}

/// Many nodes that share one constant would each get a copy of it.
#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    let message = refusal(|graph| {
        let conv = graph.node.iter().find(|n| n.op_type == "Conv").expect("a convolution").clone();
        for i in 0..10_000 {
            graph.node.push(pb::NodeProto { output: vec![format!("copy {i}")], ..conv.clone() });
        }
    });
    assert!(message.contains("far more weights than the file") || message.contains("expected here"), "{message}");
}

#[test]
fn cut_files_are_refused() {
    // Every length would decode for minutes in sum; primes reach into every part.
    for len in (0..TINY.len()).step_by(13) {
        assert!(import(&TINY[..len]).is_err(), "{len} of {} bytes were accepted", TINY.len());
    }
}

/// The tiny network with every constant of floats in a file of its own making, and that file's bytes.
fn external(location: &str) -> (pb::ModelProto, Vec<u8>) {
    let mut model = decode(TINY).expect("a valid fixture");
    let mut data = vec![0xff; 64];
    for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
        if tensor.data_type != 1 || tensor.raw_data.is_empty() {
            continue;
        }
        let entry = |key: &str, value: String| pb::StringStringEntryProto { key: key.into(), value };
        tensor.external_data = vec![
            entry("location", location.into()),
            entry("offset", data.len().to_string()),
            entry("length", tensor.raw_data.len().to_string()),
        ];
        tensor.data_location = Some(1);
        data.append(&mut tensor.raw_data);
    }
    (model, data)
}

#[test]
fn weights_may_lie_beside() {
    let settings = Settings::parse(SETTINGS, "tiny.toml".as_ref()).expect("valid settings");
    let dir = tempfile::tempdir().expect("a folder");
    let read = || import::read(&dir.path().join("tiny.onnx"), &settings).map_err(|error| error.to_string());
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("written");

    let (model, data) = external("tiny.data");
    write("tiny.onnx", &model.encode_to_vec());
    let message = read().expect_err("the data is missing");
    assert!(message.contains("beside, in tiny.data: "), "{message}");
    write("tiny.data", &data);
    let one = import(TINY).expect("the fixture");
    let other = read().expect("the same network");
    assert_eq!(other.graph, one.graph);
    write("tiny.data", &data[..data.len() - 1]);
    let message = read().expect_err("the data is cut off");
    assert!(message.contains("bytes: is it cut off?"), "{message}");
    let message = import(&model.encode_to_vec()).expect_err("there is no folder");
    assert!(message.contains("tiny.data, which cannot be read from memory"), "{message}");
}

#[test]
fn tensors_cannot_share_external_data_without_end() {
    let settings = Settings::parse(SETTINGS, "tiny.toml".as_ref()).expect("valid settings");
    let dir = tempfile::tempdir().expect("a folder");
    let (mut model, data) = external("tiny.data");
    let initializers = &mut model.graph.as_mut().expect("a graph").initializer;
    let largest = initializers.iter().max_by_key(|tensor| tensor.dims.iter().product::<i64>()).expect("one").clone();
    initializers.extend((0..100).map(|i| pb::TensorProto { name: format!("copy{i}"), ..largest.clone() }));
    std::fs::write(dir.path().join("tiny.data"), data).expect("written");
    std::fs::write(dir.path().join("tiny.onnx"), model.encode_to_vec()).expect("written");
    let message = import::read(&dir.path().join("tiny.onnx"), &settings).expect_err("refused").to_string();
    assert!(message.contains("tensors share more bytes than it has"), "{message}");
}

#[test]
fn external_data_stays_in_the_folder() {
    let settings = Settings::parse(SETTINGS, "tiny.toml".as_ref()).expect("valid settings");
    let dir = tempfile::tempdir().expect("a folder");
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let absolute = dir.path().join("secret").display().to_string();
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("secret"), inner.join("link")).expect("a link");
    for location in ["../secret", &absolute, "inner/../../secret", "", "link"] {
        let (model, data) = external(location);
        std::fs::write(dir.path().join("secret"), &data).expect("written");
        std::fs::write(inner.join("tiny.onnx"), model.encode_to_vec()).expect("written");
        let message = import::read(&inner.join("tiny.onnx"), &settings).expect_err("refused").to_string();
        assert!(message.contains("outside the ONNX file's folder"), "{location:?}: {message}");
    }
    for (key, value, expected) in [
        ("offset", "-1", "no number"),
        ("length", "99999999999", "is it cut off?"),
        ("location", "/dev/zero", "outside"),
    ] {
        let (mut model, data) = external("tiny.data");
        std::fs::write(inner.join("tiny.data"), &data).expect("written");
        let graph = model.graph.as_mut().expect("a graph");
        let tensor = graph.initializer.iter_mut().find(|t| t.data_location == Some(1)).expect("one");
        tensor.external_data.iter_mut().find(|e| e.key == key).expect("an entry").value = value.into();
        std::fs::write(inner.join("tiny.onnx"), model.encode_to_vec()).expect("written");
        let message = import::read(&inner.join("tiny.onnx"), &settings).expect_err("refused").to_string();
        assert!(message.contains(expected), "{key}: {message}");
    }
}
