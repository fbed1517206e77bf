//! Golden files on the device: `cardinal golden` writes them.

use cardinal_runtime::format::golden::{HEADER_LEN, Header, crc_of};
use cardinal_runtime::format::layout::CRC32;
use cardinal_runtime::{Model, Session};

use crate::{Exit, board};

/// The golden file that is built in: `CARDINAL_GOLDEN` at build time, or the one in `assets`.
static GOLDEN: &[u8] = include_bytes!(env!("CARDINAL_GOLDEN"));

/// The header of a golden file and the length of its records, if it is of this model; otherwise ends the program with
/// [`Exit::Input`].
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

/// The built-in file's header and records; one of another model ends the program with [`Exit::Input`].
pub fn built_in(model: &Model<'_>) -> (Header, impl Iterator<Item = &'static [u8]> + use<>) {
    let (header, len) = header(GOLDEN, model);
    (header, GOLDEN[HEADER_LEN..].chunks_exact(len).take(header.count as usize))
}

/// The built-in file's first image; none ends the program with [`Exit::Input`].
pub fn first_image(model: &Model<'_>) -> &'static [u8] {
    let (header, mut records) = built_in(model);
    let Some(record) = records.next() else {
        defmt::error!("the golden file has no image");
        board::exit(Exit::Input)
    };
    &record[..header.image_len as usize]
}

/// Runs a model on a golden file's images and holds its logits against the file's.
pub struct Comparison {
    header: Header,
    seen: u32,
    equal: u32,
    checksum: u32,
}

impl Comparison {
    /// With no image yet.
    pub fn new(header: Header) -> Self {
        Comparison { header, seen: 0, equal: 0, checksum: 0 }
    }

    /// Runs the image of a record.
    pub fn run(&mut self, session: &mut Session<'_, '_>, record: &[u8]) {
        let (image, expected) = record.split_at(self.header.image_len as usize);
        session.image_mut().copy_from_slice(image);
        let logits = session.run();
        self.checksum = self.checksum.rotate_left(1) ^ checksum(logits);
        if equal(logits, expected) {
            self.equal += 1;
        } else {
            defmt::error!("image {=u32}: other logits than the host's", self.seen);
        }
        self.seen += 1;
    }

    /// Logs the outcome: [`Exit::Done`] if all images were run and all logits are equal, to the bit.
    pub fn finish(self) -> Exit {
        let Comparison { header: Header { count, .. }, equal, checksum, .. } = self;
        defmt::info!(
            "{=u32} of {=u32} images: logits equal the host's to the bit, checksum {=u32:08x}",
            equal,
            count,
            checksum
        );
        if equal == count { Exit::Done } else { Exit::Wrong }
    }
}

/// The CRC-32 of logits, as the file has their bytes: equal on every device and on the host.
fn checksum(logits: &[f32]) -> u32 {
    let mut digest = CRC32.digest();
    logits.iter().for_each(|logit| digest.update(&logit.to_le_bytes()));
    digest.finalize()
}

/// Whether logits are a record's, to the bit.
fn equal(logits: &[f32], golden: &[u8]) -> bool {
    let golden = golden.as_chunks().0.iter().copied();
    logits.iter().map(|logit| logit.to_le_bytes()).eq(golden)
}
