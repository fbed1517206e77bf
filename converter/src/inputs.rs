//! What the inputs of every layer are like, for rounding its weights together.

use cardinal_calib::{Inputs, Moments};
use cardinal_format::{Shape, Window};
use rayon::prelude::*;

use crate::calibrate::Drawn;
use crate::graph::{Graph, Op, Source};
use crate::{Error, progress};

/// Positions of each image that are looked at.
const POSITIONS: usize = 64;
/// Images in memory at a time.
const BATCH: usize = 8;

/// One entry per layer, with one of each group; `None` for layers that read the image, or have no weights.
pub type LayerInputs = Vec<Option<Vec<Inputs>>>;

/// Runs the float graph over these images. The result does not depend on the number of threads.
///
/// # Errors
/// An image that cannot be read, or what tract says.
pub fn gather(graph: &Graph, drawn: &Drawn<'_>) -> Result<LayerInputs, Error> {
    let shapes = graph.sized()?;
    let all: Vec<usize> = (0..graph.layers.len().saturating_sub(1)).collect();
    let model = graph.float_model_observing(&all)?;
    let readers: Vec<Vec<(usize, Reader)>> = all
        .iter()
        .map(|&i| {
            let reads = |(l, layer): (usize, &crate::graph::Layer)| {
                (layer.input == Source::Layer(i)).then(|| Some((l, Reader::of(&layer.op, shapes[i])?))).flatten()
            };
            graph.layers.iter().enumerate().filter_map(reads).collect()
        })
        .collect();
    let mut moments: Vec<Option<Vec<Moments>>> = vec![None; graph.layers.len()];
    for (l, reader) in readers.iter().flatten() {
        moments[*l] = Some(vec![Moments::new(reader.len()); reader.groups]);
    }
    let bar = progress::bar(drawn.len(), "looking at inputs");
    let places: Vec<usize> = (0..drawn.len()).collect();
    for batch in places.chunks(BATCH) {
        let one = |&place: &usize| -> Result<Vec<Vec<f32>>, Error> {
            let (pixels, index) = (drawn.pixels(place)?, drawn.indices()[place]);
            let mut inputs = vec![Vec::new(); graph.layers.len()];
            model.run_observed(&drawn.normalise(&pixels), |i, values| {
                for (l, reader) in &readers[i] {
                    inputs[*l] = reader.inputs(values, index);
                }
            })?;
            bar.inc(1);
            Ok(inputs)
        };
        let seen: Vec<Vec<Vec<f32>>> = batch.par_iter().map(one).collect::<Result<_, _>>()?;
        moments.par_iter_mut().enumerate().for_each(|(l, groups)| {
            let Some(groups) = groups else { return };
            for image in &seen {
                let per_group = image[l].len() / groups.len();
                groups.iter_mut().zip(image[l].chunks_exact(per_group)).for_each(|(to, from)| to.observe(from));
            }
        });
    }
    bar.finish_and_clear();
    let finish = |groups: Vec<Moments>| groups.into_par_iter().map(Inputs::new).collect();
    Ok(moments.into_par_iter().map(|groups| groups.map(finish)).collect())
}

/// How a layer reads its input.
struct Reader {
    window: Window,
    groups: usize,
    in_per_group: usize,
    input: Shape,
    output: [usize; 2],
}

impl Reader {
    fn of(op: &Op, input: Shape) -> Option<Self> {
        let (window, groups) = match op {
            Op::Conv(conv) => (conv.window, conv.groups as usize),
            Op::Linear(_) => (Window::POINT, 1),
            Op::MaxPool(_) | Op::GlobalAvgPool => return None,
        };
        let output = window.output(input.height, input.width)?.map(|side| side as usize);
        Some(Reader { window, groups, in_per_group: input.channels as usize / groups, input, output })
    }

    /// Numbers of one group's input, in the weights' order.
    fn len(&self) -> usize {
        self.in_per_group * self.window.kernel.iter().map(|&side| usize::from(side)).product::<usize>()
    }

    /// At most [`POSITIONS`] inputs of each group, one group after the other; which, depends on `seed` alone.
    fn inputs(&self, values: &[f32], seed: usize) -> Vec<f32> {
        let [_, columns] = self.output;
        let positions = self.output[0] * columns;
        let count = positions.min(POSITIONS);
        let mut inputs = Vec::with_capacity(self.groups * count * self.len());
        for group in 0..self.groups {
            for j in 0..count {
                let position = (j * positions / count + seed.wrapping_mul(31)) % positions;
                self.input_at(values, group, [position / columns, position % columns], &mut inputs);
            }
        }
        inputs
    }

    fn input_at(&self, values: &[f32], group: usize, [y, x]: [usize; 2], to: &mut Vec<f32>) {
        let [height, width] = [self.input.height, self.input.width].map(|side| side as usize);
        let Window { kernel, stride, padding } = self.window;
        for c in 0..self.in_per_group {
            let plane = &values[(group * self.in_per_group + c) * height * width..][..height * width];
            for ky in 0..usize::from(kernel[0]) {
                for kx in 0..usize::from(kernel[1]) {
                    let row = (y * usize::from(stride[0]) + ky).wrapping_sub(usize::from(padding[0]));
                    let column = (x * usize::from(stride[1]) + kx).wrapping_sub(usize::from(padding[1]));
                    let inside = row < height && column < width;
                    to.push(if inside { plane[row * width + column] } else { 0.0 });
                }
            }
        }
    }
}
