//! A grouped 3×3 convolution as most runtimes compute it: for each group, windows are copied into the rows of a matrix,
//! which is multiplied by the group's weights. Plain Rust; the same requantization.

use std::hint::black_box;

use cardinal_runtime::format::quant::Requantize;

/// A convolution of stride 1 with as many outputs as inputs, padded by one.
pub struct Conv {
    side: usize,
    channels: usize,
    groups: usize,
    input: Vec<i8>,
    /// Output channels × 9 × inputs per group.
    weights: Vec<i8>,
    multiplier: Vec<f32>,
}

impl Conv {
    pub fn new(side: usize, channels: usize, groups: usize) -> Self {
        let number = |i: usize| (i * 31 % 251) as u8 as i8;
        Conv {
            side,
            channels,
            groups,
            input: (0..side * side * channels).map(number).collect(),
            weights: (0..channels * 9 * channels / groups).map(number).collect(),
            multiplier: vec![0.001; channels],
        }
    }

    pub fn run(&self, output: &mut [i8]) {
        let (side, width) = (self.side, self.channels / self.groups);
        let (terms, requantize) = (9 * width, black_box(Requantize::new(-128, -128, 127)));
        let mut windows = vec![-128; side * side * terms];
        for group in 0..self.groups {
            for (place, window) in windows.chunks_exact_mut(terms).enumerate() {
                for (tap, to) in window.chunks_exact_mut(width).enumerate() {
                    let (y, x) = ((place / side + tap / 3).wrapping_sub(1), (place % side + tap % 3).wrapping_sub(1));
                    if y < side && x < side {
                        to.copy_from_slice(&self.input[(y * side + x) * self.channels + group * width..][..width]);
                    }
                }
            }
            for (place, window) in windows.chunks_exact(terms).enumerate() {
                for channel in group * width..(group + 1) * width {
                    let weights = &self.weights[channel * terms..][..terms];
                    let sum = window.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
                    output[place * self.channels + channel] = requantize.code(sum, self.multiplier[channel]);
                }
            }
        }
    }
}
