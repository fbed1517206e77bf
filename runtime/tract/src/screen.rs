//! What an ONNX graph must look like before tract sees it.
//!
//! tract follows loops, evaluates constants while it reads and does arithmetic on attributes unchecked, so a hostile file
//! could hang it or ask for any amount of memory, and neither is an error that can be caught. The graphs of this family
//! need little of ONNX; whatever is beyond that little is refused here.

use crate::{InputShape, pb};
use pb::tensor_proto::{DataLocation, DataType};
use pb::tensor_shape_proto::{Dimension, dimension};
use pb::type_proto;
use std::collections::{HashMap, HashSet};

/// The operators that exporters write for ResNeXt, float or QDQ. None of them loops, branches or draws numbers.
const OPERATORS: [&str; 29] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Softmax",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

/// Ten times what ResNeXt-152 needs in QDQ form; tract takes time quadratic in the number of nodes.
const MAX_NODES: usize = 16_384;

/// Larger than any kernel, stride, padding or axis; products of a few of them stay far from overflow.
const MAX_ATTRIBUTE: u64 = 65_535;

/// How many values all constants that tract computes, or all activations of one image, may have together: 2 GiB of
/// `f32`, several times what the largest ResNeXt needs.
pub(crate) const MAX_VALUES: usize = 1 << 29;

/// Shape of a constant, as far as it is known: exact for the file's own tensors, one axis for computed ones.
type Dims = Vec<usize>;

/// Checks a graph and pins its input to one image, `[1, channels, height, width]`, whose shape it returns; `open`
/// decides the dimensions that the file leaves open.
///
/// The graph is reduced to what it needs to run: its first output, and no annotation of shapes, since those of a larger
/// batch would contradict the pinned input.
pub(crate) fn screen(graph: &mut pb::GraphProto, open: Option<InputShape>) -> Result<InputShape, String> {
    graph.value_info.clear();
    graph.output.truncate(1);
    let output = graph.output.first_mut().ok_or("the graph has no output")?;
    output.r#type = None;
    let output = output.name.clone();

    let shape = pin_input(graph, open)?;
    let mut known: HashMap<&str, Option<Dims>> = HashMap::new();
    known.insert(&graph.input[0].name, None);
    for tensor in &graph.initializer {
        known.insert(&tensor.name, Some(dims(tensor)?));
    }
    if graph.node.len() > MAX_NODES {
        return Err(format!("{} nodes, at most {MAX_NODES} are read", graph.node.len()));
    }
    let mut budget = MAX_VALUES;
    for node in &graph.node {
        let result = operator(node, &known, &mut budget)
            .map_err(|reason| format!("node `{}` ({}): {reason}", label(node), node.op_type))?;
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if known.insert(name, result.clone()).is_some() {
                return Err(format!("node `{}` writes `{name}` a second time", label(node)));
            }
        }
    }
    if !known.contains_key(output.as_str()) {
        return Err(format!("no node writes the output `{output}`"));
    }
    Ok(shape)
}

/// Finds the one input that is not an initializer, and makes its shape concrete.
fn pin_input(graph: &mut pb::GraphProto, open: Option<InputShape>) -> Result<InputShape, String> {
    let initializers: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !initializers.contains(input.name.as_str()));
    let [input] = graph.input.as_mut_slice() else {
        return Err(format!("the graph has {} inputs, expected one image", graph.input.len()));
    };
    let Some(pb::TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &mut input.r#type else {
        return Err(format!("input `{}` is no tensor", input.name));
    };
    if tensor.elem_type != DataType::Float as i32 {
        return Err(format!("input `{}` has ONNX element type {}, expected 1, float32", input.name, tensor.elem_type));
    }
    let dims = tensor.shape.take().unwrap_or_default().dim;
    let sizes: Vec<Option<usize>> = dims.iter().map(size).collect();
    let &[batch, channels, height, width] = sizes.as_slice() else {
        return Err(format!("input `{}` has {} dimensions, expected 4: NCHW", input.name, sizes.len()));
    };
    if let Some(batch @ 2..) = batch {
        return Err(format!("input `{}` has a batch of {batch}; export it with batch 1 or a dynamic one", input.name));
    }
    let choose = |given: Option<usize>, open: Option<usize>, axis| {
        given.or(open).ok_or_else(|| format!("input `{}` leaves its {axis} open; give the input shape", input.name))
    };
    let shape = InputShape {
        channels: choose(channels, open.map(|shape| shape.channels), "channels")?,
        height: choose(height, open.map(|shape| shape.height), "height")?,
        width: choose(width, open.map(|shape| shape.width), "width")?,
    };
    if shape.len() > MAX_VALUES {
        return Err(format!("input `{}` is too large: {shape:?}", input.name));
    }
    let pinned = [1, shape.channels, shape.height, shape.width]
        .map(|size| Dimension { value: Some(dimension::Value::DimValue(size as i64)), ..Default::default() });
    tensor.shape = Some(pb::TensorShapeProto { dim: pinned.to_vec() });
    Ok(shape)
}

/// A dimension that the file gives; symbols, and the 0 or -1 that some exporters write for one, leave it open.
fn size(dimension: &Dimension) -> Option<usize> {
    match dimension.value {
        Some(dimension::Value::DimValue(size)) => usize::try_from(size).ok().filter(|&size| size > 0),
        _ => None,
    }
}

/// The shape of a tensor that is stored in the file; that its data are as long, tract checks.
fn dims(tensor: &pb::TensorProto) -> Result<Dims, String> {
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Err(format!(
            "tensor `{}` is in another file (external data), which cannot be read from memory; export the model as one \
             file, with PyTorch's `external_data=False`",
            tensor.name
        ));
    }
    tensor
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| format!("tensor `{}` has a dimension {dim}", tensor.name)))
        .collect()
}

/// Checks one node and, if tract would compute its result while it reads, takes the result's size out of `budget`.
///
/// Gives the result's shape if it is a constant; `known` holds the shapes of all constants so far, and `None` for
/// activations.
fn operator(
    node: &pb::NodeProto,
    known: &HashMap<&str, Option<Dims>>,
    budget: &mut usize,
) -> Result<Option<Dims>, String> {
    if !OPERATORS.contains(&node.op_type.as_str()) || !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Err("not an operator of the ResNeXt family".to_owned());
    }
    for attribute in &node.attribute {
        let largest = attribute.ints.iter().chain([&attribute.i]).map(|value| value.unsigned_abs()).max();
        if largest > Some(MAX_ATTRIBUTE) {
            return Err(format!("attribute `{}` is out of range", attribute.name));
        }
    }
    if node.op_type == "Constant" {
        let [value] = node.attribute.as_slice() else {
            return Err(format!("{} attributes, expected its value", node.attribute.len()));
        };
        return Ok(Some(match &value.t {
            Some(tensor) => dims(tensor)?,
            None => vec![value.ints.len().max(value.floats.len()).max(1)],
        }));
    }
    // Nodes are in order of execution: this is ONNX's own rule, and it excludes cycles.
    let inputs = node
        .input
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| known.get(name.as_str()).ok_or_else(|| format!("reads `{name}`, which nothing before it writes")))
        .collect::<Result<Vec<_>, _>>()?;
    let shape = match node.op_type.as_str() {
        // The rank of a tensor; tract knows its value even where the tensor is an activation.
        "Shape" => return Ok(Some(vec![8])),
        _ => match inputs.iter().map(|dims| dims.as_ref()).collect::<Option<Vec<_>>>() {
            None => return Ok(None),
            Some(constants) => folded(node, &constants)?,
        },
    };
    match budget.checked_sub(count(&shape)) {
        Some(left) => *budget = left,
        None => return Err(format!("constants of more than {MAX_VALUES} values")),
    }
    Ok(Some(shape))
}

/// The shape, or an upper bound for the size, of what a node makes from constants alone.
fn folded(node: &pb::NodeProto, inputs: &[&Dims]) -> Result<Dims, String> {
    let refused = || format!("is not expected on constants {inputs:?}");
    let &[first, ref others @ ..] = inputs else { return Err(refused()) };
    match node.op_type.as_str() {
        "Cast" | "Identity" => Ok(first.clone()),
        "Flatten" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze" => Ok(vec![count(first)]),
        "DequantizeLinear" | "QuantizeLinear" => {
            let axis = node.attribute.iter().find(|attribute| attribute.name == "axis").map_or(1, |axis| axis.i);
            let axis = if axis < 0 { axis + first.len() as i64 } else { axis };
            let along = usize::try_from(axis).ok().and_then(|axis| first.get(axis)).copied();
            let fits = |dims: &&Dims| count(dims) == 1 || Some(count(dims)) == along;
            if others.iter().all(fits) { Ok(first.clone()) } else { Err(refused()) }
        }
        // Broadcasting makes at most every pair of values; joining makes no more, once each part counts as 2 or more.
        "Add" | "Concat" | "Div" | "Gather" | "Gemm" | "MatMul" | "Mul" | "Sub" => {
            Ok(vec![inputs.iter().fold(1usize, |product, dims| product.saturating_mul(count(dims).max(2)))])
        }
        _ => Err(refused()),
    }
}

fn count(dims: &Dims) -> usize {
    dims.iter().fold(1, |product: usize, &dim| product.saturating_mul(dim))
}

/// What errors call a node: its name, or that of its first output where it has none.
fn label(node: &pb::NodeProto) -> &str {
    match node.output.first() {
        Some(output) if node.name.is_empty() => output,
        _ => &node.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pb::{AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto};

    fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op_type.to_owned(),
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        }
    }

    fn constant(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.to_owned(), dims: dims.to_vec(), ..Default::default() }
    }

    /// A graph from `x`, whose sizes are open where they are 0, to `y`, with constants `c` and `d`.
    fn graph(sizes: &[i64], node: Vec<NodeProto>) -> GraphProto {
        let dim = sizes.iter().map(|&size| Dimension {
            value: Some(match size {
                0 => dimension::Value::DimParam("((((N".to_owned()),
                size => dimension::Value::DimValue(size),
            }),
            ..Default::default()
        });
        let shape = Some(pb::TensorShapeProto { dim: dim.collect() });
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
        let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
        GraphProto {
            node,
            initializer: vec![constant("c", &[1 << 16, 1]), constant("d", &[1 << 16])],
            input: vec![ValueInfoProto { name: "x".to_owned(), r#type, ..Default::default() }],
            output: vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }],
            ..Default::default()
        }
    }

    fn screened(sizes: &[i64], nodes: Vec<NodeProto>) -> Result<InputShape, String> {
        screen(&mut graph(sizes, nodes), Some(InputShape { channels: 3, height: 32, width: 48 }))
    }

    #[test]
    fn input_is_pinned_to_one_image() {
        let relu = || vec![node("Relu", &["x"], "y")];
        let open = InputShape { channels: 3, height: 32, width: 48 };
        assert_eq!(screened(&[0, 3, 0, 0], relu()), Ok(open));
        assert_eq!(screened(&[1, 1, 8, 0], relu()), Ok(InputShape { channels: 1, height: 8, width: 48 }));
        assert!(screened(&[2, 3, 32, 32], relu()).unwrap_err().contains("batch of 2"));
        assert!(screened(&[1, 3, 32], relu()).unwrap_err().contains("3 dimensions"));
        assert!(screened(&[1, 3, 1 << 40, 1 << 40], relu()).unwrap_err().contains("too large"));
        assert!(screen(&mut graph(&[0, 3, 0, 32], relu()), None).unwrap_err().contains("height"));

        let mut pinned = graph(&[0, 3, 0, 0], relu());
        screen(&mut pinned, Some(open)).unwrap();
        assert_eq!(screen(&mut pinned, None), Ok(open), "the pinned graph needs no help");
    }

    #[test]
    fn weights_in_another_file_are_refused() {
        let mut external = graph(&[1, 3, 8, 8], vec![node("Relu", &["x"], "y")]);
        external.initializer[0].data_location = Some(DataLocation::External as i32);
        assert!(screen(&mut external, None).unwrap_err().contains("`c` is in another file"));

        let mut inline = node("Constant", &[], "y");
        let mut tensor = constant("t", &[1]);
        tensor.data_location = Some(DataLocation::External as i32);
        inline.attribute.push(AttributeProto { t: Some(tensor), ..Default::default() });
        assert!(screened(&[1, 3, 8, 8], vec![inline]).unwrap_err().contains("`t` is in another file"));
    }

    #[test]
    fn hostile_graphs_are_refused() {
        let attribute =
            |name: &str, ints: Vec<i64>| AttributeProto { name: name.to_owned(), ints, ..Default::default() };
        let mut padded = node("MaxPool", &["x"], "y");
        padded.attribute.push(attribute("pads", vec![0, 0, i64::MIN, 0]));
        let mut foreign = node("Relu", &["x"], "y");
        foreign.domain = "com.example".to_owned();
        let mut doubling = vec![node("Concat", &["c", "c"], "0")];
        doubling.extend((0..30).map(|i| node("Concat", &[&i.to_string(), &i.to_string()], &(i + 1).to_string())));
        let copies = (0..=1 << 14).map(|i| node("Cast", &["c"], &i.to_string())).collect();
        let nearly = (0..1 << 14).map(|i| node("Cast", &["c"], &i.to_string())).collect();
        for (nodes, reason) in [
            (vec![node("Loop", &["x"], "y")], "`y` (Loop): not an operator"),
            (vec![foreign], "not an operator"),
            (vec![padded], "`pads` is out of range"),
            (vec![node("Relu", &["y"], "z"), node("Relu", &["z"], "y")], "reads `y`, which nothing before it writes"),
            (vec![node("Relu", &["x"], "y"), node("Relu", &["x"], "y")], "writes `y` a second time"),
            (vec![node("Relu", &["x"], "z")], "no node writes the output"),
            (vec![node("Add", &["c", "d"], "y")], "more than"),
            (vec![node("DequantizeLinear", &["c", "d"], "y")], "not expected on constants"),
            (vec![node("AveragePool", &["c"], "y")], "not expected on constants"),
            (vec![node("Constant", &[], "y")], "0 attributes"),
            (doubling, "more than"),
            (copies, "16385 nodes"),
            (nearly, "more than"),
        ] {
            let error = screened(&[1, 3, 8, 8], nodes).unwrap_err();
            assert!(error.contains(reason), "{error}; expected {reason}");
        }
    }
}
