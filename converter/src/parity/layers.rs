//! Every layer's int8 output beside the float network's.

use std::collections::HashMap;

use cardinal_calib::Sqnr;
use cardinal_format::Shape;
use rayon::prelude::*;

use super::{LayerSqnr, Layers, Parity, Reference};
use crate::engine::Runner;
use crate::images::spread;
use crate::{Error, progress};

/// One layer's distance on one image; `None` if the reference does not have it.
type Distance = (String, Option<Sqnr>);

impl Parity<'_> {
    /// Compares the layers on images that are spread over the classes, or those that were recorded.
    pub(super) fn layers(&self) -> Result<Layers, Error> {
        match self.reference {
            Reference::Network(_) => self.layers_on(&spread(self.images.labels(), self.layer_images, 0)),
            Reference::Recording(recording) => self.layers_on(&recording.sampled),
        }
    }

    /// Compares the layers by name, summed over these images in their order; of a recording, all that have layers.
    pub(crate) fn layers_on(&self, indices: &[usize]) -> Result<Layers, Error> {
        let bar = progress::bar(indices.len(), "layers");
        let start = || {
            let float = match self.reference {
                Reference::Network(float) => Some(float.runner()),
                Reference::Recording(_) => None,
            };
            (self.network.runner(), float)
        };
        let one = |(runner, float): &mut (Runner<'_, '_>, Option<Runner<'_, '_>>),
                   (sample, &index): (usize, &usize)| {
            let pixels = self.images.prepare(index, &self.network.preprocess, self.network.input())?;
            let distances = self.distances(runner, float.as_mut(), &pixels, sample)?;
            bar.inc(1);
            Ok(distances)
        };
        let seen: Vec<Result<Vec<Distance>, Error>> = indices.par_iter().enumerate().map_init(start, one).collect();
        bar.finish_and_clear();
        let mut sums: Vec<Distance> = Vec::new();
        for distances in seen {
            let distances = distances?;
            if sums.is_empty() {
                sums = distances;
                continue;
            }
            for ((_, sum), (_, distance)) in sums.iter_mut().zip(distances) {
                if let (Some(sum), Some(distance)) = (sum, distance) {
                    sum.merge(&distance);
                }
            }
        }
        let mut layers = Layers { images: indices.len(), ..Layers::default() };
        for (name, sqnr) in sums {
            match sqnr {
                Some(sqnr) => layers.compared.push(LayerSqnr { name, sqnr_db: sqnr.db() }),
                None => layers.missing.push(name),
            }
        }
        Ok(layers)
    }

    /// All layers of the int8 network on one image, in running order. `sample` is the image's number in a recording.
    fn distances(
        &self,
        runner: &mut Runner<'_, '_>,
        float: Option<&mut Runner<'_, '_>>,
        pixels: &[u8],
        sample: usize,
    ) -> Result<Vec<Distance>, Error> {
        let mut theirs = HashMap::new();
        if let Some(float) = float {
            float.observe(pixels, |name, shape, values| {
                theirs.insert(name.to_owned(), (extent(shape), values.to_vec()));
            })?;
        }
        let mut distances = Vec::new();
        let mut clash = None;
        runner.observe(pixels, |name, shape, ours| {
            let reference = match self.reference {
                Reference::Network(_) => theirs.remove(name),
                Reference::Recording(recording) => recording.layer(name, sample),
            };
            let sqnr = reference.map(|(theirs, values)| {
                let mut sqnr = Sqnr::default();
                // Also guards `observe`, which takes tensors of one length only.
                if theirs == extent(shape) && values.len() == ours.len() {
                    sqnr.observe(&values, ours);
                } else {
                    clash.get_or_insert_with(|| (name.to_owned(), extent(shape), theirs));
                }
                sqnr
            });
            distances.push((name.to_owned(), sqnr));
        })?;
        match clash {
            None => Ok(distances),
            Some((name, ours, theirs)) => Err(Error::Usage(format!(
                "the reference is another network: layer {name} is {ours:?} (height, width, channels) in the model and \
                 {theirs:?} in the reference"
            ))),
        }
    }
}

fn extent(shape: Shape) -> [usize; 3] {
    [shape.height, shape.width, shape.channels].map(|side| side as usize)
}
