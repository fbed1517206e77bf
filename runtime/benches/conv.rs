//! The convolutions of ResNeXt-50 (32×4d, 224²), one of each kind and stage, in multiply-adds per second.

use std::hint::black_box;

use cardinal_runtime::format::quant::Requantize;
use cardinal_runtime::format::weights::WeightLayout;
use cardinal_runtime::format::{Shape, Window};
use cardinal_runtime::kernels::{self, ConvArgs, ResidualArgs};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Name, input side, channels in, channels out, kernel, stride, groups.
const SHAPES: [(&str, u32, u32, u32, u8, u8, u32); 8] = [
    ("stem 7x7 s2", 224, 3, 64, 7, 2, 1),
    ("1x1 56² 64-128", 56, 64, 128, 1, 1, 1),
    ("1x1 14² 512-1024", 14, 512, 1024, 1, 1, 1),
    ("1x1 s2 56² 256-512", 56, 256, 512, 1, 2, 1),
    ("3x3 56² 128, 4 a group", 56, 128, 128, 3, 1, 32),
    ("3x3 28² 256, 8 a group", 28, 256, 256, 3, 1, 32),
    ("3x3 14² 512, 16 a group", 14, 512, 512, 3, 1, 32),
    ("3x3 7² 1024, 32 a group", 7, 1024, 1024, 3, 1, 32),
];

fn convolutions(c: &mut Criterion) {
    for kernels in kernels::available() {
        let mut group = c.benchmark_group(kernels.name);
        group.sample_size(10);
        for (name, side, cin, cout, kernel, stride, groups) in SHAPES {
            let pad = kernel / 2;
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [pad; 4] };
            let [height, width] = window.output(side, side).expect("the window fits");
            let layout = WeightLayout::new(cin, cout, [kernel; 2], groups).expect("a valid shape");
            let input_shape = Shape { height: side, width: side, channels: cin };
            let output_shape = Shape { height, width, channels: cout };
            let input: Vec<i8> = (0..input_shape.byte_len()).map(|i| (i * 31 % 251) as i8).collect();
            let weights: Vec<u8> = (0..layout.byte_len()).map(|i| (i * 17 % 127) as u8).collect();
            let channels = vec![0; layout.channel_bytes()];
            let mut output = vec![0; output_shape.byte_len()];
            let args = ConvArgs {
                input: &input,
                input_shape,
                output_shape,
                pixels: cin == 3,
                window,
                pad_codes: [-128; 4],
                layout,
                weights: &weights,
                channels: &channels,
                requantize: Requantize::new(-128, -128, 127),
                residual: ResidualArgs::None,
            };
            let per_output = u64::from(kernel) * u64::from(kernel) * u64::from(cin / groups);
            group.throughput(Throughput::Elements(output.len() as u64 * per_output));
            group.bench_function(name, |b| b.iter(|| (kernels.conv)(black_box(&args), black_box(&mut output))));
        }
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
