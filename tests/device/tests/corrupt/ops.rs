//! Op records, weights, and what ops read.

use cardinal_device_tests::model::{self, SMALL};
use cardinal_device_tests::random::Random;
use cardinal_format::weights::WeightLayout;
use cardinal_format::write::{Contents, pack_channels, pack_weights, to_bytes};
use cardinal_format::{Conv, FormatError, Op, Projection, Residual, Tensor, TensorId};

use crate::sample::*;

const SCALE: &str = "output (scale must be the input's by 16, zero point 0)";

#[test]
fn op_fields() {
    let sample = Sample::new(&FIVE);
    let u16 = u16::to_le_bytes;
    let u32 = u32::to_le_bytes;
    let f32 = f32::to_le_bytes;
    let pool_codes = in_op(POOL, "output (scale and zero point must be the input's)");
    sample.refused(&[
        ("kind 0", op(STEM), [0], in_op(STEM, "kind")),
        ("kind 5", op(MEAN), [5], in_op(MEAN, "kind")),
        ("no kernel", op(STEM) + 8, [0], in_op(STEM, "window")),
        ("no stride", op(STEM) + 11, [0], in_op(STEM, "window")),
        ("padding as large as the kernel", op(STEM) + 14, [3], in_op(STEM, "window")),
        ("another stride", op(STEM) + 10, [1], in_op(STEM, "window (does not give the output's shape)")),
        ("a pool's stride", op(POOL) + 10, [1], in_op(POOL, "window (does not give the output's shape)")),
        (
            "a kernel larger than the input",
            op(POOL) + 8,
            [255],
            in_op(POOL, "window (does not give the output's shape)"),
        ),
        ("a pool that changes the zero point", tensor(2) + 20, [sample.bytes[tensor(2) + 20] ^ 1], pool_codes),
    ]);
    sample.refused(&[
        ("no such input", op(SHORTCUT) + 2, u16(14), in_op(SHORTCUT, "input")),
        ("no input", op(SHORTCUT) + 2, u16(65535), in_op(SHORTCUT, "input")),
        ("no such output", op(SHORTCUT) + 4, u16(14), in_op(SHORTCUT, "output")),
        ("q_min above q_max", op(SHORTCUT) + 24, [1, 0], in_op(SHORTCUT, "q_min")),
        ("logits from a convolution", op(SHORTCUT) + 4, u16(65535), in_op(SHORTCUT, "output")),
        ("no such residual", op(EXPAND) + 6, u16(14), in_op(EXPAND, "residual")),
        ("output is the image", op(POOL) + 4, u16(0), in_op(POOL, "output (the image is not written)")),
        ("residual of another shape", op(EXPAND) + 6, u16(4), in_op(EXPAND, "residual (shape or place)")),
        (
            "mean of other channels",
            op(MEAN) + 2,
            u16(11),
            in_op(MEAN, "output (must be 1×1 with the input's channels)"),
        ),
    ]);
    sample.refused(&[
        ("no groups", op(GROUPED) + 16, u32(0), in_op(GROUPED, "groups")),
        ("groups that do not divide", op(GROUPED) + 16, u32(3), in_op(GROUPED, "groups")),
        ("groups of two channels", op(GROUPED) + 16, u32(4), in_op(GROUPED, "groups")),
        ("fewer groups than the weights", op(GROUPED) + 16, u32(1), in_op(GROUPED, "weights")),
        ("no cardinality", op(GROUPED) + 20, u32(0), in_op(GROUPED, "cardinality")),
        ("cardinality that groups do not divide", op(GROUPED) + 20, u32(3), in_op(GROUPED, "cardinality")),
        ("residual multiplier NaN", op(EXPAND) + 44, f32(f32::NAN), in_op(EXPAND, "residual multiplier")),
        ("residual multiplier below 0", op(IN_PLACE) + 44, f32(-0.5), in_op(IN_PLACE, "residual multiplier")),
    ]);
}

/// Only a mean has int16 codes, on a grid sixteen times as fine as that of what it is taken of.
#[test]
fn types_of_codes() {
    let sample = Sample::new(&FIVE);
    let [int8, int16] = [[0], [1]];
    sample.refused(&[
        ("a convolution to int16", tensor(12) + 21, int16, in_op(PROJECT, "output (another type of codes)")),
        ("a mean to int8", tensor(13) + 21, int8, in_op(MEAN, "output (another type of codes)")),
        ("a mean with a zero point", tensor(13) + 20, [1], in_op(MEAN, SCALE)),
    ]);
    let scale = f32::from_bits(sample.u32(tensor(13) + 16));
    sample.refused(&[("a mean of another scale", tensor(13) + 16, scale.next_up().to_le_bytes(), in_op(MEAN, SCALE))]);
    let u16 = u16::to_le_bytes;
    sample.refused(&[
        ("a classifier of int8 codes", op(CLASSIFIER) + 2, u16(12), in_op(CLASSIFIER, "input (another type of codes)")),
        ("a mean of a mean", op(MEAN) + 2, u16(13), in_op(MEAN, "input (another type of codes)")),
        ("a shortcut in int16", op(EXPAND) + 6, u16(13), in_op(EXPAND, "residual (another type of codes)")),
    ]);
}

#[test]
fn op_order() {
    let sample = Sample::new(&FIVE);
    let record = |number: usize| <[u8; 64]>::try_from(&sample.bytes[op(number)..op(number + 1)]).expect("a record");
    sample.refused(&[
        ("no classifier", op(CLASSIFIER), record(MEAN), in_op(CLASSIFIER, "kind (the last op must write the logits)")),
        ("two classifiers", op(MEAN), record(CLASSIFIER), in_op(MEAN, "kind (a linear layer is the last op)")),
    ]);
}

/// What a kind does not use is zero, or no tensor.
#[test]
fn unused_fields() {
    let sample = Sample::new(&FIVE);
    // A projection's fields: without its stride there is none, and with one alone, no weights.
    let projection: Vec<usize> = (52..64).collect();
    let without = |more: Vec<usize>| [vec![1, 26, 27], projection.clone(), more].concat();
    let by_op: [(usize, Vec<usize>); 6] = [
        (STEM, without((44..48).collect())),
        (POOL, without([6, 7].into_iter().chain(16..48).collect())),
        (EXPAND, [vec![1], projection.clone()].concat()),
        (PROJECT, [1].into_iter().chain(44..48).collect()),
        (MEAN, without([6, 7].into_iter().chain(8..48).collect())),
        (CLASSIFIER, without((4..8).chain(8..32).chain(44..48).collect())),
    ];
    for (number, unused) in by_op {
        for at in &unused {
            let place = op(number) + at;
            let error = sample.error(place, &[sample.bytes[place] ^ 1]);
            assert_eq!(error, Some(in_op(number, "a reserved or unused byte")), "byte {at}");
        }
    }
}

#[test]
fn weights_and_channels() {
    const ORDER: &str = "weights (not behind those of the op before)";
    let sample = Sample::new(&FIVE);
    let u32 = u32::to_le_bytes;
    let (weights, channels) = (sample.u32(op(SHORTCUT) + 32), sample.u32(op(SHORTCUT) + 40));
    let data_len = sample.u32(48);
    sample.refused(&[
        ("weights behind the data", op(SHORTCUT) + 32, u32(data_len), in_op(SHORTCUT, "weights")),
        ("weights far away", op(SHORTCUT) + 32, u32(u32::MAX), in_op(SHORTCUT, "weights")),
        ("weights, not aligned", op(SHORTCUT) + 32, u32(weights + 4), in_op(SHORTCUT, ORDER)),
        ("weights of another length", op(SHORTCUT) + 36, u32(64), in_op(SHORTCUT, "weights")),
        ("channels behind the data", op(SHORTCUT) + 40, u32(data_len), in_op(SHORTCUT, "channel parameters")),
        ("channels, not aligned", op(SHORTCUT) + 40, u32(channels + 4), in_op(SHORTCUT, ORDER)),
        ("channels of another op", op(SHORTCUT) + 40, u32(sample.u32(op(STEM) + 40)), in_op(SHORTCUT, ORDER)),
        ("a classifier's weights of no length", op(CLASSIFIER) + 36, u32(0), in_op(CLASSIFIER, "weights")),
    ]);
    let padding = "weights (padding is not zero)";
    sample.refused(&[
        ("weight -128, first", sample.weights(STEM), [0x80], in_op(STEM, "weights (one is -128)")),
        (
            "weight -128, in a classifier",
            sample.weights(CLASSIFIER) + 3,
            [0x80],
            in_op(CLASSIFIER, "weights (one is -128)"),
        ),
        // The stem's runs are nine bytes: of their third quad, one byte is a weight.
        ("weight behind a run", sample.weights(STEM) + 2 * 64 + 1, [1], in_op(STEM, padding)),
        ("weight behind the last run", sample.weights(STEM) + 8 * 64 + 7 * 4 + 3, [1], in_op(STEM, padding)),
        // Eight channels of sixteen.
        ("weight of no channel", sample.weights(GROUPED) + 8 * 4, [1], in_op(GROUPED, padding)),
        ("bias of no channel", sample.channels(GROUPED) + 8 * 4, [1], in_op(GROUPED, padding)),
        ("multiplier of no channel", sample.channels(GROUPED) + 64 + 15 * 4, [1], in_op(GROUPED, padding)),
        ("bias of no class", sample.channels(CLASSIFIER) + 5 * 4, [1], in_op(CLASSIFIER, padding)),
    ]);
    let f32 = f32::to_le_bytes;
    // The first multiplier, and one in the second block.
    let (first, second) = (sample.channels(STEM) + 64, sample.channels(SHORTCUT) + 128 + 64 + 3 * 4);
    sample.refused(&[
        ("multiplier NaN", first, f32(f32::NAN), in_op(STEM, "multiplier")),
        ("multiplier infinite", second, f32(f32::INFINITY), in_op(SHORTCUT, "multiplier")),
        ("multiplier below 0", second, f32(-1e-9), in_op(SHORTCUT, "multiplier")),
        ("multiplier too large", first, f32(1_048_576f32.next_up()), in_op(STEM, "multiplier")),
    ]);
    assert_eq!(sample.error(first, &f32(1_048_576.0)), None);
    assert_eq!(sample.error(second, &f32(f32::from_bits(1))), None);
}

#[test]
fn projections() {
    const ORDER: &str = "weights (not behind those of the op before)";
    const WEIGHTS: &str = "projection weights";
    let sample = Sample::new(&FIVE);
    let u16 = u16::to_le_bytes;
    let u32 = u32::to_le_bytes;
    let bad = |field| in_op(PROJECT, field);
    let field = |at: usize| op(PROJECT) + at;
    sample.refused(&[
        ("no stride down", field(26), [0], bad("projection stride")),
        ("no stride across", field(27), [0], bad("projection stride")),
        ("another stride", field(26), [1], bad("residual (shape or place)")),
        ("a stride for what is added as it is", op(EXPAND) + 26, [1], in_op(EXPAND, "projection stride")),
    ]);
    sample.refused(&[
        ("no stride", field(26), u16(0), bad("a reserved or unused byte")),
        ("two strides for what is added as it is", op(EXPAND) + 26, [1, 1], in_op(EXPAND, WEIGHTS)),
        ("no such input", field(6), u16(14), bad("residual")),
        ("no input", field(6), u16(65535), bad("a reserved or unused byte")),
        ("an input of other channels", field(6), u16(10), bad(WEIGHTS)),
        ("an input of another size", field(6), u16(12), bad("residual (shape or place)")),
    ]);
    let (weights, channels) = (sample.u32(field(52)), sample.u32(field(60)));
    let data_len = sample.u32(48);
    sample.refused(&[
        ("weights behind the data", field(52), u32(data_len), bad(WEIGHTS)),
        ("weights far away", field(52), u32(u32::MAX), bad(WEIGHTS)),
        ("weights, not aligned", field(52), u32(weights + 4), bad(ORDER)),
        ("weights of the convolution", field(52), u32(sample.u32(field(32))), bad(ORDER)),
        ("weights of another length", field(56), u32(64), bad(WEIGHTS)),
        ("channels behind the data", field(60), u32(data_len), bad("projection channel parameters")),
        ("channels, not aligned", field(60), u32(channels + 4), bad(ORDER)),
        ("channels of the convolution", field(60), u32(sample.u32(field(40))), bad(ORDER)),
    ]);
    // Two channels in the second block, five quads of weights a block.
    let (weights, channels) = (sample.projection_weights(PROJECT), sample.projection_channels(PROJECT));
    let padding = "weights (padding is not zero)";
    let (f32, i32) = (f32::to_le_bytes, i32::to_le_bytes);
    sample.refused(&[
        ("weight -128", weights + 4, [0x80], bad("weights (one is -128)")),
        ("weight of no channel", weights + 5 * 64 + 2 * 4, [1], bad(padding)),
        ("bias of no channel", channels + 128 + 2 * 4, [1], bad(padding)),
    ]);
    let overflow = bad("bias (an accumulator could overflow)");
    let magnitude = |quad: usize| -> i32 {
        let at = weights + quad * 64;
        sample.bytes[at..at + 4].iter().map(|&w| i32::from(w as i8).abs()).sum()
    };
    let room = i32::MAX - 128 * (0..5).map(magnitude).sum::<i32>();
    assert_eq!(sample.error(channels, &i32(-room)), None);
    sample.refused(&[
        ("multiplier NaN", channels + 64, f32(f32::NAN), bad("multiplier")),
        ("multiplier below 0", channels + 64, f32(-0.5), bad("multiplier")),
        ("bias, one too many", channels, i32(room + 1), overflow),
        ("bias, one too few", channels, i32(-room - 1), overflow),
    ]);
}

/// Inequality (4), at its edge on both sides.
#[test]
fn overflow() {
    let sample = Sample::new(&FIVE);
    let overflow = in_op(SHORTCUT, "bias (an accumulator could overflow)");
    // Channel 17: block 1, lane 1; two quads of weights a block.
    let weights = sample.weights(SHORTCUT) + 2 * 64;
    let magnitude = |quad: usize| -> i64 {
        let at = weights + quad * 64 + 4;
        sample.bytes[at..at + 4].iter().map(|&w| i64::from(w as i8).abs()).sum()
    };
    let room = i64::from(i32::MAX) - 128 * (magnitude(0) + magnitude(1));
    let bias = sample.channels(SHORTCUT) + 128 + 4;
    let i32 = |value: i64| i32::try_from(value).expect("a bias").to_le_bytes();
    assert_eq!(sample.error(bias, &i32(room)), None);
    assert_eq!(sample.error(bias, &i32(-room)), None);
    sample.refused(&[
        ("one too many", bias, i32(room + 1), overflow),
        ("one too few", bias, i32(-room - 1), overflow),
        ("largest", bias, i32::MAX.to_le_bytes(), overflow),
        ("smallest", bias, i32::MIN.to_le_bytes(), overflow),
    ]);

    // The classifier's inputs go up to 4080; class 2 has five quads of weights.
    let overflow = in_op(CLASSIFIER, "bias (an accumulator could overflow)");
    let magnitude = |quad: usize| -> i64 {
        let at = sample.weights(CLASSIFIER) + quad * 64 + 2 * 4;
        sample.bytes[at..at + 4].iter().map(|&w| i64::from(w as i8).abs()).sum()
    };
    let room = i64::from(i32::MAX) - 4080 * (0..5).map(magnitude).sum::<i64>();
    let bias = sample.channels(CLASSIFIER) + 2 * 4;
    assert_eq!(sample.error(bias, &i32(-room)), None);
    sample.refused(&[
        ("one too many for a classifier", bias, i32(room + 1), overflow),
        ("one too few for a classifier", bias, i32(-room - 1), overflow),
    ]);
}

#[test]
fn liveness() {
    let sample = Sample::new(&FIVE);
    let place = |number: usize| sample.u32(tensor(number)).to_le_bytes();
    sample.refused(&[
        ("output on the input", tensor(1), place(0), in_op(STEM, "output (overlaps the input)")),
        ("mean on its input", tensor(13), place(12), in_op(MEAN, "output (overlaps the input)")),
        ("logits on the input", 20, place(13), in_op(CLASSIFIER, "output (overlaps the input)")),
        ("input on the shortcut", tensor(5), place(3), in_op(EXPAND, "residual (shape or place)")),
        ("input on the projection's", tensor(11), place(9), in_op(PROJECT, "residual (shape or place)")),
        ("output on the projection's input", tensor(12), place(9), in_op(PROJECT, "residual (overlaps the output)")),
    ]);
    let u16 = u16::to_le_bytes;
    let gone = |op: usize, tensor| FormatError::Liveness { op: op as u16, tensor };
    let behind = |number: usize| (sample.u32(tensor(number)) + 64).to_le_bytes();
    sample.refused(&[
        ("shortcut overwritten", tensor(4), place(3), gone(EXPAND, 3)),
        ("shortcut overwritten in part", tensor(4), behind(3), gone(EXPAND, 3)),
        ("output on a part of the residual", tensor(9), behind(6), in_op(IN_PLACE, "residual (overlaps the output)")),
    ]);
    sample.refused(&[
        ("read before it is written", op(SHORTCUT) + 2, u16(4), gone(SHORTCUT, 4)),
        ("added before it is written", op(EXPAND) + 6, u16(6), gone(EXPAND, 6)),
        ("added before it is written, in place", op(EXPAND) + 6, u16(9), gone(EXPAND, 9)),
        ("read after it was overwritten", op(IN_PLACE) + 2, u16(5), gone(IN_PLACE, 5)),
        ("read after it was added to in place", op(REDUCE) + 2, u16(6), gone(REDUCE, 6)),
        ("projected after it was added to in place", op(PROJECT) + 6, u16(6), gone(PROJECT, 6)),
    ]);
    let without_stem = model::random(SMALL, &mut Random::new(9), |contents| {
        to_bytes(&Contents { ops: &contents.ops[1..], ..*contents }).err()
    });
    assert_eq!(without_stem, Some(gone(0, 1)));
}

/// Pixels are codes to a convolution's input alone.
#[test]
fn the_image_is_no_residual() {
    let layout = WeightLayout::new(3, 3, [1, 1], 1).expect("a valid shape");
    let (weights, channels) = (&pack_weights(&layout, [1, 1], &[0; 9])[..], &pack_channels(&[0; 3], &[0.0; 3])[..]);
    let image = TensorId::IMAGE;
    let residuals = [
        Residual::Identity { tensor: image, multiplier: 1.0 },
        Residual::Projection(Projection { input: image, stride: [1, 1], weights, channels }),
    ];
    for residual in residuals {
        let error = model::random(SMALL, &mut Random::new(10), |contents| {
            let tensors = [0, 256, 512].map(|offset| Tensor { offset, ..contents.tensors[0] });
            let Op::Conv(conv) = contents.ops[EXPAND].1 else { panic!("it adds a residual") };
            let first = Conv { input: image, output: TensorId(1), residual: None, weights, channels, ..conv };
            let second = Conv { input: TensorId(1), output: TensorId(2), residual: Some(residual), ..first };
            let ops = [("first", Op::Conv(first)), ("second", Op::Conv(second))];
            to_bytes(&Contents { arena_len: 768, tensors: &tensors, ops: &ops, ..*contents }).err()
        });
        assert_eq!(error, Some(in_op(1, "residual (the image has no codes)")));
    }
}
