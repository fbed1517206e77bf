//! Instructions (cycles on a real board) of each layer of the program's model, with every backend of this core.
//!
//! The lines `layer,…` are for programs: backend, layer, what was counted, multiply-adds.

#![no_std]
#![no_main]

use cardinal_mcu::model::{self, ModelArena};
use cardinal_mcu::{Exit, board, golden, measure};
use cardinal_runtime::{Session, kernels};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: ModelArena = ModelArena::new();
    board::start();
    let from = board::now();
    let model = model::open(model::bytes());
    defmt::debug!("{=u32} {=str} to verify the model", board::elapsed(from, board::now()), board::UNIT);
    let image = golden::first_image(&model);
    for &backend in kernels::available() {
        let session = Session::with_kernels(model, &mut ARENA.0, backend);
        let mut session = session.unwrap_or_else(|error| model::refuse(error));
        session.image_mut().copy_from_slice(image);
        defmt::info!("{=str}: {=u64} multiply-adds", backend.name, measure::multiply_adds(&session));
        measure::layers(&mut session, backend.name);
    }
    board::exit(Exit::Done)
}
