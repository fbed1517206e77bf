//! A small model with every kind of op, its weights random: a stem, a pool, and three bottleneck blocks, one with a
//! shortcut that is a tensor of its own, one that is added in place, and one with a projection. Three slots of the arena
//! serve in turn:
//!
//! | op | name | reads | writes | slot |
//! |---|---|---|---|---|
//! | | | | 0, the image | A |
//! | 0 | stem, 3×3 stride 2 | 0 | 1 | B |
//! | 1 | pool, 3×3 stride 2 | 1 | 2 | C |
//! | 2 | shortcut, 1×1 | 2 | 3 | A |
//! | 3 | reduce, 1×1 | 2 | 4 | B |
//! | 4 | grouped, 3×3 | 4 | 5 | C |
//! | 5 | expand, 1×1 | 5 + 3 | 6 | B |
//! | 6 | reduce, 1×1 | 6 | 7 | A |
//! | 7 | grouped, 3×3 | 7 | 8 | C |
//! | 8 | in place, 1×1 | 8 + 6 | 9 | B |
//! | 9 | reduce, 1×1 | 9 | 10 | A |
//! | 10 | grouped, 3×3 stride 2 | 10 | 11 | C |
//! | 11 | project, 1×1 | 11 + 1×1 stride 2 of 9 | 12 | A |
//! | 12 | mean | 12 | 13 | B |
//! | 13 | classifier | 13 | logits | A |

use std::num::NonZeroU32;

use cardinal_format::quant::{Mean, QParams};
use cardinal_format::weights::WeightLayout;
use cardinal_format::write::{Contents, pack_channels, pack_weights, to_bytes};
use cardinal_format::{
    CodeType, Colour, Conv, Filter, GlobalAvgPool, Linear, MaxPool, Op, Preprocess, Projection, Residual, Resize,
    Shape, Tensor, TensorId, Window,
};

use crate::naive::output_size;
use crate::random::Random;

/// Extents of the model.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Height and width of the image.
    pub image: [u32; 2],
    /// Channels of the image.
    pub colour: Colour,
    /// Groups of the grouped convolution.
    pub groups: u32,
    /// Channels inside the blocks: a multiple of 4 · `groups`.
    pub body: u32,
    /// Channels between the blocks.
    pub expanded: u32,
    /// Channels behind the projection.
    pub projected: u32,
    /// Classes.
    pub classes: u32,
}

/// For tests that need one file.
pub const SMALL: Size =
    Size { image: [9, 8], colour: Colour::Rgb, groups: 2, body: 8, expanded: 20, projected: 18, classes: 5 };

/// The tensor of int16 codes.
const MEAN: usize = 13;

/// What a convolution adds.
#[derive(Clone, Copy)]
enum Added {
    Nothing,
    Identity(u16),
    Projection(u16),
}

/// The window of 3×3 convolutions and pools.
fn window(stride: u8) -> Window {
    Window { kernel: [3, 3], stride: [stride; 2], padding: [1; 4] }
}

/// Weights and channel parameters.
struct Blobs {
    weights: Vec<u8>,
    channels: Vec<u8>,
}

impl Blobs {
    fn random(random: &mut Random, channels_in: u32, channels_out: u32, kernel: [u8; 2], groups: u32) -> Self {
        let terms = (channels_in / groups) as usize * usize::from(kernel[0]) * usize::from(kernel[1]);
        let layout = WeightLayout::new(channels_in, channels_out, kernel, groups).expect("a valid size");
        let weights: Vec<i8> = (0..channels_out as usize * terms).map(|_| random.weight()).collect();
        let bias: Vec<i32> = (0..channels_out).map(|_| i32::from(random.bits() as i16)).collect();
        let multiplier: Vec<f32> = (0..channels_out).map(|_| random.multiplier(terms)).collect();
        Blobs { weights: pack_weights(&layout, kernel, &weights), channels: pack_channels(&bias, &multiplier) }
    }
}

/// Gives `each` the contents of a random model.
pub fn random<R>(size: Size, random: &mut Random, each: impl FnOnce(&Contents<'_>) -> R) -> R {
    let Size { image, colour, groups, body, expanded, projected, classes } = size;
    let shape = |[height, width]: [u32; 2], channels| Shape { height, width, channels };
    let strided = |shape| output_size(shape, window(2)).map(|n| n as u32);
    let image = shape(image, colour.channels());
    let stem = shape(strided(image), body);
    let [height, width] = strided(stem);
    let inner = shape([height, width], body);
    let outer = shape([height, width], expanded);
    let half = strided(inner);
    let [half_inner, half_outer] = [body, projected].map(|channels| shape(half, channels));
    let mean = shape([1, 1], projected);

    // Tensor 2 is the pool's output and keeps the codes of tensor 1; slots are A, B and C.
    let shapes =
        [image, stem, inner, outer, inner, inner, outer, inner, inner, outer, inner, half_inner, half_outer, mean];
    let slots = [0, 1, 2, 0, 1, 2, 1, 0, 2, 1, 0, 2, 0, 1];
    let logits_slot = 0;
    let mut slot_len = [4 * classes, 0, 0];
    let code_type = |number: usize| if number == MEAN { CodeType::I16 } else { CodeType::I8 };
    for (number, (slot, shape)) in slots.into_iter().zip(shapes).enumerate() {
        slot_len[slot] = slot_len[slot].max((shape.volume() * code_type(number).byte_len()) as u32);
    }
    let [a, b, c] = slot_len.map(|len| len.next_multiple_of(64));
    let offset = [0, a, a + b];
    let mut tensors: Vec<Tensor> = Vec::new();
    for (number, (slot, shape)) in slots.into_iter().zip(shapes).enumerate() {
        let qparams = match number {
            0 => QParams::IMAGE,
            2 => tensors[1].qparams,
            MEAN => Mean::qparams(tensors[12].qparams),
            _ => QParams { scale: random.fraction() / 64.0, zero_point: random.code() },
        };
        tensors.push(Tensor { offset: offset[slot], shape, qparams, code_type: code_type(number) });
    }

    // Input, output, shortcut, window, groups.
    let convs = [
        (0, 1, Added::Nothing, window(2), 1),
        (2, 3, Added::Nothing, Window::POINT, 1),
        (2, 4, Added::Nothing, Window::POINT, 1),
        (4, 5, Added::Nothing, window(1), groups),
        (5, 6, Added::Identity(3), Window::POINT, 1),
        (6, 7, Added::Nothing, Window::POINT, 1),
        (7, 8, Added::Nothing, window(1), groups),
        (8, 9, Added::Identity(6), Window::POINT, 1),
        (9, 10, Added::Nothing, Window::POINT, 1),
        (10, 11, Added::Nothing, window(2), groups),
        (11, 12, Added::Projection(9), Window::POINT, 1),
    ];
    let blobs = convs.map(|(input, output, _, window, groups): (usize, usize, _, Window, u32)| {
        Blobs::random(random, shapes[input].channels, shapes[output].channels, window.kernel, groups)
    });
    let projection = Blobs::random(random, expanded, projected, [1, 1], 1);
    let classifier = Blobs::random(random, projected, classes, [1, 1], 1);
    let mut conv = |number: usize| {
        let (input, output, added, window, groups) = convs[number];
        let residual = match added {
            Added::Nothing => None,
            Added::Identity(id) => {
                Some(Residual::Identity { tensor: TensorId(id), multiplier: random.fraction() / 2.0 })
            }
            Added::Projection(id) => {
                let Blobs { weights, channels } = &projection;
                Some(Residual::Projection(Projection { input: TensorId(id), stride: [2, 2], weights, channels }))
            }
        };
        let QParams { zero_point, .. } = tensors[output].qparams;
        Op::Conv(Conv {
            input: TensorId(input as u16),
            output: TensorId(output as u16),
            residual,
            window,
            groups: NonZeroU32::new(groups).expect("at least one"),
            cardinality: groups * 2,
            q_min: random.pick(&[-128, zero_point]),
            q_max: random.pick(&[127, zero_point.saturating_add(100)]),
            pad_codes: [(); 4].map(|()| random.code()),
            weights: &blobs[number].weights,
            channels: &blobs[number].channels,
        })
    };
    let ops = [
        ("stem", conv(0)),
        ("pool", Op::MaxPool(MaxPool { input: TensorId(1), output: TensorId(2), window: window(2) })),
        ("shortcut", conv(1)),
        ("reduce", conv(2)),
        ("grouped", conv(3)),
        ("expand", conv(4)),
        ("reduce", conv(5)),
        ("grouped", conv(6)),
        ("in place", conv(7)),
        ("reduce", conv(8)),
        ("grouped", conv(9)),
        ("project", conv(10)),
        ("mean", { Op::GlobalAvgPool(GlobalAvgPool { input: TensorId(12), output: TensorId(13) }) }),
        ("classifier", {
            let Blobs { weights, channels } = &classifier;
            Op::Linear(Linear { input: TensorId(13), weights, channels })
        }),
    ];
    let floats = |random: &mut Random| {
        let mut values = [0.0; 4];
        values[..image.channels as usize].fill_with(|| 100.0 * random.fraction());
        values
    };
    let preprocess = Preprocess {
        colour,
        resize: random.pick(&[Resize::Exact, Resize::ShortEdge(256), Resize::Square(256)]),
        filter: random.pick(&[Filter::Bilinear, Filter::Bicubic]),
        mean: floats(random),
        std: floats(random),
    };
    let labels: Vec<String> = (0..classes).map(|n| format!("Klasse {n} – {:x}", random.bits())).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    each(&Contents {
        arena_len: a + b + c,
        logits_offset: offset[logits_slot],
        classes,
        tensors: &tensors,
        ops: &ops,
        preprocess,
        labels: random.pick(&[&labels[..], &[]]),
        provenance: &format!("{{\"seed\": {}}}", random.bits()),
    })
}

/// The file of a random model.
pub fn random_file(size: Size, seed: u64) -> Vec<u8> {
    random(size, &mut Random::new(seed), |contents| to_bytes(contents).expect("a valid model"))
}
