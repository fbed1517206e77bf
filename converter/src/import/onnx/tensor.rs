//! Constants of an ONNX graph.

use std::collections::HashMap;
use std::rc::Rc;

use cardinal_tract::pb::TensorProto;

use super::external::External;

/// A constant: float data, or small integers (shapes, axes).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Float { shape: Vec<usize>, data: Vec<f32> },
    Int(Vec<i64>),
}

/// Constants by value name.
pub(super) type Constants = HashMap<String, Rc<Constant>>;

// Numbers of TensorProto.DataType in the ONNX specification.
const FLOAT: i32 = 1;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

/// Reads a tensor.
pub(super) fn constant(tensor: &TensorProto, external: &mut External<'_>) -> Result<Constant, String> {
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let len = shape.as_ref().and_then(|s| s.iter().try_fold(1usize, |n, &d| n.checked_mul(d)));
    let (Some(shape), Some(len)) = (shape, len) else {
        return Err(format!("has the impossible shape {:?}", tensor.dims));
    };
    let raw = external.raw(tensor)?;
    let data: Vec<f32> = match tensor.data_type {
        FLOAT if raw.is_empty() => tensor.float_data.clone(),
        FLOAT => raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        DOUBLE if raw.is_empty() => tensor.double_data.iter().map(|&v| v as f32).collect(),
        DOUBLE => raw.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        FLOAT16 if !raw.is_empty() => raw.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
        BFLOAT16 if !raw.is_empty() => {
            raw.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect()
        }
        INT64 => {
            let inline = tensor.int64_data.iter().copied();
            return Ok(Constant::Int(raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).chain(inline).collect()));
        }
        INT32 => {
            let inline = tensor.int32_data.iter().map(|&v| i64::from(v));
            let raw = raw.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b)));
            return Ok(Constant::Int(raw.chain(inline).collect()));
        }
        other => return Err(format!("has data type {other}; float32, float16, bfloat16 and float64 are supported")),
    };
    if data.len() != len {
        return Err(format!("has {} values, but its shape {shape:?} needs {len}", data.len()));
    }
    Ok(Constant::Float { shape, data })
}
