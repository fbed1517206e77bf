//! Running a model where memory can be allocated.

use std::sync::OnceLock;

use cardinal_format::layout::ALIGN;
use cardinal_format::{Shape, Tensor};
use cardinal_runtime::{Kernels, Model, RuntimeError, Session};

use crate::features::Map;

/// The largest arena that the host allocates for a file from anywhere: 2 GiB, a thousand times ResNeXt-50's.
const MAX_ARENA: usize = 1 << 31;

static CHOSEN: OnceLock<Kernels> = OnceLock::new();

/// The kernels that int8 models run with: the best of this CPU, or those that were chosen before any ran.
pub fn kernels() -> &'static Kernels {
    CHOSEN.get_or_init(cardinal_runtime::kernels::best)
}

/// Chooses the kernels, before anything runs.
pub fn choose(kernels: Kernels) {
    // Fails only if something ran.
    let _ = CHOSEN.set(kernels);
}

/// A model with a buffer of its own; one per thread.
pub struct Runner<'m> {
    model: Model<'m>,
    kernels: &'static Kernels,
    threads: usize,
    buffer: Vec<u8>,
}

impl<'m> Runner<'m> {
    /// Allocates the arena; runs with [`kernels()`].
    pub fn new(model: Model<'m>) -> Self {
        Self::with_kernels(model, kernels())
    }

    /// Allocates the arena.
    pub fn with_kernels(model: Model<'m>, kernels: &'static Kernels) -> Self {
        Runner { model, kernels, threads: 1, buffer: vec![0; model.arena_len() + ALIGN] }
    }

    /// Divides layers between so many threads of rayon's pool, where there is only one image at a time.
    pub fn with_threads(self, threads: usize) -> Self {
        Runner { threads, ..self }
    }

    /// A session in the buffer, 64-aligned.
    pub fn session(&mut self) -> Result<Session<'m, '_>, RuntimeError> {
        let start = self.buffer.as_ptr().align_offset(ALIGN);
        let mut session = Session::with_kernels(self.model, &mut self.buffer[start.min(ALIGN)..], *self.kernels)?;
        session.set_threads(self.threads);
        Ok(session)
    }

    /// Logits of one image, height × width × channels bytes as [`crate::images::prepare`] makes them.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, RuntimeError> {
        let mut session = self.session()?;
        session.image_mut().copy_from_slice(pixels);
        Ok(session.run().to_vec())
    }

    /// Logits of one image, and the output of the op `layer` on the way; empty if there is no such op.
    pub fn logits_and_map(&mut self, pixels: &[u8], layer: &str) -> Result<(Vec<f32>, Map), RuntimeError> {
        let mut found = Map::default();
        let logits = self.each_map(pixels, |name, shape, values| {
            if name == layer {
                let [channels, height, width] = [shape.channels, shape.height, shape.width].map(|side| side as usize);
                found = Map { shape: [channels, height, width], values: values.collect() };
            }
        })?;
        Ok((logits, found))
    }

    /// Logits of one image. `show` gets the name, extent and output, `[channels][height][width]` in real units, of every op
    /// on the way that has a map.
    pub fn observe(
        &mut self,
        pixels: &[u8],
        mut show: impl FnMut(&str, Shape, &[f32]),
    ) -> Result<Vec<f32>, RuntimeError> {
        let mut map = Vec::new();
        self.each_map(pixels, |name, shape, values| {
            map.clear();
            map.extend(values);
            show(name, shape, &map);
        })
    }

    /// As [`Self::observe`], with values that are computed when they are taken.
    fn each_map(
        &mut self,
        pixels: &[u8],
        mut show: impl FnMut(&str, Shape, &mut dyn Iterator<Item = f32>),
    ) -> Result<Vec<f32>, RuntimeError> {
        let mut session = self.session()?;
        session.image_mut().copy_from_slice(pixels);
        let logits = session.run_observed(|step| {
            if let Some((Tensor { shape, qparams, .. }, codes)) = step.output {
                let channels = shape.channels as usize;
                let size = shape.volume() / channels.max(1);
                let places = (0..channels).flat_map(|c| (0..size).map(move |position| position * channels + c));
                show(step.name, shape, &mut places.filter_map(|i| Some(qparams.dequantize(codes.get(i)?))));
            }
        });
        Ok(logits.to_vec())
    }
}

/// Verifies a model for use on the host: as [`Model::new`], and with an arena that can be allocated.
pub fn open(bytes: &[u8]) -> Result<Model<'_>, RuntimeError> {
    let model = Model::new(bytes)?;
    match model.arena_len() {
        needed if needed > MAX_ARENA => Err(RuntimeError::ArenaTooSmall { given: MAX_ARENA, needed }),
        _ => Ok(model),
    }
}

/// Class numbers, best first; equal logits by class number.
pub fn ranking(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
}

/// Softmax probabilities of all classes, in float64; each 0…1.
pub fn probabilities(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |&logit: &f32| (f64::from(logit) - f64::from(max)).exp();
    let sum: f64 = logits.iter().map(exponential).sum();
    logits.iter().map(|logit| exponential(logit) / sum).collect()
}
