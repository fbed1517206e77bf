//! The convolutions of `cardinal-runtime`'s bench in tract's float32, to see that int8 is faster. A ReLU follows each, as in a
//! ResNeXt, and a global average pool, so that no large output is copied.

#[path = "../../benches/conv/shapes.rs"]
mod shapes;

use std::hint::black_box;

use cardinal_tract::{Builder, Conv, FloatModel, InputShape, TractError};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shapes::SHAPES;

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
        let [side, channels, out_channels, groups] = [side, channels, out_channels, groups].map(|n| n as usize);
        let [kernel, stride] = [kernel, stride].map(usize::from);
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
