//! The operations as plain loops over i64, written from the equations. Tensors are codes in height × width × channels.

use cardinal_format::{Shape, Window};

use crate::binary32::{self, Codes};

/// A convolution as PyTorch states it.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Extent of the input.
    pub input: Shape,
    /// Output channels.
    pub channels_out: usize,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups.
    pub groups: usize,
    /// `[out][in per group][kernel height][kernel width]`.
    pub weights: Vec<i8>,
    /// One per output channel.
    pub bias: Vec<i32>,
    /// One per output channel.
    pub multiplier: Vec<f32>,
    /// Code of a padded position, by channel mod 4.
    pub pad_codes: [i8; 4],
}

/// What a convolution adds before it rounds.
#[derive(Clone, Copy, Debug)]
pub enum Shortcut<'a, C> {
    /// Codes of the output's shape.
    Identity {
        /// The codes.
        codes: &'a [C],
        /// Their zero point.
        zero_point: i8,
        /// m_r.
        multiplier: f32,
    },
    /// Accumulators of another convolution.
    Projection {
        /// The convolution.
        conv: &'a Conv,
        /// What it reads.
        codes: &'a [C],
    },
}

/// Output height and width, counted: the windows that start inside and end inside the padded input.
pub fn output_size(input: Shape, window: Window) -> [usize; 2] {
    let [top, left, bottom, right] = window.padding.map(usize::from);
    let count = |size: usize, kernel: u8, stride: u8| {
        (0..size).step_by(stride.into()).filter(|start| start + usize::from(kernel) <= size).count()
    };
    [
        count(input.height as usize + top + bottom, window.kernel[0], window.stride[0]),
        count(input.width as usize + left + right, window.kernel[1], window.stride[1]),
    ]
}

/// Index of channel 0 at the input position under one tap of an output position; `None` in the padding.
fn tap(input: Shape, window: Window, [y, x]: [usize; 2], [ky, kx]: [usize; 2]) -> Option<usize> {
    let [top, left, ..] = window.padding.map(usize::from);
    let row = (y * usize::from(window.stride[0]) + ky).checked_sub(top)?;
    let column = (x * usize::from(window.stride[1]) + kx).checked_sub(left)?;
    let inside = row < input.height as usize && column < input.width as usize;
    inside.then_some((row * input.width as usize + column) * input.channels as usize)
}

impl Conv {
    /// Equation (3), for every output position and channel.
    pub fn accumulators<C: Copy + Into<i64>>(&self, codes: &[C]) -> Vec<i64> {
        let [height, width] = output_size(self.input, self.window);
        let [kernel_h, kernel_w] = self.window.kernel.map(usize::from);
        let in_per_group = self.input.channels as usize / self.groups;
        let out_per_group = self.channels_out / self.groups;
        let mut accumulators = Vec::new();
        for (y, x, n) in triples(height, width, self.channels_out) {
            let mut acc = i64::from(self.bias[n]);
            for (c, ky, kx) in triples(in_per_group, kernel_h, kernel_w) {
                let channel = n / out_per_group * in_per_group + c;
                let code = match tap(self.input, self.window, [y, x], [ky, kx]) {
                    Some(at) => codes[at + channel].into(),
                    None => i64::from(self.pad_codes[channel % 4]),
                };
                let weight = self.weights[((n * in_per_group + c) * kernel_h + ky) * kernel_w + kx];
                acc += i64::from(weight) * code;
            }
            accumulators.push(acc);
        }
        accumulators
    }

    /// Equation (5), or with a shortcut (6) or (6b).
    pub fn run<C: Copy + Into<i64>>(&self, codes: &[C], output: Codes, shortcut: Option<Shortcut<'_, C>>) -> Vec<i8> {
        let shortcut = shortcut.map(|shortcut| shortcut.terms());
        let requantize = |(i, acc)| {
            output.requantize(acc, self.multiplier[i % self.channels_out], shortcut.as_ref().map(|terms| terms[i]))
        };
        self.accumulators(codes).into_iter().enumerate().map(requantize).collect()
    }
}

impl<C: Copy + Into<i64>> Shortcut<'_, C> {
    /// What is added to each output value: an integer and its multiplier.
    fn terms(&self) -> Vec<(i64, f32)> {
        match *self {
            Shortcut::Identity { codes, zero_point, multiplier } => {
                codes.iter().map(|&code| (code.into() - i64::from(zero_point), multiplier)).collect()
            }
            Shortcut::Projection { conv, codes } => {
                let accumulators = conv.accumulators(codes).into_iter().enumerate();
                accumulators.map(|(i, acc)| (acc, conv.multiplier[i % conv.channels_out])).collect()
            }
        }
    }
}

/// Every (i, j, k) in order.
fn triples(i: usize, j: usize, k: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..i).flat_map(move |i| (0..j).flat_map(move |j| (0..k).map(move |k| (i, j, k))))
}

/// The largest code of each channel under the window.
pub fn max_pool<C: Copy + Ord>(codes: &[C], input: Shape, window: Window) -> Vec<C> {
    let [height, width] = output_size(input, window);
    let [kernel_h, kernel_w] = window.kernel.map(usize::from);
    let largest = |(y, x, channel)| {
        let taps = triples(1, kernel_h, kernel_w).filter_map(move |(_, ky, kx)| tap(input, window, [y, x], [ky, kx]));
        taps.map(|at| codes[at + channel]).max().expect("every window meets the input")
    };
    triples(height, width, input.channels as usize).map(largest).collect()
}

/// Equation (7).
pub fn global_avg_pool<C: Copy + Into<i64>>(codes: &[C], input: Shape, zero_point: i8) -> Vec<i16> {
    let channels = input.channels as usize;
    let positions = i64::from(input.height) * i64::from(input.width);
    let mean = |c: usize| {
        let sum: i64 = codes.iter().skip(c).step_by(channels).map(|&q| q.into()).sum();
        binary32::mean(sum - positions * i64::from(zero_point), positions)
    };
    (0..channels).map(mean).collect()
}
