//! ONNX → parts.
//!
//! Names in an ONNX file say little (exporters rename weights when they fold batch norm), so the network is recognised by
//! structure: [`nodes`] turns the file into a list of steps with constants resolved and batch norm folded, [`structure`]
//! follows it from the image to the logits, block by block. Every step must find its place.

mod encoding;
mod external;
mod nodes;
mod structure;
mod tensor;

use cardinal_tract::decode;

pub(super) use self::external::External;
use super::ImportError;
use super::assemble::Parts;

/// Whether the bytes start as ONNX files do: field 1 of the protobuf, the IR version. A safetensors header could start
/// with the same byte, but has a brace behind its length.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x08) && bytes.get(8) != Some(&b'{')
}

/// Reads an ONNX file, and what lies beside it if `external` has a folder.
pub(super) fn read(bytes: &[u8], file: &str, external: &mut External<'_>) -> Result<Parts, ImportError> {
    if !encoding::is_modest(bytes) {
        let why = "has far more nodes, attributes or names than a ResNeXt needs".into();
        return Err(ImportError::Onnx { file: file.into(), why });
    }
    let proto = decode(bytes).map_err(|error| ImportError::Onnx { file: file.into(), why: error.to_string() })?;
    let Some(graph) = proto.graph else {
        return Err(ImportError::Onnx { file: file.into(), why: "has no graph: it is empty or cut off".into() });
    };
    structure::parts(nodes::read(graph, bytes.len(), file, external)?, file)
}
