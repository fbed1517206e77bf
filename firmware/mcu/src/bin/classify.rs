//! Classifies still images: the golden file's first one, which is built in, or a file of the host.
//!
//! `./run BOARD classify IMAGE` with height × width × channels bytes as the model's image tensor has them, or with a golden
//! file, of which all images are classified.

#![no_std]
#![no_main]

use cardinal_mcu::model::{self, ModelArena};
use cardinal_mcu::{Exit, board, classes, golden};
use cardinal_runtime::Session;
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: ModelArena = ModelArena::new();
    board::start();
    let mut session = model::session(ARENA);
    #[cfg(feature = "qemu")]
    if let Some(file) = cardinal_mcu::host::HostFile::argument(1) {
        host_file(file, &mut session);
        board::exit(Exit::Done)
    }
    let image = golden::first_image(&session.model());
    session.image_mut().copy_from_slice(image);
    classify(&mut session);
    board::exit(Exit::Done)
}

/// Classifies the image in the session.
fn classify(session: &mut Session<'_, '_>) {
    let model = session.model();
    defmt::info!("{}", classes::top3(&model, session.run()));
}

/// Classifies the image, or the images, in a file of the host.
#[cfg(feature = "qemu")]
fn host_file(mut file: cardinal_mcu::host::HostFile, session: &mut Session<'_, '_>) {
    let image_len = session.image_mut().len();
    if file.len() == image_len {
        file.read(session.image_mut());
        return classify(session);
    }
    defmt::debug!("other than {=usize} bytes, so no raw image: taken as a golden file", image_len);
    let mut start = [0; cardinal_runtime::format::golden::HEADER_LEN];
    file.read(&mut start);
    let (header, record_len) = golden::header(&start, &session.model());
    for _ in 0..header.count {
        file.read(session.image_mut());
        file.skip(record_len - image_len);
        classify(session);
    }
}
