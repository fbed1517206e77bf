//! The convolutions of ResNeXt-50 (32×4d, 224²), one of each kind and stage, in multiply-adds per second.

mod im2col;
mod shapes;

use std::hint::black_box;

use cardinal_runtime::format::quant::Requantize;
use cardinal_runtime::format::weights::WeightLayout;
use cardinal_runtime::format::{Shape, Window};
use cardinal_runtime::kernels::{self, ConvArgs, ProjectionArgs, ResidualArgs};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shapes::SHAPES;

/// A convolution and what it reads.
struct Layer {
    input: Vec<u8>,
    input_shape: Shape,
    output_shape: Shape,
    window: Window,
    layout: WeightLayout,
    weights: Vec<u8>,
    channels: Vec<u8>,
    multiply_adds: u64,
}

impl Layer {
    fn new(side: u32, cin: u32, cout: u32, kernel: u8, stride: u8, groups: u32) -> Self {
        let pad = kernel / 2;
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [pad; 4] };
        let [height, width] = window.output(side, side).expect("the window fits");
        let layout = WeightLayout::new(cin, cout, [kernel; 2], groups).expect("a valid shape");
        let input_shape = Shape { height: side, width: side, channels: cin };
        let output_shape = Shape { height, width, channels: cout };
        let per_output = u64::from(kernel) * u64::from(kernel) * u64::from(cin / groups);
        Layer {
            input: (0..input_shape.volume()).map(|i| (i * 31 % 251) as u8).collect(),
            input_shape,
            output_shape,
            window,
            layout,
            weights: (0..layout.byte_len()).map(|i| (i * 17 % 127) as u8).collect(),
            channels: vec![0; layout.channel_bytes()],
            multiply_adds: output_shape.volume() as u64 * per_output,
        }
    }

    fn args<'a>(&'a self, residual: ResidualArgs<'a>) -> ConvArgs<'a> {
        ConvArgs {
            input: &self.input,
            input_shape: self.input_shape,
            output_shape: self.output_shape,
            first: 0,
            pixels: self.input_shape.channels == 3,
            window: self.window,
            pad_codes: [-128; 4],
            layout: self.layout,
            weights: &self.weights,
            channels: &self.channels,
            requantize: Requantize::new(-128, -128, 127),
            residual,
        }
    }

    fn as_projection(&self) -> ResidualArgs<'_> {
        ResidualArgs::Projection(ProjectionArgs {
            input: &self.input,
            input_shape: self.input_shape,
            stride: self.window.stride,
            layout: self.layout,
            weights: &self.weights,
            channels: &self.channels,
        })
    }
}

fn convolutions(c: &mut Criterion) {
    for kernels in kernels::available() {
        let mut group = c.benchmark_group(kernels.name);
        group.sample_size(10);
        for (name, side, cin, cout, kernel, stride, groups) in SHAPES {
            let layer = Layer::new(side, cin, cout, kernel, stride, groups);
            let args = layer.args(ResidualArgs::None);
            let mut output = vec![0; layer.output_shape.volume()];
            group.throughput(Throughput::Elements(layer.multiply_adds));
            group.bench_function(name, |b| b.iter(|| (kernels.conv)(black_box(&args), black_box(&mut output))));
        }
    }
}

/// What a grouped convolution takes as one matrix product per group, of windows that are copied first.
fn by_im2col(c: &mut Criterion) {
    let mut group = c.benchmark_group("im2col per group");
    group.sample_size(10);
    for (name, side, cin, cout, _, _, groups) in SHAPES.into_iter().filter(|shape| shape.6 > 1) {
        let (side, channels, groups) = (side as usize, cin as usize, groups as usize);
        let conv = im2col::Conv::new(side, channels, groups);
        let mut output = vec![0; side * side * channels];
        group.throughput(Throughput::Elements((output.len() * 9 * cout as usize / groups) as u64));
        group.bench_function(name, |b| b.iter(|| black_box(&conv).run(black_box(&mut output))));
    }
}

/// The ends of blocks that begin a stage: what one op with a projection takes, and what two ops would take.
fn projections(c: &mut Criterion) {
    // Sides, channels in and stride of the projection; channels in and out of the convolution.
    for (name, side, projected, stride, cin, cout) in
        [("56² 128-256", 56, 64, 1, 128, 256), ("7² 1024-2048", 14, 1024, 2, 1024, 2048)]
    {
        let shortcut = Layer::new(side, projected, cout, 1, stride, 1);
        let layer = Layer::new(shortcut.output_shape.height, cin, cout, 1, 1, 1);
        for kernels in kernels::available() {
            let mut group = c.benchmark_group(kernels.name);
            group.sample_size(10);
            group.throughput(Throughput::Elements(layer.multiply_adds + shortcut.multiply_adds));
            let mut output = vec![0; layer.output_shape.volume()];
            let [one, first] = [layer.args(shortcut.as_projection()), shortcut.args(ResidualArgs::None)];
            let second = layer.args(ResidualArgs::InPlace { zero_point: 0, multiplier: 0.5 });
            group.bench_function(format!("{name} with projection"), |b| {
                b.iter(|| (kernels.conv)(black_box(&one), black_box(&mut output)));
            });
            group.bench_function(format!("{name} behind projection"), |b| {
                b.iter(|| {
                    (kernels.conv)(black_box(&first), black_box(&mut output));
                    (kernels.conv)(black_box(&second), black_box(&mut output));
                });
            });
        }
    }
}

criterion_group!(benches, convolutions, by_im2col, projections);
criterion_main!(benches);
