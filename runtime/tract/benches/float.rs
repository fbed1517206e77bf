//! The convolutions of `cardinal-runtime`'s bench in tract's float32, to see that int8 is faster. A ReLU follows each, as in a
//! ResNeXt, and a global average pool, so that no large output is copied.

use std::hint::black_box;

use cardinal_tract::{Builder, Conv, FloatModel, InputShape, TractError};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Name, input side, channels in, channels out, kernel, stride, groups.
const SHAPES: [(&str, usize, usize, usize, usize, usize, usize); 8] = [
    ("stem 7x7 s2", 224, 3, 64, 7, 2, 1),
    ("1x1 56² 64-128", 56, 64, 128, 1, 1, 1),
    ("1x1 14² 512-1024", 14, 512, 1024, 1, 1, 1),
    ("1x1 s2 56² 256-512", 56, 256, 512, 1, 2, 1),
    ("3x3 56² 128, 4 a group", 56, 128, 128, 3, 1, 32),
    ("3x3 28² 256, 8 a group", 28, 256, 256, 3, 1, 32),
    ("3x3 14² 512, 16 a group", 14, 512, 512, 3, 1, 32),
    ("3x3 7² 1024, 32 a group", 7, 1024, 1024, 3, 1, 32),
];

fn network(shape: InputShape, conv: &Conv<'_>) -> Result<FloatModel, TractError> {
    let mut builder = Builder::new(shape);
    let input = builder.input();
    let output = builder.conv("conv", input, conv)?;
    let output = builder.relu("relu", output)?;
    let pooled = builder.global_avg_pool("pool", output)?;
    builder.finish(pooled)
}

fn convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("tract float32");
    group.sample_size(10);
    for (name, side, channels, out_channels, kernel, stride, groups) in SHAPES {
        let in_channels_per_group = channels / groups;
        let number = |i: usize| (i * 31 % 251) as f32 / 251.0 - 0.5;
        let weights: Vec<f32> = (0..out_channels * in_channels_per_group * kernel * kernel).map(number).collect();
        let conv = Conv {
            out_channels,
            in_channels_per_group,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 4],
            groups,
            weights: &weights,
            bias: &vec![0.0; out_channels],
        };
        let shape = InputShape { channels, height: side, width: side };
        let model = network(shape, &conv).expect("a network");
        let image: Vec<f32> = (0..channels * side * side).map(number).collect();
        let outputs = (side / stride).pow(2) * out_channels;
        group.throughput(Throughput::Elements((outputs * in_channels_per_group * kernel * kernel) as u64));
        group.bench_function(name, |b| b.iter(|| model.run(black_box(&image)).expect("logits")));
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
