//! Pickles written by hand, for tests.

use super::{Arena, Id, Value, opcode as op};

/// Writes a pickle, opcode by opcode.
pub(in super::super) struct Writer(Vec<u8>);

impl Writer {
    pub(in super::super) fn new() -> Self {
        Self(vec![op::PROTO, 2])
    }

    pub(in super::super) fn op(mut self, opcode: u8) -> Self {
        self.0.push(opcode);
        self
    }

    pub(in super::super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(in super::super) fn text(self, text: &str) -> Self {
        self.op(op::BINUNICODE).raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub(in super::super) fn int(self, int: i64) -> Self {
        self.raw(&[op::LONG1, 8]).raw(&int.to_le_bytes())
    }

    pub(in super::super) fn global(self, module: &str, name: &str) -> Self {
        self.op(op::GLOBAL).raw(format!("{module}\n{name}\n").as_bytes())
    }

    /// A tuple of integers.
    pub(in super::super) fn ints(self, ints: &[i64]) -> Self {
        ints.iter().fold(self.op(op::MARK), |writer, &int| writer.int(int)).op(op::TUPLE)
    }

    /// A list that contains itself nowhere, but `width` times the list before it, `depth` times over.
    pub(in super::super) fn bomb(self, width: usize, depth: usize) -> Self {
        (0..depth).fold(self.text("x"), |writer, _| {
            let writer = writer.raw(&[op::BINPUT, 0, op::POP, op::EMPTY_LIST, op::MARK]);
            (0..width).fold(writer, |writer, _| writer.raw(&[op::BINGET, 0])).op(op::APPENDS)
        })
    }

    /// The storage of `len` elements of class `class` under `key`.
    pub(in super::super) fn storage(self, class: &str, key: &str, len: i64) -> Self {
        let writer = self.op(op::MARK).text("storage").global("torch", class).text(key).text("cpu").int(len);
        writer.op(op::TUPLE).op(op::BINPERSID)
    }

    /// A float32 tensor over the storage of `len` elements under `key`.
    pub(in super::super) fn tensor(self, key: &str, len: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let writer = self.global("torch._utils", "_rebuild_tensor_v2").op(op::MARK);
        let writer = writer.storage("FloatStorage", key, len).int(offset).ints(shape).ints(strides);
        let writer = writer.op(op::NEWFALSE).global("collections", "OrderedDict").op(op::EMPTY_TUPLE).op(op::REDUCE);
        writer.op(op::TUPLE).op(op::REDUCE)
    }

    pub(in super::super) fn stop(self) -> Vec<u8> {
        self.op(op::STOP).0
    }
}

/// The pickle of a dictionary, whose values are written by functions.
pub(in super::super) fn dict(entries: &[(&str, &dyn Fn(Writer) -> Writer)]) -> Vec<u8> {
    let write = |writer: Writer, (key, value): &(&str, &dyn Fn(Writer) -> Writer)| value(writer.text(key));
    entries.iter().fold(Writer::new().op(op::EMPTY_DICT).op(op::MARK), write).op(op::SETITEMS).stop()
}

/// A value as Python might print it; tensors by their shape.
pub(in super::super) fn show(values: &Arena<'_>, id: Id) -> String {
    let join = |ids: &[Id]| ids.iter().map(|&id| show(values, id)).collect::<Vec<_>>().join(" ");
    match &values[id] {
        Value::Tuple(items) => format!("({})", join(items)),
        Value::List(items) => format!("[{}]", join(items)),
        Value::Dict(entries) => {
            let show = |&(key, value): &(Id, Id)| format!("{}:{}", show(values, key), show(values, value));
            format!("{{{}}}", entries.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        Value::Global(global) => format!("<{global}>"),
        Value::Object(class) => format!("{class}()"),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Str(text) => (*text).to_owned(),
        Value::Tensor(tensor) => format!("tensor{:?}", tensor.shape),
        other => format!("{other:?}"),
    }
}

/// Calls `load` with every byte damaged in turn, in three ways; what is asked of it is to come back.
pub(in super::super) fn damage_every_byte<T>(bytes: &[u8], load: impl Fn(&[u8]) -> T) {
    for at in 0..bytes.len() {
        for damage in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= damage;
            let _ = load(&damaged);
        }
    }
}
