//! What a run takes.

use cardinal_runtime::Session;

use crate::board;

/// Runs the session's image and logs what each layer took, `layer,BACKEND,NAME,COUNT,MULTIPLY-ADDS` for programs to read, and
/// the sum, all at level debug: the compiler has a say in them. Counts are of [`board::UNIT`].
pub fn layers(session: &mut Session<'_, '_>, backend: &str) {
    let model = session.model();
    let (mut total, mut all) = (0u64, 0u64);
    let mut from = board::now();
    session.run_observed(|step| {
        let count = board::elapsed(from, board::now());
        let multiply_adds = model.file().multiply_adds(&step.op);
        defmt::debug!("layer,{=str},{=str},{=u32},{=u64}", backend, step.name, count, multiply_adds);
        (total, all) = (total + u64::from(count), all + multiply_adds);
        from = board::now();
    });
    let per = total as f32 / all as f32;
    defmt::debug!("{=str}: {=u64} {=str}, {=f32} per multiply-add", backend, total, board::UNIT, per);
}

/// Multiply-adds of an image.
pub fn multiply_adds(session: &Session<'_, '_>) -> u64 {
    let model = session.model();
    model.file().ops().map(|(_, op)| model.file().multiply_adds(&op)).sum()
}
