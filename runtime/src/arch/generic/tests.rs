//! What every instruction set's tiles must do.

use cardinal_format::quant::Requantize;
use cardinal_format::weights::WeightLayout;
use cardinal_format::{Shape, Window};
use std::vec;

use super::{Isa, conv};
use crate::kernels::{ConvArgs, ResidualArgs};

/// Side, channels in and out, kernel, stride and groups of ResNeXt's convolutions.
const SHAPES: [(u32, u32, u32, u8, u8, u32); 9] = [
    (224, 3, 64, 7, 2, 1),
    (32, 3, 64, 3, 1, 1),
    (56, 64, 128, 1, 1, 1),
    (56, 256, 512, 1, 2, 1),
    (56, 128, 128, 3, 1, 32),
    (56, 256, 256, 3, 2, 32),
    (14, 512, 512, 3, 1, 32),
    (7, 1024, 1024, 3, 1, 32),
    (7, 2048, 2048, 3, 1, 32),
];

/// Nothing of a ResNeXt is left to the portable kernels.
///
/// # Safety
/// The CPU has the instruction set.
pub(crate) unsafe fn takes_every_convolution<I: Isa>() {
    for (side, cin, cout, kernel, stride, groups) in SHAPES {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [kernel / 2; 4] };
        let layout = WeightLayout::new(cin, cout, [kernel; 2], groups).expect("a valid shape");
        let input_shape = Shape { height: side, width: side, channels: cin };
        let [height, width] = window.output(side, side).expect("it fits");
        let output_shape = Shape { height, width, channels: cout };
        let args = ConvArgs {
            input: &vec![0; input_shape.volume()],
            input_shape,
            output_shape,
            first: 0,
            pixels: cin == 3,
            window,
            pad_codes: [0; 4],
            layout,
            weights: &vec![0; layout.byte_len()],
            channels: &vec![0; layout.channel_bytes()],
            requantize: Requantize::new(0, -128, 127),
            residual: ResidualArgs::None,
        };
        // SAFETY: the caller vouches for the CPU.
        unsafe {
            conv::<I>(&args, &mut vec![0; output_shape.volume()], |args, _| {
                panic!("left to the portable kernel: {:?}, {:?}", args.layout, args.window)
            });
        }
    }
}
