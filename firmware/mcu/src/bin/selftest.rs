//! Everything that must hold on a device: the model verifies, gives the host's logits for the golden file's images, and says
//! what it takes of time and memory.

#![no_std]
#![no_main]

use cardinal_mcu::golden::{self, Comparison};
use cardinal_mcu::model::{self, ModelArena};
use cardinal_mcu::{board, measure, stack};
use cardinal_runtime::format::golden::crc_of;
use cardinal_runtime::kernels;
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: ModelArena = ModelArena::new();
    board::start();
    let given = ARENA.0.len();
    let top = stack::paint();
    let mut session = model::session(ARENA);
    defmt::debug!("stack: {=usize} bytes to verify the model", stack::used_since(top));
    let model = session.model();
    let bytes = model.file().bytes();
    defmt::info!("model: {=usize} bytes, CRC-32 {=u32:08x}, verified", bytes.len(), crc_of(bytes));
    defmt::info!("arena: {=usize} of {=usize} bytes", model.arena_len(), given);

    let (header, records) = golden::built_in(&model);
    let mut comparison = Comparison::new(header);
    let top = stack::paint();
    records.for_each(|record| comparison.run(&mut session, record));
    defmt::debug!("stack: {=usize} bytes for a run and its comparison", stack::used_since(top));
    let outcome = comparison.finish();

    session.image_mut().copy_from_slice(golden::first_image(&model));
    measure::layers(&mut session, kernels::best().name);
    board::exit(outcome)
}
