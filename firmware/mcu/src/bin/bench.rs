//! Instructions (cycles on a real board) of each layer of the built-in model, with every backend of this core.
//!
//! The lines `layer,…` are for programs: backend, layer, what was counted, multiply-adds.

#![no_std]
#![no_main]

use cardinal_mcu::model::{self, MODEL, ModelArena};
use cardinal_mcu::{Exit, board, golden};
use cardinal_runtime::{Session, kernels};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    let Some(arena) = cortex_m::singleton!(: ModelArena = ModelArena::new()) else { board::exit(Exit::Panic) };
    board::start_clock();
    let started = board::now();
    let model = model::open(MODEL);
    defmt::info!(
        "{=str}: {=str} to verify the model: {=u32}",
        board::NAME,
        board::UNIT,
        board::elapsed(started, board::now())
    );
    let (header, _) = golden::header(golden::GOLDEN, &model);
    let image = &golden::GOLDEN[cardinal_runtime::format::golden::HEADER_LEN..][..header.image_len as usize];
    for &backend in kernels::available() {
        let mut session = match Session::with_kernels(model, &mut arena.0, backend) {
            Ok(session) => session,
            Err(error) => model::refuse(error),
        };
        session.image_mut().copy_from_slice(image);
        let (mut total, mut all) = (0u64, 0u64);
        let mut from = board::now();
        session.run_observed(|step| {
            let count = board::elapsed(from, board::now());
            let multiply_adds = model.file().multiply_adds(&step.op);
            defmt::info!("layer,{=str},{=str},{=u32},{=u64}", backend.name, step.name, count, multiply_adds);
            (total, all) = (total + u64::from(count), all + multiply_adds);
            from = board::now();
        });
        let per = total as f32 / all as f32;
        defmt::info!("{=str}: {=u64} {=str}, {=f32} per multiply-add", backend.name, total, board::UNIT, per);
    }
    board::exit(Exit::Done)
}
