//! Golden files on the device: `cardinal golden` writes them.

use cardinal_runtime::Model;
use cardinal_runtime::format::golden::{Header, crc_of};
use cardinal_runtime::format::layout::CRC32;

use crate::{Exit, board};

/// The golden file that is built in: `CARDINAL_GOLDEN` at build time, or the one in `assets`.
pub static GOLDEN: &[u8] = include_bytes!(env!("CARDINAL_GOLDEN"));

/// The header of a golden file, if it is of this model; otherwise ends the program with [`Exit::Input`].
pub fn header(bytes: &[u8], model: &Model<'_>) -> (Header, usize) {
    let Some((header, len)) = Header::parse(bytes).and_then(|header| Some((header, header.record_len()?))) else {
        defmt::error!("not a golden file: `cardinal golden` writes them");
        board::exit(Exit::Input)
    };
    let crc = crc_of(model.file().bytes());
    let shape = [model.image().volume(), model.classes()];
    if header.model_crc != crc || [header.image_len as usize, header.classes as usize] != shape {
        defmt::error!("the golden file is of model {=u32:08x}, not of this one, {=u32:08x}", header.model_crc, crc);
        board::exit(Exit::Input)
    }
    (header, len)
}

/// The logits' bytes as the file has them, and their CRC-32: equal on every device and on the host.
pub fn checksum(logits: &[f32]) -> u32 {
    let mut digest = CRC32.digest();
    logits.iter().for_each(|logit| digest.update(&logit.to_le_bytes()));
    digest.finalize()
}

/// Whether logits are a record's, to the bit.
pub fn equal(logits: &[f32], golden: &[u8]) -> bool {
    let golden = golden.as_chunks().0.iter().copied();
    logits.iter().map(|logit| logit.to_le_bytes()).eq(golden)
}
