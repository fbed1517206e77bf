//! Tensors out of raw storages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::dtype::Dtype;
use super::error::{CheckpointError, quoted};
use super::pickle::{Arena, Id, Storage, TensorRef, Value};
use super::{Tensor, limits};

/// Where a container keeps the raw bytes of storages.
pub(super) trait Storages {
    /// All bytes under the storage's key.
    fn read(&mut self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, CheckpointError>;
}

/// Reads the tensors that `named` refers to out of their storages, each storage once.
///
/// `named` may hold [`Value::Tensor`]s only; `file_len` limits the number of elements they may have together.
pub(super) fn read_tensors(
    file: &str,
    file_len: usize,
    values: &Arena<'_>,
    named: &BTreeMap<&str, Id>,
    storages: &mut impl Storages,
) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
    let mut by_storage: BTreeMap<&str, Vec<(&str, &TensorRef, &Storage<'_>)>> = BTreeMap::new();
    for (&name, &id) in named {
        if let Value::Tensor(tensor) = &values[id]
            && let Value::Storage(storage) = &values[tensor.storage]
        {
            by_storage.entry(storage.key).or_default().push((name, tensor, storage));
        }
    }
    let mut tensors = BTreeMap::new();
    let mut elements_left = limits::elements(file_len);
    for users in by_storage.into_values() {
        // A group has at least one member, and all members have the same key.
        let bytes = storages.read(users[0].2)?;
        for (name, tensor, storage) in users {
            let tensor = read_tensor(tensor, storage, &bytes, &mut elements_left)
                .map_err(|reason| CheckpointError::Tensor { file: file.to_owned(), key: quoted(name), reason })?;
            tensors.insert(name.to_owned(), tensor);
        }
    }
    Ok(tensors)
}

/// Reads one tensor from the bytes of its storage, after checking that it lies within them.
fn read_tensor(
    tensor: &TensorRef,
    storage: &Storage<'_>,
    bytes: &[u8],
    elements_left: &mut usize,
) -> Result<Tensor, String> {
    let dtype = Dtype::of_storage(storage.class).ok_or_else(|| {
        format!("its elements are in a {}, which is not supported; save it as tensor.float()", quoted(storage.class))
    })?;
    let available = bytes.len() / dtype.size();
    if storage.len > available {
        return Err(format!(
            "its storage {} declares {} elements but holds {available}; the file is damaged: copy or save it again",
            quoted(storage.key),
            storage.len
        ));
    }
    let Some(extent) = Extent::of(tensor) else {
        return Err(format!("its shape {:?} is larger than any memory; the file is damaged", tensor.shape));
    };
    let (view_start, view_len) = storage.view;
    let within = view_start.checked_add(view_len).is_some_and(|end| end <= storage.len);
    let inside = within && tensor.offset.checked_add(extent.span).is_some_and(|end| end <= view_len);
    if !inside && extent.span > 0 {
        return Err(format!(
            "shape {:?} with strides {:?} at element {} reaches past the {view_len} elements of its storage {}; the \
             file is damaged: copy or save it again",
            tensor.shape,
            tensor.strides,
            tensor.offset,
            quoted(storage.key)
        ));
    }
    *elements_left = elements_left.checked_sub(extent.elements).ok_or_else(|| {
        format!(
            "its {} elements, shared with other tensors or expanded, are more than a file of this length can hold; \
             save tensors with .clone()",
            extent.elements
        )
    })?;
    let start = if extent.span > 0 { view_start + tensor.offset } else { 0 };
    let data = if tensor.is_contiguous() {
        dtype.gather(bytes, start..start + extent.elements)
    } else {
        dtype.gather(bytes, Positions::new(tensor, start, extent.elements))
    };
    Ok(Tensor { shape: tensor.shape.clone(), data })
}

/// How many elements a strided tensor has, and how many elements of its storage it spans.
struct Extent {
    elements: usize,
    span: usize,
}

impl Extent {
    /// `None` if a number exceeds the address space.
    fn of(tensor: &TensorRef) -> Option<Self> {
        if tensor.shape.contains(&0) {
            return Some(Self { elements: 0, span: 0 });
        }
        let mut extent = Self { elements: 1, span: 1 };
        for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides) {
            extent.elements = extent.elements.checked_mul(size)?;
            extent.span = extent.span.checked_add((size - 1).checked_mul(stride)?)?;
        }
        Some(extent)
    }
}

impl TensorRef {
    /// Whether the elements lie one after another in row-major order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let follows = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            follows
        })
    }
}

/// The storage positions of a tensor's elements in row-major order.
struct Positions<'t> {
    tensor: &'t TensorRef,
    index: Vec<usize>,
    position: usize,
    left: usize,
}

impl<'t> Positions<'t> {
    fn new(tensor: &'t TensorRef, start: usize, elements: usize) -> Self {
        Self { tensor, index: vec![0; tensor.shape.len()], position: start, left: elements }
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let position = self.position;
        let dimensions = self.tensor.shape.iter().zip(&self.tensor.strides).zip(&mut self.index);
        for ((&size, &stride), index) in dimensions.rev() {
            if *index + 1 < size {
                *index += 1;
                self.position += stride;
                break;
            }
            // Back to the start of this dimension. A stride over a single element was never taken, whatever it is.
            self.position -= *index * stride;
            *index = 0;
        }
        Some(position)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::Pickle;
    use super::super::pickle::testing::dict;
    use super::*;

    /// 0, 1, 2, ... as the 12 elements of a float32 storage.
    struct Ramp;

    impl Storages for Ramp {
        fn read(&mut self, _: &Storage<'_>) -> Result<Cow<'_, [u8]>, CheckpointError> {
            Ok((0..12).flat_map(|i| (i as f32).to_le_bytes()).collect())
        }
    }

    /// The elements of a tensor over [`Ramp`], which declares `len` elements.
    fn read(len: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Result<Vec<f32>, String> {
        let pickle = dict(&[("w", &|writer| writer.tensor("0", len, offset, shape, strides))]);
        let pickle = Pickle::read(&pickle, 0).unwrap();
        let Value::Dict(entries) = &pickle.values[pickle.root] else { unreachable!() };
        let named = BTreeMap::from([("w", entries[0].1)]);
        let tensors = read_tensors("model.pth", 0, &pickle.values, &named, &mut Ramp);
        tensors.map(|tensors| tensors["w"].data.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn strided_tensors_are_gathered() {
        const ANY: i64 = i64::MAX;
        assert_eq!(read(12, 0, &[2, 3], &[3, 1]).unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(read(12, 0, &[3, 2], &[1, 3]).unwrap(), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(read(12, 1, &[2, 2], &[6, 2]).unwrap(), [1., 3., 7., 9.]);
        assert_eq!(read(12, 5, &[3], &[0]).unwrap(), [5., 5., 5.]);
        assert_eq!(read(12, 11, &[], &[]).unwrap(), [11.]);
        assert_eq!(read(12, 10, &[1, 2, 1], &[ANY, 1, ANY]).unwrap(), [10., 11.]);
        assert!(read(12, ANY, &[3, 0], &[ANY, 1]).unwrap().is_empty());
    }

    #[test]
    fn tensors_outside_their_storage_are_refused() {
        const HUGE: i64 = i64::MAX;
        let cases = [
            (read(12, 12, &[1], &[1]), "past the 12 elements"),
            (read(12, 1, &[12], &[1]), "past the 12 elements"),
            (read(12, 0, &[2, 3], &[10, 1]), "past the 12 elements"),
            (read(12, HUGE, &[2], &[1]), "past the 12 elements"),
            (read(12, 0, &[4], &[HUGE]), "larger than any memory"),
            (read(12, 0, &[HUGE, 4], &[0, 0]), "larger than any memory"),
            (read(12, 0, &[1 << 40], &[0]), "more than a file of this length"),
            (read(13, 0, &[1], &[1]), "declares 13 elements but holds 12"),
            (read(HUGE, 0, &[1], &[1]), "but holds 12"),
        ];
        for (result, expected) in cases {
            let error = result.unwrap_err();
            assert!(error.starts_with("model.pth: tensor `w`: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_view_is_a_range_of_its_storage() {
        let tensor = |offset| {
            let mut elements_left = 12;
            // The storage is any id: only its description is used.
            let root = Pickle::read(b"\x80\x02N.", 0).unwrap().root;
            let tensor = TensorRef { storage: root, offset, shape: vec![2], strides: vec![1] };
            let storage = Storage { class: "FloatStorage", key: "0", len: 12, view: (4, 3) };
            let bytes = Ramp.read(&storage).unwrap().into_owned();
            read_tensor(&tensor, &storage, &bytes, &mut elements_left).map(|tensor| tensor.data)
        };
        assert_eq!(tensor(1).unwrap(), [5., 6.]);
        assert!(tensor(2).unwrap_err().contains("past the 3 elements"));
    }
}
