//! Tensors that lie in files beside an ONNX file ("external data" in the specification).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use cardinal_tract::pb::TensorProto;
use cardinal_tract::pb::tensor_proto::DataLocation;

/// Bytes of one such file; twice what the largest network of the family has.
const MAX_BYTES: u64 = 4 << 30;

/// The files beside, each read when a tensor first asks for it.
#[derive(Debug, Default)]
pub(in super::super) struct External<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<String, Vec<u8>>,
    /// Bytes that tensors were given. Tensors can share bytes, so a small file could otherwise ask for any amount of
    /// memory.
    given: usize,
}

impl<'a> External<'a> {
    /// Files in this folder and below; without one, there are none.
    pub fn new(folder: Option<&'a Path>) -> Self {
        External { folder, ..External::default() }
    }

    /// What was read, by name.
    pub fn files(&self) -> impl Iterator<Item = &[u8]> {
        self.files.values().map(Vec::as_slice)
    }

    /// The little-endian bytes of a tensor's values, wherever they lie.
    pub fn raw<'t>(&'t mut self, tensor: &'t TensorProto) -> Result<&'t [u8], String> {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(&tensor.raw_data);
        }
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(format!("the {key} of its external data is no number: {:?}", entry(key))),
        };
        let location = entry("location").ok_or("its data lies in another file, but which is not said")?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        self.load(location)?;
        let total = self.files.values().map(Vec::len).sum::<usize>();
        let file = self.files.get(location).map_or(&[][..], Vec::as_slice);
        let end = length.map_or(Some(file.len()), |length| offset.checked_add(length));
        let raw = end.and_then(|end| file.get(offset..end)).ok_or_else(|| {
            let length = length.map_or("the rest".to_owned(), |length| format!("{length} bytes"));
            format!("needs {length} from byte {offset} of {location}, which has {} bytes: is it cut off?", file.len())
        })?;
        self.given = self.given.saturating_add(raw.len());
        if self.given / 2 > total {
            return Err(format!("its data lies in {location}, of which tensors share more bytes than it has"));
        }
        Ok(raw)
    }

    /// Reads a file, if that was not done before.
    fn load(&mut self, location: &str) -> Result<(), String> {
        let Some(folder) = self.folder else {
            return Err(format!("its data lies in another file, {location}, which cannot be read from memory"));
        };
        // Neither `..` nor an absolute path nor a link may lead out of the folder.
        let inside = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
        let path = folder.join(location);
        let resolved = fs::canonicalize(&path);
        let outside = |resolved: &Path| fs::canonicalize(folder).is_ok_and(|folder| !resolved.starts_with(folder));
        if location.is_empty() || !inside || resolved.as_deref().is_ok_and(outside) {
            return Err(format!("its data lies in {location:?}, which is outside the ONNX file's folder"));
        }
        if !self.files.contains_key(location) {
            let fail = |error: std::io::Error| format!("its data lies beside, in {location}: {error}");
            let about = fs::metadata(&path).map_err(fail)?;
            if !about.is_file() || about.len() > MAX_BYTES {
                return Err(format!("its data lies beside, in {location}, which is no file of at most 4 GiB"));
            }
            self.files.insert(location.to_owned(), fs::read(&path).map_err(fail)?);
        }
        Ok(())
    }
}
