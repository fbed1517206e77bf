//! The model that is built in, and what to do with one that is none.

use cardinal_runtime::{Arena, Model, RuntimeError};

use crate::{Exit, board};

/// The model's bytes, in flash: `CARDINAL_MODEL` at build time, or the one in `assets`.
pub static MODEL: &[u8] = cardinal_runtime::include_model!(env!("CARDINAL_MODEL"));

/// The size of its arena.
pub const ARENA_LEN: usize = parse(env!("ARENA_LEN"));

/// An arena of that size.
pub type ModelArena = Arena<ARENA_LEN>;

const fn parse(decimal: &str) -> usize {
    match usize::from_str_radix(decimal, 10) {
        Ok(number) => number,
        Err(_) => 0,
    }
}

/// The verified model; a file that is none ends the program with [`Exit::Model`].
pub fn open(bytes: &[u8]) -> Model<'_> {
    Model::new(bytes).unwrap_or_else(|error| refuse(error.into()))
}

/// Logs why a model cannot run, and ends the program.
pub fn refuse(error: RuntimeError) -> ! {
    defmt::error!("the model is refused: {}", error);
    board::exit(match error {
        RuntimeError::Format(_) => Exit::Model,
        _ => Exit::Arena,
    })
}
