//! The builder's networks against plain loops.

use cardinal_tract::{Builder, Conv, InputShape, Pool, TractError};

/// Values in [-1, 1) from a linear congruential generator.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// An activation, CHW.
#[derive(Clone)]
struct Map {
    dims: [usize; 3],
    values: Vec<f32>,
}

impl Map {
    fn at(&self, channel: usize, y: isize, x: isize) -> Option<f32> {
        let [_, height, width] = self.dims;
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        inside.then(|| self.values[(channel * height + y as usize) * width + x as usize])
    }

    /// One value per output position: `pixel(channel, top, left)` sees where its window starts.
    fn slide(&self, channels: usize, window: &Pool, mut pixel: impl FnMut(usize, isize, isize) -> f32) -> Map {
        let [top, left, bottom, right] = window.padding;
        let rows = (self.dims[1] + top + bottom - window.kernel[0]) / window.stride[0] + 1;
        let columns = (self.dims[2] + left + right - window.kernel[1]) / window.stride[1] + 1;
        let mut values = Vec::new();
        for channel in 0..channels {
            for y in 0..rows {
                for x in 0..columns {
                    let (y, x) = ((y * window.stride[0]) as isize, (x * window.stride[1]) as isize);
                    values.push(pixel(channel, y - top as isize, x - left as isize));
                }
            }
        }
        Map { dims: [channels, rows, columns], values }
    }

    fn conv(&self, conv: &Conv) -> Map {
        let window = Pool { kernel: conv.kernel, stride: conv.stride, padding: conv.padding };
        let [rows, columns] = conv.kernel;
        self.slide(conv.out_channels, &window, |out, top, left| {
            let group = out / (conv.out_channels / conv.groups);
            let mut sum = conv.bias[out];
            for c in 0..conv.in_channels_per_group {
                for y in 0..rows {
                    for x in 0..columns {
                        let weight = conv.weights[((out * conv.in_channels_per_group + c) * rows + y) * columns + x];
                        let channel = group * conv.in_channels_per_group + c;
                        sum += weight * self.at(channel, top + y as isize, left + x as isize).unwrap_or(0.0);
                    }
                }
            }
            sum
        })
    }

    fn max_pool(&self, window: &Pool) -> Map {
        let [rows, columns] = window.kernel.map(|size| size as isize);
        self.slide(self.dims[0], window, |channel, top, left| {
            let taps = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x)));
            taps.filter_map(|(y, x)| self.at(channel, top + y, left + x)).fold(f32::NEG_INFINITY, f32::max)
        })
    }

    fn relu(&self) -> Map {
        Map { values: self.values.iter().map(|value| value.max(0.0)).collect(), ..*self }
    }

    fn add(&self, other: &Map) -> Map {
        Map { values: self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect(), ..*self }
    }

    fn mean(&self) -> Map {
        let pixels = self.dims[1] * self.dims[2];
        let values = self.values.chunks(pixels).map(|channel| channel.iter().sum::<f32>() / pixels as f32).collect();
        Map { dims: [self.dims[0], 1, 1], values }
    }
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{what}[{index}]: {found}, not {expected}");
    }
}

const INPUT: InputShape = InputShape { channels: 3, height: 17, width: 14 };

/// A stem with pooling, one bottleneck block with a stride and a downsampling branch, and a classifier: every layer
/// that the builder knows, with uneven sizes and paddings. Every activation is checked.
#[test]
fn network_equals_plain_loops() {
    let (stem_weights, stem_bias) = (noise(1, 16 * 3 * 5 * 3), noise(2, 16));
    let stem = Conv {
        weights: &stem_weights,
        bias: &stem_bias,
        out_channels: 16,
        in_channels_per_group: 3,
        kernel: [5, 3],
        stride: [1, 2],
        padding: [2, 1, 1, 0],
        groups: 1,
    };
    let pool = Pool { kernel: [3, 3], stride: [2, 1], padding: [1, 1, 1, 1] };
    let dense = |weights, bias, out_channels, in_channels_per_group, stride| Conv {
        weights,
        bias,
        out_channels,
        in_channels_per_group,
        kernel: [1, 1],
        stride,
        padding: [0; 4],
        groups: 1,
    };
    let (w1, b1, w3, b3, wd, bd) =
        (noise(3, 16 * 24), noise(4, 24), noise(5, 12 * 32), noise(6, 32), noise(7, 16 * 32), noise(8, 32));
    let reduce = dense(&w1, &b1, 24, 16, [1, 1]);
    let expand = dense(&w3, &b3, 32, 12, [1, 1]);
    let downsample = dense(&wd, &bd, 32, 16, [2, 2]);
    let (grouped_weights, grouped_bias) = (noise(9, 12 * 6 * 9), noise(10, 12));
    let grouped = Conv {
        weights: &grouped_weights,
        bias: &grouped_bias,
        out_channels: 12,
        in_channels_per_group: 6,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1; 4],
        groups: 4,
    };
    let (weights, bias) = (noise(11, 5 * 32), noise(12, 5));
    let image = Map { dims: [3, 17, 14], values: noise(13, INPUT.len()) };

    let stem_map = image.conv(&stem);
    let pooled = stem_map.relu().max_pool(&pool);
    let grouped_map = pooled.conv(&reduce).relu().conv(&grouped);
    let sum = grouped_map.relu().conv(&expand).add(&pooled.conv(&downsample));
    let mean = sum.relu().mean();
    let logits = mean.conv(&dense(&weights, &bias, 5, 32, [1, 1]));
    let expected = [&image, &stem_map, &stem_map.relu(), &pooled, &grouped_map, &sum, &sum.relu(), &mean, &logits];

    let mut b = Builder::new(INPUT);
    let x = b.input();
    b.observe(x);
    let x = b.conv("stem", x, &stem).unwrap();
    b.observe(x);
    let x = b.relu("stem.relu", x).unwrap();
    b.observe(x);
    let x = b.max_pool("pool", x, &pool).unwrap();
    b.observe(x);
    let y = b.conv("conv1", x, &reduce).unwrap();
    let y = b.relu("conv1.relu", y).unwrap();
    let y = b.conv("conv2", y, &grouped).unwrap();
    b.observe(y);
    let y = b.relu("conv2.relu", y).unwrap();
    let y = b.conv("conv3", y, &expand).unwrap();
    let branch = b.conv("downsample", x, &downsample).unwrap();
    let y = b.add("add", y, branch).unwrap();
    b.observe(y);
    let y = b.relu("relu", y).unwrap();
    b.observe(y);
    let y = b.global_avg_pool("gap", y).unwrap();
    b.observe(y);
    let y = b.linear("fc", y, &weights, &bias).unwrap();
    b.observe(y);
    let model = b.finish(y).unwrap();

    let mut shown = Vec::new();
    let observed = model.run_observed(&image.values, |index, values| shown.push((index, values.to_vec()))).unwrap();
    assert_close(&observed, &logits.values, "logits of run_observed");
    assert_close(&model.run(&image.values).unwrap(), &logits.values, "logits of run");
    assert_eq!(shown.len(), expected.len());
    for (place, ((index, values), expected)) in shown.iter().zip(expected).enumerate() {
        assert_eq!(*index, place);
        assert_close(values, &expected.values, &format!("observed {index}"));
    }
}

/// The cardinality and the widths of the real networks, against plain loops.
#[test]
fn grouped_convolutions_of_resnext() {
    for (groups, width, stride, size) in [(16, 4, 1, 9), (32, 8, 2, 8), (16, 16, 2, 7), (64, 1, 1, 5), (2, 1, 1, 4)] {
        let channels = groups * width;
        let (weights, bias) = (noise(1, channels * width * 9), noise(2, channels));
        let conv = Conv {
            weights: &weights,
            bias: &bias,
            out_channels: channels,
            in_channels_per_group: width,
            kernel: [3, 3],
            stride: [stride; 2],
            padding: [1; 4],
            groups,
        };
        let image = Map { dims: [channels, size, size], values: noise(3, channels * size * size) };
        let mut b = Builder::new(InputShape { channels, height: size, width: size });
        let x = b.input();
        let y = b.conv("conv", x, &conv).unwrap();
        let model = b.finish(y).unwrap();
        let what = format!("{groups} groups of {width}, stride {stride}, {size} pixels");
        assert_close(&model.run(&image.values).unwrap(), &image.conv(&conv).values, &what);
    }
}

#[test]
fn one_model_serves_many_threads() {
    let mut b = Builder::new(InputShape { channels: 2, height: 4, width: 4 });
    let x = b.input();
    let x = b.relu("relu", x).unwrap();
    b.observe(x);
    let x = b.global_avg_pool("gap", x).unwrap();
    let model = b.finish(x).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let model = &model;
            scope.spawn(move || {
                let image = noise(seed, 32);
                let mut shown = Vec::new();
                let mean = model.run_observed(&image, |_, values| shown.extend_from_slice(values)).unwrap();
                assert_eq!(shown, image.iter().map(|value| value.max(0.0)).collect::<Vec<_>>());
                assert_eq!(mean, model.run(&image).unwrap());
            });
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (weights, bias) = (vec![0.0; 4 * 3 * 9], vec![0.0; 4]);
    let good = Conv {
        weights: &weights,
        bias: &bias,
        out_channels: 4,
        in_channels_per_group: 3,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1; 4],
        groups: 1,
    };
    let mut b = Builder::new(INPUT);
    let x = b.input();
    let bad = [
        Conv { weights: &weights[1..], ..good },
        Conv { bias: &bias[1..], ..good },
        Conv { groups: 0, ..good },
        Conv { groups: 3, ..good },
        Conv { groups: usize::MAX, ..good },
        Conv { in_channels_per_group: 2, ..good },
        Conv { out_channels: 0, weights: &[], bias: &[], ..good },
        Conv { out_channels: usize::MAX, ..good },
        Conv { stride: [0, 1], ..good },
        Conv { kernel: [0, 3], ..good },
        Conv { kernel: [30, 3], ..good },
        Conv { padding: [usize::MAX; 4], ..good },
    ];
    for conv in bad {
        let error = b.conv("layer1.0.conv2", x, &conv).unwrap_err();
        assert!(matches!(&error, TractError::Layer { node, .. } if node == "layer1.0.conv2"), "{conv:?}: {error}");
    }
    let y = b.conv("stem", x, &good).unwrap();
    assert!(b.conv("stem", x, &good).is_err(), "a name is taken once");
    assert!(b.add("add", x, y).is_err(), "3 and 4 channels");
    assert!(b.linear("fc", y, &[0.0; 8], &[0.0; 2]).is_err(), "not one pixel");
    let gap = b.global_avg_pool("gap", y).unwrap();
    assert!(b.linear("fc", gap, &[0.0; 9], &[0.0; 2]).is_err(), "4 channels, 2 outputs");
    let padded = Pool { kernel: [2, 2], stride: [2, 2], padding: [2, 0, 0, 0] };
    assert!(b.max_pool("pool", y, &padded).is_err(), "a window of padding only");

    let model = b.finish(gap).unwrap();
    assert_eq!(model.run(&[0.0; 5]).unwrap_err(), TractError::Image { expected: INPUT.len(), found: 5 });
}

#[test]
fn fake_quantization_rounds_to_a_grid() {
    let shape = InputShape { channels: 1, height: 1, width: 9 };
    let mut b = Builder::new(shape);
    let x = b.fake_quantize("codes", b.input(), 0.5, [-2.0, 3.0]).expect("a new name");
    let model = b.finish(x).expect("a valid graph");
    // Ties go to even, as in section 3 of the quantization page.
    let image = [0.0, 0.24, 0.25, 0.75, 1.25, -0.25, -0.75, 9.0, -9.0];
    let expected = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, -1.0, 1.5, -1.0];
    assert_eq!(model.run(&image).expect("it runs"), expected);
}
