//! Every backend against plain loops, in every byte.

use cardinal_device_tests::binary32::{self, Exact};
use cardinal_device_tests::buffer::Guarded;
use cardinal_device_tests::fill::{Fill, INT8, MEAN, bounds, input_codes, mean_codes, parameters};
use cardinal_device_tests::naive::{self, output_size};
use cardinal_device_tests::random::Random;
use cardinal_device_tests::strategy::cases;
use cardinal_format::quant::Requantize;
use cardinal_format::weights::WeightLayout;
use cardinal_format::write::{pack_channels, pack_weights};
use cardinal_format::{Shape, Window};
use cardinal_runtime::Kernels;
use cardinal_runtime::kernels::{
    self, ConvArgs, GlobalAvgPoolArgs, LinearArgs, MaxPoolArgs, ProjectionArgs, ResidualArgs, Storage,
};
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortcut {
    None,
    Separate,
    InPlace,
    /// The channels that it reads, its stride, and how many rows and columns lie behind the last that it reads.
    Projection {
        channels: u32,
        stride: [u8; 2],
        behind: [u32; 2],
    },
}

/// All that decides a convolution; `seed` decides the rest.
#[derive(Clone, Copy, Debug)]
struct Case {
    input: Shape,
    channels_out: u32,
    groups: u32,
    window: Window,
    pixels: bool,
    shortcut: Shortcut,
    fill: Fill,
    seed: u64,
}

/// Groups, input channels, output channels.
fn channels() -> impl Strategy<Value = [u32; 3]> {
    let one = (select(&[1u32, 3, 4, 5, 7, 16, 20, 33, 64][..]), 1u32..=40).prop_map(|(cin, cout)| [1, cin, cout]);
    // Narrow groups share a block of sixteen outputs in every alignment; wide ones fill several.
    let many = (select(&[2u32, 3, 4, 5, 8][..]), select(&[4u32, 8, 12, 16, 20][..]), 1u32..=36)
        .prop_map(|(groups, cin, cout)| [groups, groups * cin, groups * cout]);
    // ResNeXt's own: as many out as in.
    let trained = (select(&[2u32, 16, 32][..]), select(&[4u32, 8, 12, 16, 20][..]))
        .prop_filter("small enough", |(groups, width)| groups * width <= 192)
        .prop_map(|(groups, width)| [groups, groups * width, groups * width]);
    prop_oneof![2 => one, 2 => many, 1 => trained]
}

fn window() -> impl Strategy<Value = Window> {
    let kernel = select(&[[1u8, 1], [3, 3], [3, 3], [5, 5], [7, 7], [1, 3], [3, 1], [2, 5], [7, 1]][..]);
    kernel.prop_flat_map(|[kh, kw]| {
        ([1u8..=3, 1u8..=3], [0..kh, 0..kw, 0..kh, 0..kw]).prop_map(move |(stride, padding)| Window {
            kernel: [kh, kw],
            stride,
            padding,
        })
    })
}

/// An input of up to 9×9 that the window fits.
fn extent() -> impl Strategy<Value = ([u32; 2], Window)> {
    ([1u32..=9, 1u32..=9], window()).prop_filter("the window fits", |([height, width], window)| {
        output_size(Shape { height: *height, width: *width, channels: 1 }, *window).iter().all(|&n| n > 0)
    })
}

fn shortcut() -> impl Strategy<Value = Shortcut> {
    let projection = (select(&[1u32, 3, 4, 5, 7, 16, 20, 33, 64][..]), [1u8..=3, 1u8..=3], [0u32..3, 0u32..3])
        .prop_map(|(channels, stride, behind)| {
            let behind = [0, 1].map(|i| behind[i].min(u32::from(stride[i]) - 1));
            Shortcut::Projection { channels, stride, behind }
        });
    let other = select(&[Shortcut::None, Shortcut::None, Shortcut::Separate, Shortcut::InPlace][..]);
    prop_oneof![2 => other, 1 => projection]
}

/// What backends have tiles for: blocks of sixteen outputs whole, 1×1 windows, stems, and 3×3 in square groups of a power
/// of two; extents at, below and above the sizes of tiles.
fn tiled() -> impl Strategy<Value = Case> {
    let padding = prop_oneof![Just([1u8; 4]), [0u8..3, 0u8..3, 0u8..3, 0u8..3]];
    let square = |side: u8, stride, padding| Window { kernel: [side; 2], stride: [stride; 2], padding };
    let outputs = select(&[16u32, 32, 48, 64, 80, 144][..]);
    let point = (select(&[4u32, 8, 20, 64, 100][..]), outputs.clone(), 1u8..=2)
        .prop_map(move |(cin, cout, stride)| ([1, cin, cout], square(1, stride, [0; 4]), [14, 14]));
    let stem = (select(&[1u32, 3, 4][..]), outputs, select(&[3u8, 7][..]), 1u8..=2)
        .prop_map(move |(cin, cout, side, stride)| ([1, cin, cout], square(side, stride, [side / 2; 4]), [9, 16]));
    let widths =
        select(&[(4u32, 4u32), (4, 20), (4, 32), (8, 2), (8, 10), (16, 3), (16, 5), (32, 2), (32, 3), (64, 2)]);
    let grouped = (widths, 1u8..=2, padding, select(&[16u32, 70][..])).prop_map(
        move |((width, groups), stride, padding, columns)| {
            ([groups, width * groups, width * groups], square(3, stride, padding), [5, columns])
        },
    );
    let fill = select(&[Fill::Random, Fill::Saturating, Fill::Brim, Fill::Brim][..]);
    (prop_oneof![point, stem, grouped], any::<[u32; 2]>(), any::<bool>(), shortcut(), fill, any::<u64>()).prop_map(
        |(([groups, channels, channels_out], window, most), sides, pixels, shortcut, fill, seed)| {
            // No smaller than the window without its padding.
            let side = |i: usize| {
                let least = u32::from(window.kernel[i]);
                least + sides[i] % most[i]
            };
            let input = Shape { height: side(0), width: side(1), channels };
            let shortcut = if groups > 1 { Shortcut::None } else { shortcut };
            Case { input, channels_out, groups, window, pixels: pixels && groups == 1, shortcut, fill, seed }
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let shortcut = shortcut();
    let fill = select(&[Fill::Random, Fill::Random, Fill::Saturating][..]);
    (extent(), channels(), any::<bool>(), shortcut, fill, any::<u64>()).prop_map(
        |(([height, width], window), [groups, channels, channels_out], pixels, shortcut, fill, seed)| {
            let input = Shape { height, width, channels };
            Case { input, channels_out, groups, window, pixels, shortcut, fill, seed }
        },
    )
}

/// A projection and what it reads.
struct Projected {
    conv: naive::Conv,
    codes: Vec<i8>,
    layout: WeightLayout,
    weights: Vec<u8>,
    channels: Vec<u8>,
}

impl Projected {
    fn new(random: &mut Random, input: Shape, output: Shape, stride: [u8; 2], fill: Fill) -> Self {
        let channels_out = output.channels as usize;
        let (weights, bias, multiplier) = parameters(random, [channels_out, input.channels as usize], INT8, fill);
        let codes = input_codes(random, input.volume(), fill);
        let layout = WeightLayout::new(input.channels, output.channels, [1, 1], 1).expect("a valid shape");
        let packed = pack_weights(&layout, [1, 1], &weights);
        let channels = pack_channels(&bias, &multiplier);
        let (window, pad_codes) = (Window { stride, ..Window::POINT }, [0; 4]);
        let conv = naive::Conv { input, channels_out, window, groups: 1, weights, bias, multiplier, pad_codes };
        Projected { conv, codes, layout, weights: packed, channels }
    }

    fn args<'a>(&'a self, stored: &'a [u8]) -> ResidualArgs<'a> {
        ResidualArgs::Projection(ProjectionArgs {
            input: stored,
            input_shape: self.conv.input,
            stride: self.conv.window.stride,
            layout: self.layout,
            weights: &self.weights,
            channels: &self.channels,
        })
    }
}

fn conv_agrees(kernels: &Kernels, case: &Case) {
    let Case { input, channels_out, groups, window, pixels, shortcut, fill, seed } = *case;
    let random = &mut Random::new(seed);
    let terms = (input.channels / groups) as usize * usize::from(window.kernel[0]) * usize::from(window.kernel[1]);
    let (weights, bias, multiplier) = parameters(random, [channels_out as usize, terms], INT8, fill);
    let codes = input_codes(random, input.volume(), fill);
    let output = bounds(random);
    let [height, width] = output_size(input, window).map(|n| n as u32);
    let output_shape = Shape { height, width, channels: channels_out };
    let residual: Vec<i8> = (0..output_shape.volume()).map(|_| random.code()).collect();
    let (zero_point, residual_multiplier) = (random.code(), random.fraction() / 2.0);
    let pad_codes = [(); 4].map(|()| random.code());

    let projected = match shortcut {
        Shortcut::Projection { channels, stride, behind } => {
            let side = |i: usize, output: u32| (output - 1) * u32::from(stride[i]) + 1 + behind[i];
            let read = Shape { height: side(0, height), width: side(1, width), channels };
            Some(Projected::new(random, read, output_shape, stride, fill))
        }
        _ => None,
    };

    let store = |codes: &[i8], storage: Storage| codes.iter().map(|&code| storage.byte(code)).collect::<Vec<u8>>();
    let stored = store(&codes, if pixels { Storage::Biased } else { kernels.storage });
    let added = store(&residual, kernels.storage);
    let read = projected.as_ref().map_or(Vec::new(), |projected| store(&projected.codes, kernels.storage));
    let layout = WeightLayout::new(input.channels, channels_out, window.kernel, groups).expect("a valid shape");
    let args = ConvArgs {
        input: &stored,
        input_shape: input,
        output_shape,
        first: 0,
        pixels,
        window,
        pad_codes,
        layout,
        weights: &pack_weights(&layout, window.kernel, &weights),
        channels: &pack_channels(&bias, &multiplier),
        requantize: Requantize::new(output.zero_point, output.q_min, output.q_max),
        residual: match shortcut {
            Shortcut::None => ResidualArgs::None,
            Shortcut::Separate => ResidualArgs::Separate { codes: &added, zero_point, multiplier: residual_multiplier },
            Shortcut::InPlace => ResidualArgs::InPlace { zero_point, multiplier: residual_multiplier },
            Shortcut::Projection { .. } => {
                projected.as_ref().map_or(ResidualArgs::None, |projected| projected.args(&read))
            }
        },
    };
    // Without a residual in place, what the output held before must not matter.
    let before: Vec<u8> = match shortcut {
        Shortcut::InPlace => added.clone(),
        _ => (0..residual.len()).map(|_| random.bits() as u8).collect(),
    };
    let mut written = Guarded::new(&before, 0x5a);
    (kernels.conv)(&args, written.inner());
    let written = written.into_inner();
    // The same in two parts.
    let mut parts = Guarded::new(&before, 0x5a);
    let cut = random.below((height * width + 1) as usize);
    let (one, two) = parts.inner().split_at_mut(cut * channels_out as usize);
    (kernels.conv)(&args, one);
    (kernels.conv)(&ConvArgs { first: cut, ..args }, two);
    assert_eq!(parts.into_inner(), written, "{}, cut at {cut}", kernels.name);
    let written: Vec<i8> = written.into_iter().map(|byte| kernels.storage.code(byte)).collect();

    let (groups, channels_out) = (groups as usize, channels_out as usize);
    let naive = naive::Conv { input, channels_out, window, groups, weights, bias, multiplier, pad_codes };
    let shortcut = match (shortcut, &projected) {
        (Shortcut::None, _) => None,
        (_, Some(Projected { conv, codes, .. })) => Some(naive::Shortcut::Projection { conv, codes }),
        _ => Some(naive::Shortcut::Identity { codes: &residual, zero_point, multiplier: residual_multiplier }),
    };
    assert_eq!(written, naive.run(&codes, output, shortcut), "{}", kernels.name);
}

#[test]
fn portable_is_always_available() {
    assert!(kernels::available().iter().any(|k| k.name == kernels::PORTABLE.name));
}

/// Every width of a group, with outputs that end inside a block, at every place of a row of tiles.
#[test]
fn every_group_width_and_row_length() {
    let window = Window { kernel: [3, 3], stride: [1, 1], padding: [1; 4] };
    for kernels in kernels::available() {
        for (groups, width) in [(1, 4), (2, 4), (3, 4), (5, 4), (32, 4), (3, 8), (3, 12), (2, 16), (3, 20), (2, 24)] {
            for columns in 1..=9 {
                let input = Shape { height: 5, width: columns, channels: groups * width };
                let (fill, seed) = (Fill::Random, u64::from(columns));
                let projection = Shortcut::Projection { channels: width + 3, stride: [2, 2], behind: [0, 1] };
                for channels_out in [groups, groups * width, groups * 17] {
                    for shortcut in [Shortcut::InPlace, projection] {
                        conv_agrees(
                            kernels,
                            &Case { input, channels_out, groups, window, pixels: false, shortcut, fill, seed },
                        );
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn conv_in_tiles(case in tiled()) {
        for kernels in kernels::available() {
            conv_agrees(kernels, &case);
        }
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn conv(case in case()) {
        for kernels in kernels::available() {
            conv_agrees(kernels, &case);
        }
    }

    #[test]
    fn max_pool(([height, width], window) in extent(), channels in 1u32..=70, seed in any::<u64>()) {
        let random = &mut Random::new(seed);
        let input_shape = Shape { height, width, channels };
        let [height, width] = output_size(input_shape, window).map(|n| n as u32);
        let output_shape = Shape { height, width, channels };
        // All codes low, so that a padded zero would win.
        let ceiling = random.pick(&[127, -100]);
        let input: Vec<i8> = (0..input_shape.volume()).map(|_| random.code().min(ceiling)).collect();
        for kernels in kernels::available() {
            let stored: Vec<u8> = input.iter().map(|&code| kernels.storage.byte(code)).collect();
            let args = MaxPoolArgs { input: &stored, input_shape, output_shape, window };
            let mut written = Guarded::new(&vec![77; output_shape.volume()], 0x5a);
            (kernels.max_pool)(&args, written.inner());
            let written: Vec<i8> = written.into_inner().into_iter().map(|byte| kernels.storage.code(byte)).collect();
            assert_eq!(written, naive::max_pool(&input, input_shape, window), "{}", kernels.name);
        }
    }

    #[test]
    fn global_avg_pool(
        [height, width] in [1u32..=15, 1u32..=15],
        channels in 1u32..=200,
        fill in select(&[Fill::Random, Fill::Saturating][..]),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let input_shape = Shape { height, width, channels };
        let input = input_codes(random, input_shape.volume(), fill);
        let zero_point = random.code();
        for kernels in kernels::available() {
            let stored: Vec<u8> = input.iter().map(|&code| kernels.storage.byte(code)).collect();
            let args = GlobalAvgPoolArgs { input: &stored, input_shape, zero_point };
            let mut written = Guarded::new(&vec![77; channels as usize], 0x5a);
            (kernels.global_avg_pool)(&args, written.inner());
            let naive = naive::global_avg_pool(&input, input_shape, zero_point);
            assert_eq!(written.into_inner(), naive, "{}", kernels.name);
        }
    }

    #[test]
    fn linear(
        channels in 1u32..=200,
        classes in 1u32..=50,
        fill in select(&[Fill::Random, Fill::Saturating][..]),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let (weights, bias, multiplier) = parameters(random, [classes as usize, channels as usize], MEAN, fill);
        let input = mean_codes(random, channels as usize, fill);
        let layout = WeightLayout::new(channels, classes, [1, 1], 1).expect("a valid shape");
        let packed = [pack_weights(&layout, [1, 1], &weights), pack_channels(&bias, &multiplier)];
        let naive = naive::Conv {
            input: Shape { height: 1, width: 1, channels },
            channels_out: classes as usize,
            window: Window::POINT,
            groups: 1,
            weights,
            bias,
            multiplier,
            pad_codes: [0; 4],
        };
        let exact = naive.accumulators(&input).into_iter().zip(&naive.multiplier);
        let exact: Vec<Exact> = exact.map(|(acc, &m)| binary32::logit(acc, m)).collect();
        for kernels in kernels::available() {
            let args = LinearArgs { input: &input, layout, weights: &packed[0], channels: &packed[1] };
            let mut written = Guarded::new(&vec![0.5; classes as usize], 0.25);
            (kernels.linear)(&args, written.inner());
            let logits: Vec<Exact> = written.into_inner().into_iter().map(Exact::float).collect();
            assert_eq!(&logits, &exact, "{}", kernels.name);
        }
    }
}
