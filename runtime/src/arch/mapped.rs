//! Model files in memory without a copy, where there is an operating system.

#![allow(unsafe_code, reason = "mapping a file")]

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::vec::Vec;

use memmap2::Mmap;

/// A file's bytes: the file itself, mapped into memory, so that processes share them and only what is used is read. What
/// cannot be mapped, such as a pipe, is read.
///
/// The file must not be written while it is mapped: replace model files by renaming new ones over them, as
/// `cardinal convert` does. If it is cut off, the system ends the process.
#[derive(Debug)]
pub struct Mapped(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Mapped {
    /// The file at `path`.
    ///
    /// # Errors
    /// Those of opening and reading it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_file() {
            // SAFETY: nobody writes through this mapping. Whoever writes to the file all the same changes bytes that this
            // crate has verified, but no code of it reaches memory by what a model's bytes say without comparing that with
            // the length of a slice; what comes out is wrong numbers.
            if let Ok(map) = unsafe { Mmap::map(&file) } {
                return Ok(Mapped(Bytes::Mapped(map)));
            }
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Mapped(Bytes::Read(bytes)))
    }
}

impl core::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}
