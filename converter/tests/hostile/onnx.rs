//! ONNX: a protobuf, perhaps with weights in files beside it.

use cardinal_tract::decode;
use cardinal_tract::pb::{self, tensor_shape_proto::dimension, type_proto};
use prost::Message;

use crate::harness::{Bench, Row, fixture, row};

const FILE: &str = "hostile.onnx";

fn tiny() -> pb::ModelProto {
    decode(&fixture("tiny_bn.onnx")).expect("a valid fixture")
}

/// The tiny network after a change.
fn changed(change: impl FnOnce(&mut pb::GraphProto)) -> Vec<u8> {
    let mut model = tiny();
    change(model.graph.as_mut().expect("a graph"));
    model.encode_to_vec()
}

fn node<'a>(graph: &'a mut pb::GraphProto, op_type: &str) -> &'a mut pb::NodeProto {
    graph.node.iter_mut().find(|node| node.op_type == op_type).expect("the network has such a node")
}

fn attribute<'a>(graph: &'a mut pb::GraphProto, op_type: &str, name: &str) -> &'a mut pb::AttributeProto {
    let attributes = &mut node(graph, op_type).attribute;
    attributes.iter_mut().find(|attribute| attribute.name == name).expect("the node has such an attribute")
}

/// The constant that the first node of a kind reads as its input of this number.
fn constant<'a>(graph: &'a mut pb::GraphProto, op_type: &str, input: usize) -> &'a mut pb::TensorProto {
    let name = node(graph, op_type).input[input].clone();
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).expect("it is a constant")
}

fn set(tensor: &mut pb::TensorProto, value: f32) {
    tensor.raw_data[..4].copy_from_slice(&value.to_le_bytes());
}

fn size(graph: &mut pb::GraphProto, axis: usize) -> &mut Option<dimension::Value> {
    let Some(type_proto::Value::TensorType(tensor)) = graph.input[0].r#type.as_mut().and_then(|t| t.value.as_mut())
    else {
        panic!("the input is a tensor")
    };
    &mut tensor.shape.as_mut().expect("it has a shape").dim[axis].value
}

/// What is wrong, what is said of it, and how to do it.
type Change = (&'static str, &'static str, fn(&mut pb::GraphProto));

const CHANGES: &[Change] = &[
    ("a weight is NaN", "NaN or infinite", |g| set(constant(g, "Conv", 1), f32::NAN)),
    ("a weight is infinite", "NaN or infinite", |g| set(constant(g, "Gemm", 1), f32::INFINITY)),
    ("a variance is negative", "NaN or infinite", |g| set(constant(g, "BatchNormalization", 4), -1.0)),
    ("an epsilon is NaN", "NaN or infinite", |g| attribute(g, "BatchNormalization", "epsilon").f = f32::NAN),
    ("nodes in the wrong order", "which no earlier node computes", |g| g.node.reverse()),
    ("a node that reads itself", "which no earlier node computes", |g| {
        let relu = node(g, "Relu");
        relu.input[0] = relu.output[0].clone();
    }),
    ("two nodes that read each other", "(Relu): reads \"b\", which no earlier node computes", |g| {
        let relu = |input: &str, output: &str| pb::NodeProto {
            op_type: "Relu".into(),
            input: vec![input.into()],
            output: vec![output.into()],
            ..Default::default()
        };
        g.node.extend([relu("b", "a"), relu("a", "b")]);
    }),
    ("a node that writes what is there", "which is there already", |g| {
        let first = g.node[0].clone();
        g.node.push(first);
    }),
    ("a node that writes the image", "which is there already", |g| {
        let image = g.input[0].name.clone();
        g.node[0].output[0] = image;
    }),
    ("an initializer twice", "is there twice", |g| {
        let first = g.initializer[0].clone();
        g.initializer.push(first);
    }),
    ("groups that do not divide", "do not divide", |g| attribute(g, "Conv", "group").i = 3),
    ("no groups", "do not divide", |g| attribute(g, "Conv", "group").i = 0),
    ("negative groups", "impossible groups", |g| attribute(g, "Conv", "group").i = -1),
    ("2^63 groups", "impossible groups", |g| attribute(g, "Conv", "group").i = i64::MAX),
    ("a stride of 0", "has a stride of 0", |g| attribute(g, "Conv", "strides").ints = vec![0, 1]),
    ("a stride of 2^40", "has strides [1099511627776, 1]", |g| attribute(g, "Conv", "strides").ints = vec![1 << 40, 1]),
    ("three strides", "has strides [1, 1, 1]", |g| attribute(g, "Conv", "strides").ints = vec![1; 3]),
    ("negative padding", "has pads [-1, 0, 0, 0]", |g| attribute(g, "Conv", "pads").ints = vec![-1, 0, 0, 0]),
    ("padding beyond the kernel", "its padding of [200, 200, 200, 200]", |g| {
        attribute(g, "Conv", "pads").ints = vec![200; 4]
    }),
    ("dilation", "dilation is not supported", |g| attribute(g, "Conv", "dilations").ints = vec![2, 2]),
    ("a shape of 2^60 values", "values, but its shape", |g| g.initializer[0].dims = vec![1 << 30, 1 << 30]),
    ("a shape that overflows", "impossible shape", |g| g.initializer[0].dims = vec![1 << 40, 1 << 40]),
    ("a negative shape", "impossible shape", |g| g.initializer[0].dims[0] = -1),
    ("weights without inputs", "needs 0", |g| constant(g, "Conv", 1).dims[1] = 0),
    ("no weights at all", "biases for weights of shape", |g| {
        let weights = constant(g, "Conv", 1);
        weights.dims = vec![8, 0, 3, 3];
        weights.raw_data.clear();
    }),
    ("no outputs at all", "biases for weights of shape", |g| {
        let weights = constant(g, "Conv", 1);
        weights.dims = vec![0, 3, 3, 3];
        weights.raw_data.clear();
    }),
    ("a kernel of 300 rows", "two sides from 1 to 255", |g| {
        let weights = constant(g, "Conv", 1);
        weights.dims = vec![1, 1, 300, 1];
        weights.raw_data = vec![0; 1200];
    }),
    ("a type that lies", "has data type 8", |g| g.initializer[0].data_type = 8),
    ("raw data of odd length", "values, but its shape", |g| {
        g.initializer[0].raw_data.pop();
    }),
    ("a loop", "(Loop): is not an operation", |g| {
        let inner = g.clone();
        let body = pb::AttributeProto { name: "body".into(), g: Some(inner), ..Default::default() };
        *node(g, "Relu") = pb::NodeProto { op_type: "Loop".into(), attribute: vec![body], ..Default::default() };
    }),
    ("an operator that is not known", "(Sigmoid): is not an operation", |g| node(g, "Relu").op_type = "Sigmoid".into()),
    ("a name that clears the screen", "\\u{1b}[2J", |g| {
        let relu = node(g, "Relu");
        (relu.op_type, relu.name) = ("Exec".into(), "\u{1b}[2J".into());
    }),
    ("no node", "no node computes the output", |g| g.node.clear()),
    ("no output", "has 0 outputs", |g| g.output.clear()),
    ("two images", "exactly one input", |g| {
        g.input.push(pb::ValueInfoProto { name: "b".into(), ..Default::default() })
    }),
    ("an output that is the image", "no node computes the output", |g| g.output[0].name = g.input[0].name.clone()),
    ("an image of another size", "contradicts the file", |g| *size(g, 2) = Some(dimension::Value::DimValue(1 << 31))),
    ("an addition of nothing", "which no earlier node computes", |g| node(g, "Add").input.clear()),
    ("a pool that writes nothing", "(GlobalAveragePool): has no output", |g| {
        node(g, "GlobalAveragePool").output.clear()
    }),
    ("10,000 copies of one convolution", "far more weights than the file", |g| {
        let conv = node(g, "Conv").clone();
        let copy = |i| pb::NodeProto { output: vec![format!("copy {i}")], name: format!("copy {i}"), ..conv.clone() };
        g.node.extend((0..10_000).map(copy));
    }),
];

/// A field with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

/// Encodings that are made to be expensive.
fn encodings() -> Vec<Row> {
    const GRAPH: u8 = 7;
    let whole = fixture("tiny_bn.onnx");
    let model = |graph: &[u8]| [b"\x08\x08", &field(GRAPH, graph)[..]].concat();
    let subgraphs = |depth| (0..depth).fold(Vec::new(), |graph, _| field(1, &field(5, &field(6, &graph))));
    let many = "far more nodes, attributes or names";
    vec![
        row("no graph", b"\x08\x08", "has no graph"),
        row("cut off", &whole[..whole.len() / 2], "not an ONNX file"),
        row("a length of 2^64", b"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".as_slice(), "failed to decode"),
        row("a length that never ends", [b"\x08\x08\x3a".as_slice(), &[0xff; 100]].concat(), "failed to decode"),
        row("subgraphs 1,000 deep", model(&subgraphs(1000)), "recursion"),
        row("groups 100,000 deep", [b"\x08\x08".as_slice(), &[0x0b; 100_000]].concat(), "failed to decode"),
        row("two million empty nodes", model(&b"\x0a\0".repeat(2 << 20)), many),
        row("two million empty attributes", model(&field(1, &b"\x2a\0".repeat(2 << 20))), many),
        row("two million empty tensors", model(&b"\x2a\0".repeat(2 << 20)), many),
    ]
}

/// The tiny network with its constants in another file, and that file's bytes. An entry of each constant may be another.
fn external(location: &str, other: Option<(&str, &str)>) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    let model = changed(|graph| {
        for tensor in &mut graph.initializer {
            let (offset, len) = (data.len().to_string(), tensor.raw_data.len().to_string());
            let entries = [("location", location), ("offset", &offset), ("length", &len)];
            let entry = |(key, value): (&str, &str)| {
                let value = other.filter(|(other, _)| *other == key).map_or(value, |(_, value)| value);
                pb::StringStringEntryProto { key: key.into(), value: value.into() }
            };
            tensor.external_data = entries.map(entry).to_vec();
            tensor.data_location = Some(1);
            data.append(&mut tensor.raw_data);
        }
    });
    (model, data)
}

/// Weights that are said to be where they are not, or should not be.
fn beside() -> Vec<Row> {
    let lies = |what: &str, location: &str, other, says: &str| {
        let (bytes, data) = external(location, other);
        Row { beside: vec![("weights".into(), data)], ..row(what, bytes, says) }
    };
    let outside = "outside the ONNX file's folder";
    let mut rows = vec![
        lies("weights of the folder above", "../tiny.cardinal", None, outside),
        lies("weights of the folder above, by a detour", "a/../../tiny.cardinal", None, outside),
        lies("weights of the system", "/etc/passwd", None, outside),
        lies("endless weights", "/dev/zero", None, outside),
        lies("weights of no name", "", None, outside),
        lies("weights in the folder itself", ".", None, outside),
        lies("weights that are not there", "nowhere", None, "its data lies beside, in nowhere: "),
        lies("an offset behind the file", "weights", Some(("offset", "99999999")), "is it cut off?"),
        lies("an offset of 2^64", "weights", Some(("offset", "18446744073709551615")), "is it cut off?"),
        lies("a negative offset", "weights", Some(("offset", "-4")), "is no number"),
        lies("a length of 2^40", "weights", Some(("length", "1099511627776")), "is it cut off?"),
        lies("a length that is a word", "weights", Some(("length", "all")), "is no number"),
        lies("a length of nothing", "weights", Some(("length", "0")), "has 0 values"),
    ];
    if cfg!(unix) {
        let links = vec![("link".into(), "../tiny.cardinal".into())];
        rows.push(Row { links, ..lies("weights that link to the folder above", "link", None, outside) });
    }
    let shared = {
        let (bytes, data) = external("weights", None);
        let mut model = decode(&bytes).expect("as it was made");
        let tensors = &mut model.graph.as_mut().expect("a graph").initializer;
        let largest = tensors.iter().max_by_key(|tensor| tensor.dims.iter().product::<i64>()).expect("one").clone();
        tensors.extend((0..1000).map(|i| pb::TensorProto { name: format!("copy {i}"), ..largest.clone() }));
        let bytes = model.encode_to_vec();
        Row {
            beside: vec![("weights".into(), data)],
            ..row("1,000 tensors of the same bytes", bytes, "share more bytes")
        }
    };
    rows.push(shared);
    rows
}

#[test]
fn are_refused() {
    let changes = CHANGES.iter().map(|&(what, says, change)| row(what, changed(change), says));
    let rows = changes.chain(encodings()).chain(beside()).collect();
    Bench::new().refuse(FILE, &["convert", FILE, "--calib", "../images"], &tiny().encode_to_vec(), rows);
}
