//! Runs a model of the host on images of the host: `./run BOARD compare MODEL.cardinal GOLDEN`.
//!
//! The model is read into the board's memory beside RAM and the arena lies behind it, so that models of any size run, and the
//! same program meets broken ones. Images are read one at a time. The logits must be the golden file's, to the bit.

#![no_std]
#![no_main]

use cardinal_mcu::golden::{self, Comparison};
use cardinal_mcu::host::HostFile;
use cardinal_mcu::{Exit, board, measure, model};
use cardinal_runtime::format::golden::HEADER_LEN;
use cardinal_runtime::format::layout::ALIGN;
use cardinal_runtime::{RuntimeError, Session, kernels};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    board::start();
    let Some(mut file) = HostFile::argument(1) else {
        defmt::error!("which model? ./run {=str} compare MODEL.cardinal GOLDEN", board::NAME);
        board::exit(Exit::Input)
    };
    let memory = board::memory();
    let room = memory.len();
    let Some((bytes, rest)) = memory.split_at_mut_checked(file.len()) else {
        defmt::error!("the model has {=usize} bytes, the board's memory {=usize}", file.len(), room);
        board::exit(Exit::Model)
    };
    file.read(bytes);
    let model = model::open(bytes);
    let gap = rest.as_ptr().align_offset(ALIGN).min(rest.len());
    let (_, rest) = rest.split_at_mut(gap);
    let (needed, given) = (model.arena_len(), rest.len());
    let Some((arena, rest)) = rest.split_at_mut_checked(needed) else {
        model::refuse(RuntimeError::ArenaTooSmall { given, needed })
    };
    let mut session = Session::new(model, arena).unwrap_or_else(|error| model::refuse(error));
    let backend = kernels::best().name;
    defmt::info!(
        "{=str}, {=str}: {=u64} multiply-adds an image",
        board::NAME,
        backend,
        measure::multiply_adds(&session)
    );

    let Some(mut file) = HostFile::argument(2) else { board::exit(Exit::Done) };
    let mut start = [0; HEADER_LEN];
    file.read(&mut start);
    let (header, len) = golden::header(&start, &model);
    let Some((record, _)) = rest.split_at_mut_checked(len) else {
        defmt::error!("no room for an image beside model and arena");
        board::exit(Exit::Input)
    };
    let mut comparison = Comparison::new(header);
    for _ in 0..header.count {
        file.read(record);
        comparison.run(&mut session, record);
    }
    board::exit(comparison.finish())
}
