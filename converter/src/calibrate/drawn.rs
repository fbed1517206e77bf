//! The images that a network is calibrated with.

use std::borrow::Cow;

use cardinal_format::Preprocess;
use rayon::prelude::*;

use crate::Error;
use crate::graph::Graph;
use crate::images::{Dataset, normalise_chw};

/// Images drawn from a data set, with what makes pixels of them.
#[derive(Clone)]
pub struct Drawn<'a> {
    images: &'a Dataset,
    spec: &'a Preprocess,
    input: [u32; 2],
    /// Numbers in the data set.
    indices: Vec<usize>,
    /// Their pixels, if they are kept.
    pixels: Option<Vec<Vec<u8>>>,
}

impl<'a> Drawn<'a> {
    /// These images, by number, for this network.
    pub fn new(images: &'a Dataset, graph: &Graph, spec: &'a Preprocess, indices: Vec<usize>) -> Self {
        Drawn { images, spec, input: [graph.image.height, graph.image.width], indices, pixels: None }
    }

    /// Numbers in the data set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Those at these places of [`Drawn::indices`].
    pub fn at(&self, places: &[usize]) -> Self {
        Drawn { indices: places.iter().map(|&i| self.indices[i]).collect(), pixels: None, ..self.clone() }
    }

    /// The same images, read once and for all: height × width × channels bytes each stay in memory.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn kept(mut self) -> Result<Self, Error> {
        let read: Result<Vec<Vec<u8>>, Error> =
            (0..self.len()).into_par_iter().map(|i| Ok(self.pixels(i)?.into_owned())).collect();
        self.pixels = Some(read?);
        Ok(self)
    }

    /// Pixels of image `i` as the network reads them, height × width × channels.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn pixels(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        match &self.pixels {
            Some(pixels) => Ok(Cow::Borrowed(&pixels[i])),
            None => Ok(Cow::Owned(self.images.prepare(self.indices[i], self.spec, self.input)?)),
        }
    }

    /// The same as the float network reads them.
    pub fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        normalise_chw(pixels, self.spec, self.input)
    }
}
