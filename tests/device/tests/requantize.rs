//! Equations (5) to (8) bit for bit: floats against integers.

use cardinal_device_tests::binary32::{self, Codes, Exact};
use cardinal_device_tests::strategy::cases;
use cardinal_format::quant::{QParams, Requantize, logit};
use proptest::prelude::*;

/// Where `float(acc)` begins to round, its ties, and the ends.
const ACCUMULATORS: [i32; 31] = [
    0,
    1,
    -1,
    2,
    3,
    -3,
    5,
    7,
    127,
    -128,
    255,
    1000,
    -1001,
    65_535,
    (1 << 23) - 1,
    (1 << 23) + 1,
    (1 << 24) - 1,
    1 << 24,
    (1 << 24) + 1,
    -(1 << 24) - 1,
    (1 << 24) + 2,
    (1 << 24) + 3,
    -(1 << 24) - 3,
    (1 << 25) + 2,
    (1 << 25) + 6,
    (1 << 30) + 64,
    i32::MAX,
    i32::MAX - 63,
    i32::MAX - 64,
    -i32::MAX,
    i32::MIN,
];

/// Powers of two make ties; then the neighbours of ½, fractions with all bits, subnormals, and the format's largest.
const MULTIPLIERS: [u32; 21] = [
    0x0000_0000, // 0
    0x0000_0001, // 2^-149
    0x0000_0003,
    0x0012_3457,
    0x007f_ffff, // the largest subnormal
    0x0080_0000, // the smallest normal
    0x0080_0001,
    0x2f80_0000, // 2^-32
    0x3380_0000, // 2^-24
    0x3b80_0001,
    0x3c23_d70a, // 0.01
    0x3eaa_aaab, // 1/3
    0x3e80_0000, // 1/4
    0x3eff_ffff,
    0x3f00_0000, // 1/2
    0x3f00_0001,
    0x3f80_0000, // 1
    0x3fc0_0000, // 1.5
    0x42fe_0000, // 127
    0x4b00_0001,
    0x4980_0000, // 2^20
];

const CODES: [Codes; 7] = [
    Codes { zero_point: 0, q_min: -128, q_max: 127 },
    Codes { zero_point: -128, q_min: -128, q_max: 127 },
    Codes { zero_point: 127, q_min: -128, q_max: 127 },
    Codes { zero_point: 3, q_min: 3, q_max: 127 },
    Codes { zero_point: -5, q_min: -7, q_max: -6 },
    Codes { zero_point: -128, q_min: 127, q_max: 127 },
    Codes { zero_point: 127, q_min: -128, q_max: -128 },
];

/// `code` and `code_with_residual` are what the integers say; what is added is a code or an accumulator.
fn agree(codes: &Codes, acc: i32, multiplier: f32, residual: Option<(i32, f32)>) {
    let y = Requantize::new(codes.zero_point, codes.q_min, codes.q_max);
    let code = match residual {
        None => y.code(acc, multiplier),
        Some((r, m)) => y.code_with_residual(acc, multiplier, r, m),
    };
    let exact = codes.requantize(acc.into(), multiplier, residual.map(|(r, m)| (r.into(), m)));
    assert_eq!(code, exact, "{codes:?} {acc} · {multiplier:e} + {residual:?}");
}

#[test]
fn corners() {
    for codes in &CODES {
        for acc in ACCUMULATORS {
            for multiplier in MULTIPLIERS.map(f32::from_bits) {
                agree(codes, acc, multiplier, None);
                for r in [-255, -128, -1, 0, 1, 2, 255, 16_777_217, -33_554_438, i32::MAX, i32::MIN] {
                    for residual_multiplier in MULTIPLIERS.map(f32::from_bits) {
                        agree(codes, acc, multiplier, Some((r, residual_multiplier)));
                    }
                }
            }
        }
    }
}

/// Every half step that can decide a code, with its two neighbours among floats.
#[test]
fn ties() {
    for codes in &CODES {
        for half_steps in -1200..=1200 {
            let half = f32::from_bits(0x3f00_0000);
            for multiplier in [half.next_down(), half, half.next_up()] {
                agree(codes, half_steps, multiplier, None);
                agree(codes, half_steps, multiplier, Some((1, half)));
                agree(codes, half_steps, multiplier, Some((-1, half.next_up())));
            }
        }
    }
}

#[test]
fn logits_are_one_rounded_product() {
    for acc in ACCUMULATORS {
        for multiplier in MULTIPLIERS.map(f32::from_bits) {
            let exact = binary32::logit(acc.into(), multiplier);
            assert_eq!(Exact::float(logit(acc, multiplier)), exact, "{acc} · {multiplier:e}");
        }
    }
}

#[test]
fn every_code_survives_its_real_value() {
    for scale in [f32::MIN_POSITIVE, 1e-20, 0.003, 0.1, 1.0, 3.7, 1e30] {
        for zero_point in i8::MIN..=i8::MAX {
            let p = QParams { scale, zero_point };
            for code in i8::MIN..=i8::MAX {
                assert_eq!(p.quantize(p.dequantize(code)), code, "{p:?}");
            }
            assert_eq!(p.dequantize(zero_point), 0.0);
        }
    }
}

/// Any multiplier that a file may hold: 0 … 2^20, each exponent as likely as another.
fn multiplier() -> impl Strategy<Value = f32> {
    (0..=0x4980_0000u32).prop_map(f32::from_bits)
}

/// An accumulator, its multiplier, and what is added: on a tie of codes or one float beside it, where every rounding on
/// the way decides.
fn near_ties() -> impl Strategy<Value = (i32, f32, Option<(i32, f32)>)> {
    let residual = prop_oneof![
        (-255..=255, 0.0f32..2.0),
        // Another accumulator, and a multiplier that brings it to the range of codes.
        (any::<i32>(), 0.0f32..300.0).prop_map(|(acc, steps)| (acc, steps / (acc as f32).abs().max(1.0))),
    ];
    let residual = prop::option::of(residual);
    (1..=i32::MAX, 0u32..31, -300..300, residual, -1..=1).prop_map(|(acc, shift, code, residual, beside)| {
        let acc = (acc >> shift).max(1);
        let added = residual.map_or(0.0, |(r, m)| f64::from(r) * f64::from(m));
        let steps = f64::from(code) + 0.5 - added;
        let multiplier = (steps.abs() / f64::from(acc)) as f32;
        let multiplier = f32::from_bits(multiplier.to_bits().saturating_add_signed(beside));
        (if steps < 0.0 { -acc } else { acc }, multiplier, residual)
    })
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn any_numbers(
        (zero_point, a, b) in any::<(i8, i8, i8)>(),
        (acc, m, residual) in prop_oneof![
            3 => near_ties(),
            1 => (any::<i32>(), multiplier(), prop::option::of((-255..=255, multiplier()))),
            1 => (any::<i32>(), multiplier(), prop::option::of((any::<i32>(), multiplier()))),
        ],
    ) {
        let codes = Codes { zero_point, q_min: a.min(b), q_max: a.max(b) };
        agree(&codes, acc, m, residual);
        let wide = Codes { zero_point, q_min: -128, q_max: 127 };
        agree(&wide, acc, m, residual);
        prop_assert_eq!(Exact::float(logit(acc, m)), binary32::logit(acc.into(), m));
    }

    #[test]
    fn quantize_is_the_nearest_code(scale in 1e-6f32..1e3, zero_point in any::<i8>(), steps in -300.0f64..300.0) {
        let p = QParams { scale, zero_point };
        let real = (steps * f64::from(scale)) as f32;
        let code = p.quantize(real);
        let error = |code: i8| (f64::from(real) / f64::from(scale) - f64::from(code) + f64::from(zero_point)).abs();
        // A float32 quotient decides ties, so two codes may be equally near up to its rounding.
        for other in [code.saturating_sub(1), code.saturating_add(1)] {
            prop_assert!(error(code) <= error(other) + 1e-4, "{:?} {} {}", p, real, code);
        }
    }
}
