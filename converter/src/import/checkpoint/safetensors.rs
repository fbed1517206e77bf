//! safetensors: a JSON header, then the elements of every tensor.

use ::safetensors::SafeTensors;

use super::dtype::Dtype;
use super::error::{CheckpointError, quoted};
use super::{Checkpoint, Tensor, limits};

/// Reads a checkpoint from the bytes of a safetensors file.
///
/// The safetensors crate verifies that the tensors cover the file without gaps or overlaps, so what is allocated
/// here is bounded by the file's length.
pub(super) fn read(bytes: &[u8], file: &str) -> Result<Checkpoint, CheckpointError> {
    let invalid = |error: ::safetensors::SafeTensorError| CheckpointError::Safetensors {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    if let Some(declared) = bytes.first_chunk::<8>().map(|len| u64::from_le_bytes(*len))
        && declared > limits::SAFETENSORS_HEADER
    {
        let reason = format!("its header declares {declared} bytes, more than the 16 MiB that any model needs");
        return Err(CheckpointError::Safetensors { file: file.to_owned(), reason });
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
    let views = SafeTensors::deserialize(bytes).map_err(invalid)?;
    if views.is_empty() {
        let found = "the file holds no tensor".to_owned();
        return Err(CheckpointError::NoStateDict { file: file.to_owned(), found });
    }
    let mut checkpoint = Checkpoint::default();
    for (name, view) in views.iter() {
        let refuse = |reason: String| CheckpointError::Tensor { file: file.to_owned(), key: quoted(name), reason };
        let dtype = Dtype::of_safetensors(view.dtype()).ok_or_else(|| {
            refuse(format!("elements of type {} are not supported; save it as tensor.float()", view.dtype()))
        })?;
        if view.shape().len() > limits::DIMENSIONS {
            return Err(refuse(format!(
                "it has {} dimensions, more than any model's; save it again",
                view.shape().len()
            )));
        }
        let data = dtype.gather(view.data(), 0..view.data().len() / dtype.size());
        checkpoint.tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
    }
    checkpoint.meta.extend(header.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())));
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn load(bytes: &[u8]) -> Result<Checkpoint, String> {
        read(bytes, "model.safetensors").map_err(|error| error.to_string())
    }

    const HEADER: &str = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[],"data_offsets":[4,5]}}"#;

    #[test]
    fn tensors_and_metadata_are_read() {
        let checkpoint = load(&file(HEADER, &[0x80, 0x3f, 0x00, 0x40, 0xff])).unwrap();
        assert_eq!(checkpoint.get("a"), Some(&Tensor { shape: vec![1, 2], data: vec![1.0, 2.0] }));
        assert_eq!(checkpoint.get("b"), Some(&Tensor { shape: vec![], data: vec![-1.0] }));
        assert_eq!(checkpoint.meta()["format"], "pt");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = file(HEADER, &[0; 5]);
        for len in 0..bytes.len() {
            assert!(load(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn malformed_files_are_refused() {
        let tensor = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let cases = [
            (file("{}", &[]), "no tensor"),
            (file("{]", &[]), "not a valid safetensors file"),
            (file(&tensor("F32", "[2]", "[0,4]"), &[0; 4]), "not a valid safetensors file"),
            (file(&tensor("F32", "[4611686018427387904,4]", "[0,0]"), &[]), "not a valid safetensors file"),
            (file(&tensor("F32", "[1]", "[4,8]"), &[0; 8]), "not a valid safetensors file"),
            (file(&tensor("F32", "[1]", "[0,4]"), &[0; 8]), "not a valid safetensors file"),
            (file(&tensor("F8_E4M3", "[4]", "[0,4]"), &[0; 4]), "tensor `a`: elements of type F8_E4M3"),
            (file(&tensor("U8", &format!("{:?}", [1; 17]), "[0,1]"), &[0]), "17 dimensions"),
            ((1u64 << 26).to_le_bytes().to_vec(), "its header declares 67108864 bytes"),
        ];
        for (bytes, expected) in cases {
            let error = load(&bytes).unwrap_err();
            assert!(error.starts_with("model.safetensors: ") && error.contains(expected), "{error}");
        }
    }
}
