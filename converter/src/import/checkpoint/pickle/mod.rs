//! A reader of pickles that executes nothing.
//!
//! A pickle is a program for a stack machine (described in Python's `pickletools`). This machine builds plain
//! [`Value`]s, and gives a meaning to the handful of calls that PyTorch's state dicts are made of ([`call`]).

mod call;
mod input;
mod machine;
pub(super) mod opcode;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod value;

use self::machine::Machine;
pub(super) use self::value::{Arena, Global, Id, Storage, TensorRef, Value};
use super::error::CheckpointError;

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    /// Everything it built.
    pub(super) values: Arena<'a>,
    /// What it stands for.
    pub(super) root: Id,
    /// Offset of the first byte after it.
    pub(super) end: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that starts at byte `start` of `stream`.
    pub(super) fn read(stream: &'a [u8], start: usize) -> Result<Self, PickleError> {
        let mut machine = Machine::new(stream, start);
        loop {
            let offset = machine.position();
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => {
                    let end = machine.position();
                    return Ok(Self { values: machine.into_values(), root, end });
                }
                Err(fault) => return Err(PickleError { offset, fault }),
            }
        }
    }
}

/// Why a pickle was refused.
#[derive(Debug)]
pub(super) struct PickleError {
    /// Offset of the opcode in the stream.
    offset: usize,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// The pickle mentions this global.
    Forbidden(String),
    Malformed(String),
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Malformed(reason.to_owned())
    }
}

impl PickleError {
    /// The error for `part` of `file`.
    pub(super) fn of(self, file: &str, part: &str) -> CheckpointError {
        let (file, part, offset) = (file.to_owned(), part.to_owned(), self.offset);
        match self.fault {
            Fault::Forbidden(global) => CheckpointError::Forbidden { file, part, offset, global },
            Fault::Malformed(reason) => CheckpointError::Pickle { file, part, offset, reason },
        }
    }
}
