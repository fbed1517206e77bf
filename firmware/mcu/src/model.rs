//! The program's model, and what to do with one that is none.

#![allow(unsafe_code, reason = "sections and symbols of the linker")]

use cardinal_runtime::{Arena, Model, RuntimeError, Session};

use crate::{Exit, board};

/// The size of the arena that is set aside: that of `CARDINAL_MODEL`, unless `CARDINAL_ARENA` says otherwise.
const ARENA_LEN: usize = match usize::from_str_radix(env!("ARENA_LEN"), 10) {
    Ok(number) => number,
    Err(_) => panic!("CARDINAL_ARENA is not a number of bytes"),
};

/// An arena for the program's model.
pub type ModelArena = Arena<ARENA_LEN>;

/// The model's bytes, built in: `CARDINAL_MODEL` at build time, or the one in `assets`.
#[cfg(not(feature = "model-in-flash"))]
pub fn bytes() -> &'static [u8] {
    const FILE: &[u8] = include_bytes!(env!("CARDINAL_MODEL"));
    // An `Arena` for its alignment, which is the one that weights want.
    // SAFETY: the linker scripts put this section into flash, and no one else puts anything into it.
    #[unsafe(link_section = ".model")]
    static MODEL: Arena<{ FILE.len() }> = Arena(*include_bytes!(env!("CARDINAL_MODEL")));
    &MODEL.0
}

/// The model's bytes, where the linker script has the region MODEL: as many as the file there says that it has, all of the
/// region at most. Whatever lies there: verify it.
#[cfg(feature = "model-in-flash")]
pub fn bytes() -> &'static [u8] {
    use cardinal_runtime::format::layout::header::FILE_LEN;
    unsafe extern "C" {
        static __model_start: u8;
        static __model_end: u8;
    }
    let (start, end) = (&raw const __model_start, &raw const __model_end);
    // SAFETY: the symbols bound flash of the board in which the linker puts nothing and to which no program writes. Any byte
    // is a u8.
    let region = unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) };
    let len = region.get(FILE_LEN..).and_then(|rest| rest.first_chunk()).map_or(0, |len| u32::from_le_bytes(*len));
    region.get(..len as usize).unwrap_or(region)
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
