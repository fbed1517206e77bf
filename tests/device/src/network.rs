//! A whole file, run naively: every tensor has memory of its own, and the packed weights are read by the formula of
//! FORMAT.md.

use cardinal_format::{File, Op, Residual, Shape, TensorId, Window};

use crate::binary32::{Codes, Exact, logit};
use crate::naive::{self, Conv, Shortcut};

/// What a network computes.
#[derive(Debug)]
pub struct Outputs {
    /// The codes that each op wrote; none for the classifier.
    pub codes: Vec<Option<Vec<i32>>>,
    /// One per class.
    pub logits: Vec<Exact>,
}

/// `[out][in per group][kernel height][kernel width]` from `[N/16][K/4][16][4]`.
pub fn unpack_weights(packed: &[u8], in_per_group: usize, channels_out: usize, kernel: [u8; 2]) -> Vec<i8> {
    let [rows, columns] = kernel.map(usize::from);
    let taps = in_per_group.is_multiple_of(4);
    let run_len = if taps { in_per_group } else { columns * in_per_group };
    let runs = if taps { rows * columns } else { rows };
    let quads = run_len.div_ceil(4);
    let weight = |i: usize| {
        let (n, c, ky, kx) =
            (i / (columns * rows * in_per_group), i / (columns * rows) % in_per_group, i / columns % rows, i % columns);
        let (run, k) = if taps { (ky * columns + kx, c) } else { (ky, kx * in_per_group + c) };
        let quad = (n / 16) * runs * quads + run * quads + k / 4;
        packed[(quad * 16 + n % 16) * 4 + k % 4] as i8
    };
    (0..channels_out * in_per_group * rows * columns).map(weight).collect()
}

/// Bias and multiplier of each output channel, from blocks of 16 × i32 and 16 × f32.
pub fn unpack_channels(packed: &[u8], channels_out: usize) -> (Vec<i32>, Vec<f32>) {
    let word = |n: usize, half: usize| {
        let at = n / 16 * 128 + half * 64 + n % 16 * 4;
        u32::from_le_bytes(packed[at..at + 4].try_into().expect("four bytes"))
    };
    (0..channels_out).map(|n| (word(n, 0) as i32, f32::from_bits(word(n, 1)))).unzip()
}

/// Runs `file` on `pixels`.
pub fn run(file: &File<'_>, pixels: &[u8]) -> Outputs {
    let tensor = |id: TensorId| file.tensor(id).expect("a checked reference");
    let mut memory = vec![Vec::new(); file.tensor_count()];
    memory[0] = pixels.iter().map(|&p| i32::from(p) - 128).collect();
    let mut outputs = Outputs { codes: Vec::new(), logits: Vec::new() };
    for (_, op) in file.ops() {
        let (input, codes) = (tensor(op.input()), &memory[usize::from(op.input().0)]);
        let written = match op {
            Op::Conv(op) => {
                let output = tensor(op.output);
                let (groups, channels_out) = (op.groups.get() as usize, output.shape.channels as usize);
                let (bias, multiplier) = unpack_channels(op.channels, channels_out);
                let in_per_group = input.shape.channels as usize / groups;
                let conv = Conv {
                    input: input.shape,
                    channels_out,
                    window: op.window,
                    groups,
                    weights: unpack_weights(op.weights, in_per_group, channels_out, op.window.kernel),
                    bias,
                    multiplier,
                    pad_codes: op.pad_codes,
                };
                let projection = match op.residual {
                    Some(Residual::Projection(op)) => {
                        let (bias, multiplier) = unpack_channels(op.channels, channels_out);
                        let (input, window) = (tensor(op.input).shape, Window { stride: op.stride, ..Window::POINT });
                        let weights = unpack_weights(op.weights, input.channels as usize, channels_out, [1, 1]);
                        let pad_codes = [0; 4];
                        Some(Conv { input, channels_out, window, groups: 1, weights, bias, multiplier, pad_codes })
                    }
                    _ => None,
                };
                let codes_of = |id: TensorId| &memory[usize::from(id.0)][..];
                let shortcut = match (op.residual, &projection) {
                    (Some(Residual::Identity { tensor: id, multiplier }), _) => {
                        let zero_point = tensor(id).qparams.zero_point;
                        Some(Shortcut::Identity { codes: codes_of(id), zero_point, multiplier })
                    }
                    (Some(Residual::Projection(op)), Some(conv)) => {
                        Some(Shortcut::Projection { conv, codes: codes_of(op.input) })
                    }
                    _ => None,
                };
                let bounds = Codes { zero_point: output.qparams.zero_point, q_min: op.q_min, q_max: op.q_max };
                conv.run(codes, bounds, shortcut).into_iter().map(i32::from).collect()
            }
            Op::MaxPool(op) => naive::max_pool(codes, input.shape, op.window),
            Op::GlobalAvgPool(_) => {
                let means = naive::global_avg_pool(codes, input.shape, input.qparams.zero_point);
                means.into_iter().map(i32::from).collect()
            }
            Op::Linear(op) => {
                let (bias, multiplier) = unpack_channels(op.channels, file.classes());
                let conv = Conv {
                    input: Shape { height: 1, width: 1, channels: codes.len() as u32 },
                    channels_out: file.classes(),
                    window: Window::POINT,
                    groups: 1,
                    weights: unpack_weights(op.weights, codes.len(), file.classes(), [1, 1]),
                    bias,
                    multiplier,
                    pad_codes: [0; 4],
                };
                let accumulators = conv.accumulators(codes).into_iter();
                outputs.logits = accumulators.zip(&conv.multiplier).map(|(acc, &m)| logit(acc, m)).collect();
                outputs.codes.push(None);
                continue;
            }
        };
        if let Some(id) = op.output() {
            memory[usize::from(id.0)] = written.clone();
        }
        outputs.codes.push(Some(written));
    }
    outputs
}
