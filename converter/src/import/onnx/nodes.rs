//! An ONNX graph as a list of steps: constants resolved, batch norm folded, nodes that change nothing left out.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use cardinal_format::Window;
use cardinal_tract::pb::{AttributeProto, GraphProto, NodeProto, tensor_shape_proto::dimension, type_proto};

use super::super::ImportError;
use super::super::assemble::{BatchNorm, ConvPart};
use super::external::External;
use super::tensor::{Constant, Constants, constant};
use crate::graph::Linear;

/// What a step does; numbers are indices of steps, `None` is the image.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Conv(Box<ConvPart>),
    Relu,
    Add(Option<usize>),
    MaxPool(Window),
    /// With the extent that it averages over, if it is stated.
    GlobalAvgPool(Option<[u8; 2]>),
    Linear(Linear),
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Node name, for messages.
    pub name: String,
    pub input: Option<usize>,
    pub kind: Kind,
}

/// The steps in file order, which ONNX requires to be topological.
#[derive(Debug)]
pub(super) struct Nodes {
    pub steps: Vec<Step>,
    /// Height, width; `None` where the file leaves them open.
    pub input: Option<[u32; 2]>,
    pub output: usize,
}

struct Reader<'a, 'b> {
    file: &'a str,
    external: &'a mut External<'b>,
    constants: Constants,
    /// Value name → step; `None` is the image.
    values: HashMap<String, Option<usize>>,
    /// How often a value is read.
    readers: HashMap<String, usize>,
    steps: Vec<Step>,
    /// Values that are sizes, computed while the network runs (of a batch that is left open).
    extents: HashSet<String>,
    /// Whether the image is batch × height × width × channels.
    channels_last: bool,
    /// How many more floats may be copied out of constants. Nodes can share a constant, so a small file could otherwise
    /// ask for any amount of memory.
    budget: usize,
}

/// Reads a graph that came from a file of `len` bytes, beside which others may lie.
pub(super) fn read(
    graph: GraphProto,
    len: usize,
    file: &str,
    external: &mut External<'_>,
) -> Result<Nodes, ImportError> {
    let bad = |why: String| ImportError::Onnx { file: file.into(), why };
    let mut constants = Constants::new();
    for tensor in &graph.initializer {
        let value = constant(tensor, external).map_err(|why| bad(format!("initializer {}: {why}", tensor.name)))?;
        if constants.insert(tensor.name.clone(), Rc::new(value)).is_some() {
            return Err(bad(format!("initializer {} is there twice", tensor.name)));
        }
    }
    let mut inputs = graph.input.iter().filter(|input| !constants.contains_key(&input.name));
    let (Some(image), None) = (inputs.next(), inputs.next()) else {
        return Err(bad("a classifier has exactly one input, the image".into()));
    };
    let [output] = graph.output.as_slice() else {
        return Err(bad(format!("has {} outputs; a classifier has one, the logits", graph.output.len())));
    };
    let mut readers = HashMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *readers.entry(name.clone()).or_default() += 1;
    }
    let values = HashMap::from([(image.name.clone(), None)]);
    let len = external.files().fold(len, |sum, file| sum.saturating_add(file.len()));
    let budget = len.saturating_add(1 << 16);
    let mut reader = Reader {
        file,
        external,
        constants,
        values,
        readers,
        steps: Vec::new(),
        extents: HashSet::new(),
        channels_last: false,
        budget,
    };
    for node in &graph.node {
        reader.node(node)?;
    }
    let Some(&Some(output)) = reader.values.get(&output.name) else {
        return Err(bad(format!("no node computes the output {}", output.name)));
    };
    let dims = match image.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor.shape.as_ref().map(|s| s.dim.as_slice()),
        _ => None,
    };
    let side = |i: usize| match dims.and_then(|d| d.get(i)).and_then(|d| d.value.as_ref()) {
        Some(dimension::Value::DimValue(n)) => u32::try_from(*n).ok().filter(|&n| n > 0),
        _ => None,
    };
    let [height, width] = if reader.channels_last { [1, 2] } else { [2, 3] };
    Ok(Nodes { steps: reader.steps, input: side(height).zip(side(width)).map(|(h, w)| [h, w]), output })
}

impl Reader<'_, '_> {
    fn refuse(&self, node: &NodeProto, why: impl Into<String>) -> ImportError {
        let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
        let what = format!("node {name} ({})", node.op_type);
        ImportError::Family { file: self.file.into(), what, why: why.into() }
    }

    fn node(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        match node.op_type.as_str() {
            "Constant" => {
                let tensor = attribute(node, "value").and_then(|a| a.t.as_ref());
                let value = match tensor {
                    Some(tensor) => constant(tensor, self.external).map_err(|why| self.refuse(node, why))?,
                    None => Constant::Int(ints(node, "value_ints").to_vec()),
                };
                self.constants.insert(self.output(node)?, Rc::new(value));
            }
            "Identity" if node.input.first().is_some_and(|name| self.constants.contains_key(name)) => {
                let value = Rc::clone(&self.constants[&node.input[0]]);
                self.constants.insert(self.output(node)?, value);
            }
            "Identity" | "Dropout" => self.alias(node)?,
            // Networks from TensorFlow read images with the channels last.
            "Transpose" if ints(node, "perm") == [0, 3, 1, 2] && self.value(node, 0)?.is_none() => {
                self.channels_last = true;
                self.alias(node)?;
            }
            // Only a Reshape reads what these compute, and there it is passed over.
            "Shape" => self.extent(node)?,
            "Cast" | "Concat" | "Gather" | "Slice" | "Unsqueeze" if self.is_of_extents(node) => self.extent(node)?,
            // On one vector of features these only change the number of dimensions of size 1.
            "Flatten" | "Reshape" | "Squeeze" => {
                let input = self.value(node, 0)?;
                let vector = input.and_then(|i| self.steps.get(i));
                if !matches!(vector.map(|s| &s.kind), Some(Kind::GlobalAvgPool(_) | Kind::Linear(_))) {
                    return Err(self.refuse(node, "is supported behind the global average pool only"));
                }
                self.alias(node)?;
            }
            // Softmax keeps the order of the logits; Cardinal computes its own.
            "Softmax" => self.alias(node)?,
            "Conv" => self.conv(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "Relu" => self.push(node, Kind::Relu)?,
            "Add" if self.is_bias_of_linear(node) => self.linear_bias(node)?,
            "Add" => {
                let other = self.value(node, 1)?;
                self.push(node, Kind::Add(other))?;
            }
            "MaxPool" => {
                if int(node, "ceil_mode", 0) != 0 {
                    return Err(self.refuse(node, "ceil_mode is not supported"));
                }
                let kernel = self.kernel(node, ints(node, "kernel_shape"))?;
                let window = self.window(node, kernel)?;
                self.push(node, Kind::MaxPool(window))?;
            }
            "GlobalAveragePool" => self.push(node, Kind::GlobalAvgPool(None))?,
            "AveragePool" => {
                let kernel = self.kernel(node, ints(node, "kernel_shape"))?;
                if self.window(node, kernel)?.padding != [0; 4] {
                    return Err(self.refuse(node, "a padded average is not supported"));
                }
                self.push(node, Kind::GlobalAvgPool(Some(kernel)))?;
            }
            "ReduceMean" => {
                let mut axes = match node.input.get(1).and_then(|name| self.constants.get(name)).map(Rc::as_ref) {
                    Some(Constant::Int(axes)) => axes.clone(),
                    _ => ints(node, "axes").to_vec(),
                };
                axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
                axes.sort_unstable();
                if axes != [2, 3] {
                    return Err(self.refuse(node, format!("reduces axes {axes:?}; a global average pool has [2, 3]")));
                }
                self.push(node, Kind::GlobalAvgPool(None))?;
            }
            "Gemm" | "MatMul" => self.linear(node)?,
            _ => return Err(self.refuse(node, "is not an operation of a ResNeXt classifier")),
        }
        Ok(())
    }

    /// The name of a node's first output, which nothing before it may have.
    fn output(&self, node: &NodeProto) -> Result<String, ImportError> {
        let name = node.output.first().ok_or_else(|| self.refuse(node, "has no output"))?;
        if self.values.contains_key(name) || self.constants.contains_key(name) {
            return Err(self.refuse(node, format!("writes {name:?}, which is there already")));
        }
        Ok(name.clone())
    }

    fn value(&self, node: &NodeProto, input: usize) -> Result<Option<usize>, ImportError> {
        let name = node.input.get(input).map_or("", String::as_str);
        let why = || format!("reads {name:?}, which no earlier node computes (unsorted, cyclic or cut off)");
        self.values.get(name).copied().ok_or_else(|| self.refuse(node, why()))
    }

    /// A constant of floats, shape and values.
    fn floats(&mut self, node: &NodeProto, input: usize) -> Result<(Vec<usize>, Vec<f32>), ImportError> {
        let constant = node.input.get(input).and_then(|name| self.constants.get(name));
        let Some(Constant::Float { shape, data }) = constant.map(Rc::as_ref) else {
            return Err(self.refuse(node, format!("its input {input} must be a constant of floats")));
        };
        match self.budget.checked_sub(data.len()) {
            Some(left) => {
                self.budget = left;
                Ok((shape.clone(), data.clone()))
            }
            None => Err(self.refuse(node, "the nodes together have far more weights than the file")),
        }
    }

    fn alias(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        let value = self.value(node, 0)?;
        self.values.insert(self.output(node)?, value);
        Ok(())
    }

    fn extent(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        self.extents.insert(self.output(node)?);
        Ok(())
    }

    /// Whether a node reads sizes and constants only.
    fn is_of_extents(&self, node: &NodeProto) -> bool {
        let known = |name: &String| self.extents.contains(name) || self.constants.contains_key(name);
        !node.input.is_empty() && node.input.iter().all(known)
    }

    fn push(&mut self, node: &NodeProto, kind: Kind) -> Result<(), ImportError> {
        let (input, output) = (self.value(node, 0)?, self.output(node)?);
        let name = if node.name.is_empty() { output.clone() } else { node.name.clone() };
        self.values.insert(output, Some(self.steps.len()));
        self.steps.push(Step { name, input, kind });
        Ok(())
    }

    fn kernel(&self, node: &NodeProto, shape: &[i64]) -> Result<[u8; 2], ImportError> {
        match shape.iter().map(|&n| u8::try_from(n)).collect::<Result<Vec<_>, _>>().as_deref() {
            Ok(&[height, width]) if height > 0 && width > 0 => Ok([height, width]),
            _ => Err(self.refuse(node, format!("has a kernel of {shape:?}; two sides from 1 to 255 are supported"))),
        }
    }

    fn window(&self, node: &NodeProto, kernel: [u8; 2]) -> Result<Window, ImportError> {
        let auto_pad = attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
        if !matches!(auto_pad, b"NOTSET" | b"" | b"VALID") {
            return Err(self.refuse(node, "auto_pad is not supported: export with explicit pads"));
        }
        if ints(node, "dilations").iter().any(|&d| d != 1) {
            return Err(self.refuse(node, "dilation is not supported"));
        }
        let small = |name: &str, default: u8, len: usize| -> Result<Vec<u8>, ImportError> {
            let given = ints(node, name);
            let values: Result<Vec<u8>, _> = given.iter().map(|&v| u8::try_from(v)).collect();
            match values {
                Ok(values) if values.is_empty() => Ok(vec![default; len]),
                Ok(values) if values.len() == len => Ok(values),
                _ => Err(self.refuse(node, format!("has {name} {given:?}"))),
            }
        };
        let (stride, pads) = (small("strides", 1, 2)?, small("pads", 0, 4)?);
        if stride.contains(&0) {
            return Err(self.refuse(node, "has a stride of 0"));
        }
        Ok(Window { kernel, stride: [stride[0], stride[1]], padding: [pads[0], pads[1], pads[2], pads[3]] })
    }

    fn conv(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        let (shape, weights) = self.floats(node, 1)?;
        let [out, in_per_group, rows, columns] = shape[..] else {
            return Err(self.refuse(node, format!("has weights of shape {shape:?}; four dimensions are expected")));
        };
        let kernel = self.kernel(node, &[rows as i64, columns as i64])?;
        let (Ok(in_per_group), Ok(groups)) = (u32::try_from(in_per_group), u32::try_from(int(node, "group", 1))) else {
            return Err(self.refuse(node, "has impossible groups"));
        };
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(_) => self.floats(node, 2)?.1,
            None => vec![0.0; out],
        };
        if bias.len() != out || weights.is_empty() || in_per_group == 0 {
            return Err(self.refuse(node, format!("has {} biases for weights of shape {shape:?}", bias.len())));
        }
        let part = ConvPart {
            origin: node.input[1].clone(),
            weights,
            bias,
            in_per_group,
            kernel,
            window: Some(self.window(node, kernel)?),
            groups: Some(groups),
            norm: None,
        };
        self.push(node, Kind::Conv(Box::new(part)))
    }

    /// Folds into the convolution before it, which nothing else may read.
    fn batch_norm(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        // Before opset 14 the other outputs say so, which inference does not have.
        if int(node, "training_mode", 0) != 0 || node.output.iter().skip(1).any(|name| !name.is_empty()) {
            return Err(self.refuse(node, "batch norm is in training mode: export the network after model.eval()"));
        }
        let before = self.value(node, 0)?;
        let epsilon = attribute(node, "epsilon").map_or(BatchNorm::EPSILON, |a| a.f);
        let vectors = (1..5).map(|i| Ok(self.floats(node, i)?.1)).collect::<Result<Vec<_>, ImportError>>()?;
        let alone = self.readers.get(&node.input[0]) == Some(&1);
        let part = before.and_then(|i| self.steps.get_mut(i)).and_then(|step| match &mut step.kind {
            Kind::Conv(part) if alone && vectors.iter().all(|v| v.len() == part.bias.len()) => Some(part),
            _ => None,
        });
        match part {
            Some(part) => {
                let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|i: usize| vectors[i].as_slice());
                BatchNorm { gamma, beta, mean, variance, epsilon }.fold(part);
                self.alias(node)
            }
            None => Err(self.refuse(node, "batch norm is supported right behind a convolution only")),
        }
    }

    fn linear(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        let gemm = node.op_type == "Gemm";
        let scale = |name| attribute(node, name).map_or(1.0, |a| a.f);
        if gemm && (scale("alpha") != 1.0 || scale("beta") != 1.0 || int(node, "transA", 0) != 0) {
            return Err(self.refuse(node, "alpha, beta and transA are not supported"));
        }
        let (shape, data) = self.floats(node, 1)?;
        let [a, b] = shape[..] else {
            return Err(self.refuse(node, format!("has weights of shape {shape:?}; two dimensions are expected")));
        };
        let transposed = gemm && int(node, "transB", 0) != 0;
        let (classes, weights) = if transposed {
            (a, data)
        } else {
            // [inputs][classes] → [classes][inputs].
            let data = &data;
            (b, (0..b).flat_map(|n| (0..a).map(move |k| data[k * b + n])).collect())
        };
        let bias = match node.input.get(2).filter(|name| gemm && !name.is_empty()) {
            Some(_) => self.floats(node, 2)?.1,
            None => vec![0.0; classes],
        };
        if bias.len() != classes || weights.is_empty() {
            return Err(self.refuse(node, format!("has {} biases for {classes} classes", bias.len())));
        }
        self.push(node, Kind::Linear(Linear { weights, bias }))
    }

    /// The other half of a MatMul: its bias, on either side of an Add.
    fn is_bias_of_linear(&self, node: &NodeProto) -> bool {
        node.input.iter().take(2).any(|name| self.constants.contains_key(name))
    }

    fn linear_bias(&mut self, node: &NodeProto) -> Result<(), ImportError> {
        let constant = usize::from(!self.constants.contains_key(&node.input[0]));
        let bias = self.floats(node, constant)?.1;
        let value = self.value(node, 1 - constant)?;
        match value.and_then(|i| self.steps.get_mut(i)).map(|step| &mut step.kind) {
            Some(Kind::Linear(linear)) if linear.bias.len() == bias.len() => {
                linear.bias.iter_mut().zip(bias).for_each(|(to, from)| *to += from);
            }
            _ => return Err(self.refuse(node, "adds a constant to something else than the classifier")),
        }
        let output = self.output(node)?;
        self.values.insert(output, value);
        Ok(())
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map_or(&[], |a| &a.ints)
}
