//! Arguments of `./run` and files of the host, by semihosting.

use core::ffi::CStr;

use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Read;

use crate::{Exit, board};

/// Longest list of arguments.
const ARGUMENTS: usize = 1024;

/// An argument.
pub type Argument = heapless::String<ARGUMENTS>;

/// Argument `number`, counted from 1; `None` if there are fewer, or if all together exceed a kilobyte.
pub fn argument(number: usize) -> Option<Argument> {
    let arguments = env::args::<ARGUMENTS>().ok()?;
    Argument::try_from((&arguments).into_iter().nth(number)?.ok()?).ok()
}

/// A file of the host that is open.
pub struct HostFile {
    file: File,
    len: usize,
}

impl HostFile {
    /// Opens the file that argument `number` names; `None` if there are fewer. A file that cannot be opened ends the program
    /// with [`Exit::Input`].
    pub fn argument(number: usize) -> Option<Self> {
        let mut path = argument(number)?;
        path.push('\0').ok()?;
        let opened = CStr::from_bytes_with_nul(path.as_bytes()).ok().and_then(|path| {
            let file = File::open(path).ok()?;
            let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
            Some(HostFile { file, len })
        });
        if opened.is_none() {
            defmt::error!("{=str}: the host cannot open it", path.trim_end_matches('\0'));
            board::exit(Exit::Input)
        }
        opened
    }

    /// Bytes of the file.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Fills `to` with the next bytes, or ends the program with [`Exit::Input`].
    pub fn read(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            match self.file.read(to) {
                Ok(read) if read > 0 => to = &mut to[read..],
                _ => {
                    defmt::error!("a file of the host ends {=usize} bytes too early", to.len());
                    board::exit(Exit::Input)
                }
            }
        }
    }

    /// Leaves out the next bytes, or ends the program with [`Exit::Input`].
    pub fn skip(&mut self, len: usize) {
        (0..len).for_each(|_| self.read(&mut [0]));
    }
}
