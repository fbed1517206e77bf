//! Files of the host, by semihosting: the arguments of `./run`.

use core::ffi::CStr;

use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Read;

use crate::{Exit, board};

/// Longest list of arguments.
const ARGUMENTS: usize = 1024;

/// A file of the host that is open.
pub struct HostFile {
    file: File,
    len: usize,
}

impl HostFile {
    /// Opens argument `number`, counted from 1; `None` if there are fewer. A file that cannot be opened ends the program with
    /// [`Exit::Input`].
    pub fn argument(number: usize) -> Option<Self> {
        let arguments = env::args::<ARGUMENTS>().ok()?;
        let name = (&arguments).into_iter().nth(number)?.ok()?;
        let mut path: heapless::Vec<u8, ARGUMENTS> = heapless::Vec::from_slice(name.as_bytes()).ok()?;
        path.push(0).ok()?;
        let path = CStr::from_bytes_with_nul(&path).ok()?;
        let opened = File::open(path).and_then(|file| {
            let len = file.metadata()?.len();
            Ok((file, len))
        });
        match opened {
            Ok((file, len)) => Some(HostFile { file, len: len as usize }),
            Err(_) => {
                defmt::error!("{=str}: the host cannot open it", name);
                board::exit(Exit::Input)
            }
        }
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
}
