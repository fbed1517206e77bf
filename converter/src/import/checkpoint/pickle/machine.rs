//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::super::error::quoted;
use super::super::limits;
use super::input::Input;
use super::value::{Arena, Global, Id, Value};
use super::{Fault, call, opcode as op};

/// The machine's state while it reads a stream.
pub(super) struct Machine<'a> {
    input: Input<'a>,
    values: Arena<'a>,
    stack: Vec<Id>,
    /// Height of the stack at each open `MARK`; nothing below the last one may be popped.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    steps_left: usize,
}

impl<'a> Machine<'a> {
    /// A machine about to read `stream` from byte `start`.
    pub(super) fn new(stream: &'a [u8], start: usize) -> Self {
        Self {
            input: Input::new(stream, start),
            values: Arena::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            steps_left: limits::PICKLE_STEPS,
        }
    }

    /// Offset of the next byte to read.
    pub(super) fn position(&self) -> usize {
        self.input.position()
    }

    /// Everything that was built.
    pub(super) fn into_values(self) -> Arena<'a> {
        self.values
    }

    /// Executes one opcode; returns the pickle's value at `STOP`.
    pub(super) fn step(&mut self) -> Result<Option<Id>, Fault> {
        self.spend(1)?;
        let [opcode] = self.input.array()?;
        match opcode {
            op::PROTO => {
                let [version] = self.input.array()?;
                if !(2..=5).contains(&version) {
                    return Err(Fault::Malformed(format!("pickle protocol {version}; 2 to 5 are supported")));
                }
            }
            // A frame only says how much may be read at once; but so much has to be there.
            op::FRAME => {
                let len = self.input.len8()?;
                self.input.peek(len)?;
            }
            op::STOP => return self.pop().map(Some),
            op::MARK => self.marks.push(self.stack.len()),
            op::POP if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            op::POP => {
                self.pop()?;
            }
            op::POP_MARK => {
                self.pop_mark()?;
            }
            op::DUP => self.stack.push(self.top()?),

            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => {
                let int = i32::from_le_bytes(self.input.array()?);
                self.push(Value::Int(int.into()));
            }
            op::BININT1 => {
                let [int] = self.input.array()?;
                self.push(Value::Int(int.into()));
            }
            op::BININT2 => {
                let int = u16::from_le_bytes(self.input.array()?);
                self.push(Value::Int(int.into()));
            }
            op::LONG1 | op::LONG4 => {
                let len = if opcode == op::LONG1 { self.input.len1()? } else { self.input.len4()? };
                let bytes = self.input.take(len)?;
                self.push(long(bytes));
            }
            op::BINFLOAT => {
                let float = f64::from_be_bytes(self.input.array()?);
                self.push(Value::Float(float));
            }

            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => self.push_text(Input::len1)?,
            op::BINUNICODE | op::BINSTRING => self.push_text(Input::len4)?,
            op::BINUNICODE8 => self.push_text(Input::len8)?,
            op::SHORT_BINBYTES => self.push_bytes(Input::len1)?,
            op::BINBYTES => self.push_bytes(Input::len4)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.push_bytes(Input::len8)?,

            op::EMPTY_TUPLE => self.push_tuple(0)?,
            op::TUPLE1 => self.push_tuple(1)?,
            op::TUPLE2 => self.push_tuple(2)?,
            op::TUPLE3 => self.push_tuple(3)?,
            op::TUPLE => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            op::EMPTY_LIST => self.push(Value::List(Vec::new())),
            op::APPEND => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            op::SETITEMS => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            op::EMPTY_SET => self.push(Value::Opaque),
            op::FROZENSET => {
                self.pop_mark()?;
                self.push(Value::Opaque);
            }

            op::BINPUT => {
                let index = self.input.len1()?;
                self.remember(index)?;
            }
            op::LONG_BINPUT => {
                let index = self.input.len4()?;
                self.remember(index)?;
            }
            op::MEMOIZE => self.remember(self.memo.len())?,
            op::BINGET => {
                let index = self.input.len1()?;
                self.recall(index)?;
            }
            op::LONG_BINGET => {
                let index = self.input.len4()?;
                self.recall(index)?;
            }

            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push_global(Global { module, name })?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.values.text(module), self.values.text(name)) else {
                    return Err("a global's module and name are not both text".into());
                };
                self.push_global(Global { module, name })?;
            }
            op::REDUCE | op::NEWOBJ => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call(callee, arguments)?;
            }
            op::NEWOBJ_EX => {
                let (_keywords, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, arguments)?;
            }
            op::BUILD => {
                let (state, object) = (self.pop()?, self.top()?);
                call::build(&mut self.values, object, state);
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let value = call::persistent(&self.values, id)?;
                self.push(value);
            }
            _ => return Err(Fault::Malformed(format!("opcode {opcode:#04x}, which PyTorch does not write"))),
        }
        Ok(None)
    }

    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or("the pickle is longer than any checkpoint needs")?;
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        let id = self.values.push(value);
        self.stack.push(id);
    }

    fn push_text(&mut self, len: impl Fn(&mut Input<'a>) -> Result<usize, Fault>) -> Result<(), Fault> {
        let len = len(&mut self.input)?;
        let bytes = self.input.take(len)?;
        // Python allows lone surrogates in text and, in version 2, any bytes.
        self.push(str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Str));
        Ok(())
    }

    fn push_bytes(&mut self, len: impl Fn(&mut Input<'a>) -> Result<usize, Fault>) -> Result<(), Fault> {
        let len = len(&mut self.input)?;
        let bytes = self.input.take(len)?;
        self.push(Value::Bytes(bytes));
        Ok(())
    }

    fn push_tuple(&mut self, len: usize) -> Result<(), Fault> {
        let start = self.stack.len().checked_sub(len).filter(|&start| start >= self.floor()).ok_or(UNDERFLOW)?;
        let items = self.stack.split_off(start);
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn push_global(&mut self, global: Global<'a>) -> Result<(), Fault> {
        if global.module.len().max(global.name.len()) > limits::NAME_BYTES {
            return Err("a global's name is longer than 512 bytes".into());
        }
        if call::is_forbidden(global) {
            return Err(Fault::Forbidden(quoted(&global.to_string())));
        }
        self.push(Value::Global(global));
        Ok(())
    }

    /// The height that the stack must not fall below.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Fault> {
        self.stack[self.floor()..].last().copied().ok_or(UNDERFLOW.into())
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Everything above the last mark, which is removed.
    fn pop_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    /// Appends to the list on top of the stack; the items of an uninterpreted object are dropped.
    fn append(&mut self, items: &[Id]) -> Result<(), Fault> {
        match self.values.get_mut(self.top()?) {
            Value::List(list) => list.extend_from_slice(items),
            Value::Object(_) | Value::Opaque => {}
            _ => return Err("items are appended to something that is not a list".into()),
        }
        Ok(())
    }

    /// Sets entries of the dictionary on top of the stack; those of an uninterpreted object are dropped.
    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let (entries, odd) = items.as_chunks::<2>();
        if !odd.is_empty() {
            return Err("a dictionary entry has a key but no value".into());
        }
        match self.values.get_mut(self.top()?) {
            Value::Dict(dict) => dict.extend(entries.iter().map(|&[key, value]| (key, value))),
            Value::Object(_) | Value::Opaque => {}
            _ => return Err("entries are set in something that is not a dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, index: usize) -> Result<(), Fault> {
        let index = u32::try_from(index).map_err(|_| "a memo index exceeds 32 bits")?;
        self.memo.insert(index, self.top()?);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), Fault> {
        let remembered = u32::try_from(index).ok().and_then(|index| self.memo.get(&index));
        let &value = remembered.ok_or_else(|| Fault::Malformed(format!("nothing is remembered as {index}")))?;
        self.stack.push(value);
        Ok(())
    }

    fn call(&mut self, callee: Id, arguments: Id) -> Result<(), Fault> {
        let (value, copied) = call::call(&mut self.values, callee, arguments, self.steps_left)?;
        self.spend(copied)?;
        self.stack.push(value);
        Ok(())
    }
}

const UNDERFLOW: &str = "the stack is empty";

/// An integer of `bytes`, two's complement and little-endian; no bytes are zero.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}
