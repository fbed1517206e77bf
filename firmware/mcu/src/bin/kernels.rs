//! Compares every backend of this core with the portable one, bit for bit, on shapes drawn at random: convolutions with all
//! kinds of groups, windows, paddings and shortcuts, pools and classifiers.

#![no_std]
#![no_main]

use cardinal_mcu::random::Random;
use cardinal_mcu::{Exit, board};
use cardinal_runtime::format::quant::Requantize;
use cardinal_runtime::format::weights::{BLOCK, WeightLayout};
use cardinal_runtime::format::{Shape, Window};
use cardinal_runtime::kernels::{
    self, ConvArgs, GlobalAvgPoolArgs, Kernels, LinearArgs, MaxPoolArgs, PORTABLE, ProjectionArgs, ResidualArgs,
};
use cortex_m_rt::entry;

const CONVOLUTIONS: u32 = 300;
const OTHERS: u32 = 40;

#[entry]
fn main() -> ! {
    let memory = board::memory();
    let random = &mut Random::new(0x2545_F491);
    for &backend in kernels::available().iter().filter(|backend| backend.name != PORTABLE.name) {
        for number in 0..CONVOLUTIONS {
            if let Err(what) = convolution(random, backend, memory) {
                defmt::error!("{=str}: convolution {=u32}: {}", backend.name, number, what);
                board::exit(Exit::Wrong)
            }
        }
        for number in 0..OTHERS {
            if !(max_pool(random, backend, memory) && mean(random, backend, memory) && linear(random, backend, memory))
            {
                defmt::error!("{=str}: a pool or classifier, number {=u32}", backend.name, number);
                board::exit(Exit::Wrong)
            }
        }
        defmt::info!(
            "{=str}: {=u32} convolutions and {=u32} others equal the portable kernels'",
            backend.name,
            CONVOLUTIONS,
            3 * OTHERS
        );
    }
    board::exit(Exit::Done)
}

/// What differs.
#[derive(Clone, Copy, defmt::Format)]
struct Difference {
    channels: [u32; 3],
    kernel: [u8; 2],
    stride: [u8; 2],
    padding: [u8; 4],
    input: [u32; 2],
    output: [u32; 2],
    shortcut: u32,
    first: usize,
    at: usize,
    portable: u8,
    other: u8,
}

/// Takes slices off a memory, each at a multiple of 64.
struct Cutter<'a>(&'a mut [u8]);

impl<'a> Cutter<'a> {
    fn take(&mut self, len: usize) -> &'a mut [u8] {
        let rest = core::mem::take(&mut self.0);
        let gap = rest.as_ptr().align_offset(64).min(rest.len());
        let (_, rest) = rest.split_at_mut(gap);
        let (slice, rest) = rest.split_at_mut(len);
        self.0 = rest;
        slice
    }

    fn random(&mut self, random: &mut Random, len: usize) -> &'a mut [u8] {
        let slice = self.take(len);
        random.fill(slice);
        slice
    }

    /// Weights in −127…127.
    fn weights(&mut self, random: &mut Random, layout: &WeightLayout) -> &'a mut [u8] {
        let weights = self.random(random, layout.byte_len());
        weights.iter_mut().filter(|byte| **byte == 0x80).for_each(|byte| *byte = 0);
        // Beyond the runs' ends a file has zeros.
        let whole = layout.run_quads() * 4;
        for n in 0..layout.blocks() * BLOCK {
            for run in 0..layout.runs() {
                for k in layout.run_len()..whole {
                    weights[layout.index(n, run, k)] = 0;
                }
            }
        }
        weights
    }

    /// Biases and multipliers, so that codes spread over and beyond int8.
    fn channels(&mut self, random: &mut Random, layout: &WeightLayout) -> &'a mut [u8] {
        let channels = self.take(layout.channel_bytes());
        let spread = 1.0 / (layout.quads() * 4) as f32;
        for block in channels.chunks_exact_mut(BLOCK * 8) {
            let (bias, multiplier) = block.split_at_mut(BLOCK * 4);
            for bias in bias.chunks_exact_mut(4) {
                bias.copy_from_slice(&(random.below(40_001) as i32 - 20_000).to_le_bytes());
            }
            for multiplier in multiplier.chunks_exact_mut(4) {
                // Powers of two make ties, which any other rounding than to even gives away.
                let factor = match random.below(2) {
                    0 => random.below(1 << 16) as f32 * spread * 1e-6,
                    _ => random.choose(&[0.25, 0.125, 0.0625, 0.007_812_5, 0.001_953_125, 0.000_488_281_25]),
                };
                multiplier.copy_from_slice(&factor.to_le_bytes());
            }
        }
        channels
    }
}

fn convolution(random: &mut Random, backend: Kernels, memory: &mut [u8]) -> Result<(), Difference> {
    let mut cut = Cutter(memory);
    let side = random.choose(&[1u8, 1, 3, 3, 3, 5, 7]);
    let kernel = if random.below(8) == 0 { [random.choose(&[1, 2, 3]), random.choose(&[1, 2, 5])] } else { [side; 2] };
    let stride = [random.choose(&[1u8, 1, 2, 3]), random.choose(&[1u8, 1, 2, 3])];
    let padding = [kernel[0], kernel[1], kernel[0], kernel[1]].map(|side| random.below(u32::from(side)) as u8);
    let [groups, per_group, out_per_group] = match random.below(3) {
        0 => {
            let width = random.choose(&[4u32, 4, 8, 8, 12, 16, 32, 64]);
            let groups = random.choose(&[2u32, 3, 8, 16]);
            [groups, width, if random.below(4) == 0 { random.choose(&[1, 3, 4, 10, 20]) } else { width }]
        }
        1 if side == 1 => {
            [1, random.choose(&[4u32, 12, 32, 64, 100, 580, 1156]), random.choose(&[2u32, 16, 31, 32, 64, 72])]
        }
        _ => [1, random.choose(&[1u32, 2, 3, 4, 5, 8, 24, 72]), random.choose(&[1u32, 5, 16, 24, 32])],
    };
    let (channels_in, channels_out) = (groups * per_group, groups * out_per_group);
    let window = Window { kernel, stride, padding };
    let (shape, output_shape) = loop {
        let [height, width] = [random.below(10) + 1, random.below(14) + 1];
        if let Some([out_height, out_width]) = window.output(height, width) {
            let shape = Shape { height, width, channels: channels_in };
            break (shape, Shape { height: out_height, width: out_width, channels: channels_out });
        }
    };
    let Some(layout) = WeightLayout::new(channels_in, channels_out, kernel, groups) else { return Ok(()) };
    let positions = (output_shape.height * output_shape.width) as usize;
    let first = if random.below(4) == 0 { random.below(positions as u32) as usize } else { 0 };
    let len = (positions - first) * channels_out as usize;
    let input = cut.random(random, shape.volume());
    let weights = cut.weights(random, &layout);
    let channels = cut.channels(random, &layout);
    // Some files lie badly in memory.
    let weights: &[u8] = if random.below(16) == 0 {
        let moved = cut.take(weights.len() + 1);
        moved[1..].copy_from_slice(weights);
        &moved[1..]
    } else {
        weights
    };
    let (zero_point, multiplier) = (random.bits() as i8, random.below(1000) as f32 / 700.0);
    let shortcut = random.below(4);
    let residual = match shortcut {
        1 => ResidualArgs::Separate { codes: cut.random(random, output_shape.volume()), zero_point, multiplier },
        2 => ResidualArgs::InPlace { zero_point, multiplier },
        3 => {
            let from = random.choose(&[4u32, 16, 20, 32, 64, 600]);
            let stride = [random.choose(&[1u8, 2]), random.choose(&[1u8, 2])];
            let side = |output: u32, stride: u8| (output - 1) * u32::from(stride) + 1;
            let (height, width) = (side(output_shape.height, stride[0]), side(output_shape.width, stride[1]));
            let shape = Shape { height, width, channels: from };
            let Some(layout) = WeightLayout::new(from, channels_out, [1, 1], 1) else { return Ok(()) };
            ResidualArgs::Projection(ProjectionArgs {
                input: cut.random(random, shape.volume()),
                input_shape: shape,
                stride,
                layout,
                weights: cut.weights(random, &layout),
                channels: cut.channels(random, &layout),
            })
        }
        _ => ResidualArgs::None,
    };
    let (q_min, q_max) = if random.below(4) == 0 { (-100, 90) } else { (-128, 127) };
    let args = ConvArgs {
        input,
        input_shape: shape,
        output_shape,
        first,
        pixels: groups == 1 && random.below(3) == 0,
        window,
        pad_codes: [(); 4].map(|()| random.bits() as i8),
        layout,
        weights,
        channels,
        requantize: Requantize::new(random.choose(&[-128, -128, 3, 127]), q_min, q_max),
        residual,
    };
    let portable = cut.random(random, len);
    let other = cut.take(len);
    other.copy_from_slice(portable);
    (PORTABLE.conv)(&args, portable);
    (backend.conv)(&args, other);
    match portable.iter().zip(&*other).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(Difference {
            channels: [groups, per_group, out_per_group],
            kernel,
            stride,
            padding,
            input: [shape.height, shape.width],
            output: [output_shape.height, output_shape.width],
            shortcut,
            first,
            at,
            portable: portable[at],
            other: other[at],
        }),
    }
}

fn max_pool(random: &mut Random, backend: Kernels, memory: &mut [u8]) -> bool {
    let mut cut = Cutter(memory);
    let window = Window { kernel: [3, 3], stride: [2, 2], padding: random.choose(&[[1; 4], [0; 4], [0, 0, 1, 1]]) };
    let (height, width) = (random.below(12) + 3, random.below(12) + 3);
    let input_shape = Shape { height, width, channels: random.below(70) + 1 };
    let Some([height, width]) = window.output(height, width) else { return true };
    let output_shape = Shape { height, width, channels: input_shape.channels };
    let args = MaxPoolArgs { input: cut.random(random, input_shape.volume()), input_shape, output_shape, window };
    let (portable, other) = (cut.take(output_shape.volume()), cut.take(output_shape.volume()));
    (PORTABLE.max_pool)(&args, portable);
    (backend.max_pool)(&args, other);
    portable == other
}

fn mean(random: &mut Random, backend: Kernels, memory: &mut [u8]) -> bool {
    let mut cut = Cutter(memory);
    let input_shape =
        Shape { height: random.below(8) + 1, width: random.below(8) + 1, channels: random.below(130) + 1 };
    let zero_point = random.bits() as i8;
    let args = GlobalAvgPoolArgs { input: cut.random(random, input_shape.volume()), input_shape, zero_point };
    let (mut portable, mut other) = ([0i16; 130], [0i16; 130]);
    let channels = input_shape.channels as usize;
    (PORTABLE.global_avg_pool)(&args, &mut portable[..channels]);
    (backend.global_avg_pool)(&args, &mut other[..channels]);
    portable == other
}

fn linear(random: &mut Random, backend: Kernels, memory: &mut [u8]) -> bool {
    let mut cut = Cutter(memory);
    let (inputs, classes) = (random.below(600) + 1, random.below(40) + 1);
    let Some(layout) = WeightLayout::new(inputs, classes, [1, 1], 1) else { return true };
    let mut input = [0i16; 600];
    input.iter_mut().for_each(|code| *code = random.below(8161) as i16 - 4080);
    let (weights, channels) = (cut.weights(random, &layout), cut.channels(random, &layout));
    let args = LinearArgs { input: &input[..inputs as usize], layout, weights, channels };
    let (mut portable, mut other) = ([0f32; 40], [0f32; 40]);
    (PORTABLE.linear)(&args, &mut portable[..classes as usize]);
    (backend.linear)(&args, &mut other[..classes as usize]);
    portable.map(f32::to_bits) == other.map(f32::to_bits)
}
