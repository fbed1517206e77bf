//! Random numbers for one layer: any, and the largest that a file may hold.

use crate::binary32::Codes;
use crate::random::Random;

/// Which numbers a case is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Any, scaled so that most codes are no bound.
    Random,
    /// Weights ±127, inputs −128 and 127, biases up to inequality (4).
    Saturating,
    /// As Saturating, but weights of which the largest byte times two, or times four, come to just below or just above
    /// 2¹⁵: ±32, ±64 and ±65.
    Brim,
}

/// The largest magnitude of an int8 code.
pub const INT8: i64 = 128;
/// The largest magnitude of a mean's code.
pub const MEAN: i64 = 4080;

/// The biggest |bias| that inequality (4) leaves for these weights and inputs up to `largest`.
fn bias_room(weights: &[i8], largest: i64) -> i64 {
    i64::from(i32::MAX) - largest * weights.iter().map(|&w| i64::from(w).abs()).sum::<i64>()
}

/// Weights, bias and multiplier for `channels_out` channels of `terms` weights each, for inputs up to `largest`.
pub fn parameters(
    random: &mut Random,
    [channels_out, terms]: [usize; 2],
    largest: i64,
    fill: Fill,
) -> (Vec<i8>, Vec<i32>, Vec<f32>) {
    // All weights of a few neighbouring inputs are of one kind, in all channels.
    let kinds: Vec<usize> = (0..terms.div_ceil(8)).map(|_| random.below(4)).collect();
    let weight = |random: &mut Random, term: usize| match fill {
        Fill::Random => random.weight(),
        Fill::Saturating => random.pick(&[-127, 127]),
        Fill::Brim => match kinds[term / 8] {
            0 => random.pick(&[-32, 32]),
            1 => random.pick(&[-32, 32, 33]),
            2 => random.pick(&[-64, 64]),
            _ => random.pick(&[-65, -64, 64, 65]),
        },
    };
    let mut weights: Vec<i8> = (0..channels_out * terms).map(|i| weight(random, i % terms)).collect();
    let (mut bias, mut multiplier) = (Vec::new(), Vec::new());
    for channel in weights.chunks_exact_mut(terms) {
        if fill == Fill::Saturating && random.below(2) == 0 {
            // All of one sign: with inputs of one sign, the sum goes as far as it can.
            channel.fill(random.pick(&[-127, 127]));
        }
        let room = bias_room(channel, largest);
        bias.push(match fill {
            Fill::Random => i32::from(random.bits() as i16),
            Fill::Saturating | Fill::Brim => random.pick(&[-room, room, 0]) as i32,
        });
        multiplier.push(match random.below(4) {
            0 => 2f32.powi(random.below(14) as i32 - 16),
            1 if fill == Fill::Saturating => random.fraction() / 16_777_216.0,
            _ => random.multiplier(terms),
        });
    }
    (weights, bias, multiplier)
}

/// What a layer reads.
pub fn input_codes(random: &mut Random, len: usize, fill: Fill) -> Vec<i8> {
    let same = random.below(2) == 0;
    let one = random.pick(&[-128, 127]);
    let code = |random: &mut Random| match fill {
        Fill::Random => random.code(),
        Fill::Saturating | Fill::Brim if same => one,
        Fill::Saturating | Fill::Brim => random.pick(&[-128, 127]),
    };
    (0..len).map(|_| code(random)).collect()
}

/// What a classifier reads.
pub fn mean_codes(random: &mut Random, len: usize, fill: Fill) -> Vec<i16> {
    let code = |code: i8, random: &mut Random| match fill {
        Fill::Random => i16::from(code) * 16 + i16::from(random.code()),
        Fill::Saturating | Fill::Brim => MEAN as i16 * i16::from(code.signum()),
    };
    input_codes(random, len, fill).into_iter().map(|c| code(c, random)).collect()
}

/// All codes, or a ReLU, or a narrow band.
pub fn bounds(random: &mut Random) -> Codes {
    let zero_point = random.code();
    let (a, b) = (random.code(), random.code());
    let (q_min, q_max) = random.pick(&[(-128, 127), (zero_point, 127), (a.min(b), a.max(b))]);
    Codes { zero_point, q_min, q_max }
}
