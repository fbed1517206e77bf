//! What a pickle builds, without Python.

use std::fmt;
use std::ops::Index;

/// Which value of an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Id(u32);

/// A value. Text and bytes are borrowed from the pickle; other values are referred to by [`Id`], so that a value used
/// many times is stored once, and dropping any structure needs no recursion.
#[derive(Debug)]
pub(in super::super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer wider than 64 bits: two's complement, little-endian.
    Long(&'a [u8]),
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    /// Bytes in the form that protocol 2 has for them: each character below U+0100 is one byte.
    Latin1(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Entries in the order they were set; of entries with equal keys the last one counts.
    Dict(Vec<(Id, Id)>),
    Global(Global<'a>),
    /// A little-endian or single-byte NumPy type by its code, for example `f8`.
    NumpyDtype(&'a str),
    Storage(Box<Storage<'a>>),
    Tensor(Box<TensorRef>),
    /// What a call that is not interpreted would have made.
    Object(Global<'a>),
    /// Anything else that no tensor and no metadata is made of.
    Opaque,
}

/// A function or class, by name. Nothing in the pickle reader resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Global<'a> {
    pub(in super::super) module: &'a str,
    pub(in super::super) name: &'a str,
}

impl fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// The persistent id of a storage, as PyTorch writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Storage<'a> {
    /// The class, for example `FloatStorage`, which gives the element type.
    pub(in super::super) class: &'a str,
    /// Names the raw bytes in the container.
    pub(in super::super) key: &'a str,
    /// Elements in the container under that key.
    pub(in super::super) len: usize,
    /// The part of them that this storage is: first element and number of elements.
    pub(in super::super) view: (usize, usize),
}

/// A strided tensor over a storage; none of its numbers has been checked against the storage.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct TensorRef {
    /// A [`Value::Storage`].
    pub(in super::super) storage: Id,
    /// First element in the storage.
    pub(in super::super) offset: usize,
    /// Dimensions, outermost first.
    pub(in super::super) shape: Vec<usize>,
    /// Elements from one index to the next, for each dimension.
    pub(in super::super) strides: Vec<usize>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(in super::super) struct Arena<'a> {
    values: Vec<Value<'a>>,
}

impl<'a> Arena<'a> {
    /// Adds a value. The reader's step limit keeps their number far below 2³².
    pub(super) fn push(&mut self, value: Value<'a>) -> Id {
        self.values.push(value);
        Id(self.values.len() as u32 - 1)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.values[id.0 as usize]
    }

    /// Every storage that the pickle mentions.
    pub(in super::super) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The items of a tuple or list.
    pub(in super::super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match &self[id] {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text of a string.
    pub(in super::super) fn text(&self, id: Id) -> Option<&'a str> {
        match self[id] {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self[id] {
            Value::Int(int) => usize::try_from(int).ok(),
            _ => None,
        }
    }
}

impl<'a> Index<Id> for Arena<'a> {
    type Output = Value<'a>;

    fn index(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }
}
