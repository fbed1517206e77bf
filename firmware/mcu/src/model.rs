//! The program's model, and what to do with one that is none.

use cardinal_runtime::format::layout::{MAGIC, header};
use cardinal_runtime::{Arena, Model, RuntimeError, Session};

use crate::{Exit, board};

/// The model's file: `CARDINAL_MODEL` at build time, or the one in `assets`.
const FILE: &[u8] = include_bytes!(env!("CARDINAL_MODEL"));

/// The size of the arena that is set aside: that of the file, unless `CARDINAL_ARENA` says otherwise, for another model that is
/// flashed apart. A file that is no model is built in too, with no arena: the program says what is wrong with it.
const ARENA_LEN: usize = match option_env!("CARDINAL_ARENA") {
    Some(number) => match usize::from_str_radix(number, 10) {
        Ok(number) => number,
        Err(_) => panic!("CARDINAL_ARENA is not a number of bytes"),
    },
    None => match (FILE.first_chunk(), FILE.split_at_checked(header::ARENA_LEN)) {
        (Some(&MAGIC), Some((_, rest))) => match rest.first_chunk() {
            Some(len) => u32::from_le_bytes(*len) as usize,
            None => 0,
        },
        _ => 0,
    },
};

/// An arena for the program's model.
pub type ModelArena = Arena<ARENA_LEN>;

/// The model's bytes, built in.
#[cfg(not(feature = "model-in-flash"))]
pub fn bytes() -> &'static [u8] {
    // An `Arena` for its alignment, which is the one that weights want.
    // SAFETY: the linker scripts put this section into flash, and no one else puts anything into it.
    #[allow(unsafe_code, reason = "an attribute that could misplace a static")]
    #[unsafe(link_section = ".model")]
    static MODEL: Arena<{ FILE.len() }> = Arena(*include_bytes!(env!("CARDINAL_MODEL")));
    &MODEL.0
}

/// The model's bytes, in the flash that the board keeps for it: as many as the file there says that it has, all of that flash at
/// most. Whatever lies there: verify it.
#[cfg(feature = "model-in-flash")]
pub fn bytes() -> &'static [u8] {
    let flash = board::model_flash();
    let len =
        flash.get(header::FILE_LEN..).and_then(|rest| rest.first_chunk()).map_or(0, |len| u32::from_le_bytes(*len));
    flash.get(..len as usize).unwrap_or(flash)
}

/// A session of the program's model; one that cannot run ends the program.
pub fn session(arena: &'static mut ModelArena) -> Session<'static, 'static> {
    let model = open(bytes());
    Session::new(model, &mut arena.0).unwrap_or_else(|error| refuse(error))
}

/// The verified model; a file that is none ends the program with [`Exit::Model`].
pub fn open(bytes: &[u8]) -> Model<'_> {
    Model::new(bytes).unwrap_or_else(|error| refuse(error.into()))
}

/// Logs why a model cannot run, and ends the program.
pub fn refuse(error: RuntimeError) -> ! {
    defmt::error!("the model is refused: {}", defmt::Display2Format(&error));
    board::exit(match error {
        RuntimeError::Format(_) => Exit::Model,
        _ => Exit::Arena,
    })
}
