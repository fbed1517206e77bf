//! Runs a model of the host on images of the host: `./run BOARD compare MODEL.cardinal GOLDEN`.
//!
//! The model is read into the board's memory beside RAM and the arena lies behind it, so that models of any size run, and the
//! same program meets broken ones. Images are read one at a time. The logits must be the golden file's, to the bit.

#![no_std]
#![no_main]

use cardinal_mcu::host::HostFile;
use cardinal_mcu::{Exit, board, golden, model};
use cardinal_runtime::format::golden::HEADER_LEN;
use cardinal_runtime::format::layout::ALIGN;
use cardinal_runtime::{RuntimeError, Session, kernels, top_k};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
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
    let backend = kernels::best();
    let mut session = Session::with_kernels(model, arena, backend).unwrap_or_else(|error| model::refuse(error));
    defmt::info!("{=str}, {=str}: {=u64} multiply-adds an image", board::NAME, backend.name, {
        let file = model.file();
        file.ops().map(|(_, op)| file.multiply_adds(&op)).sum::<u64>()
    });

    let Some(mut file) = HostFile::argument(2) else { board::exit(Exit::Done) };
    let mut start = [0; HEADER_LEN];
    file.read(&mut start);
    let (header, len) = golden::header(&start, &model);
    let Some((record, _)) = rest.split_at_mut_checked(len) else {
        defmt::error!("no room for an image beside model and arena");
        board::exit(Exit::Input)
    };
    board::start_clock();
    let (mut equal, mut checksum) = (0, 0u32);
    for number in 0..header.count {
        file.read(record);
        let (image, expected) = record.split_at(header.image_len as usize);
        session.image_mut().copy_from_slice(image);
        let logits = session.run();
        let same = golden::equal(logits, expected);
        equal += u32::from(same);
        checksum = checksum.rotate_left(1) ^ golden::checksum(logits);
        let best = top_k::<1>(logits).first().map_or(0, |best| best.class);
        if same {
            defmt::debug!("image {=u32}: class {=u32}", number, best);
        } else {
            defmt::error!("image {=u32}: class {=u32}, and other logits than the host's", number, best);
        }
    }
    defmt::info!(
        "{=u32} of {=u32} images: logits equal the host's to the bit, checksum {=u32:08x}",
        equal,
        header.count,
        checksum
    );
    board::exit(if equal == header.count { Exit::Done } else { Exit::Wrong })
}
