//! x86-64. Codes are stored biased, as bytes 0…255: the dot products multiply unsigned bytes by signed weights.

#![allow(unsafe_code, reason = "calling functions that are compiled for more than the baseline CPU")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant size, by indices below it")]

mod avx2;
mod avx512vnni;
mod avxvnni;
mod ymm;

use std::sync::OnceLock;

use super::{all, generic};
use crate::kernels::{Kernels, Storage};

/// How these backends store codes.
const BIASED: u8 = Storage::Biased.flip();

/// The backends that this CPU can run, best first.
pub(crate) fn available() -> &'static [Kernels] {
    use std::arch::is_x86_feature_detected as has;
    static BACKENDS: OnceLock<([Kernels; 4], usize)> = OnceLock::new();
    let (backends, count) = BACKENDS.get_or_init(|| {
        let avx2 = has!("avx2");
        let avx512vnni = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni");
        let candidates = [
            (avx512vnni, vnni512::KERNELS),
            (avx2 && has!("avxvnni"), vnni256::KERNELS),
            (avx2, exact256::KERNELS),
            (true, all::KERNELS),
        ];
        let (mut backends, mut count) = ([all::KERNELS; 4], 0);
        for (_, kernels) in candidates.into_iter().filter(|(can_run, _)| *can_run) {
            backends[count] = kernels;
            count += 1;
        }
        (backends, count)
    });
    &backends[..*count]
}

/// Defines a module whose `KERNELS` are the portable ones, compiled with `$features`, but for convolutions that the tile
/// loops of `$isa` take.
macro_rules! backend {
    ($module:ident, $name:literal, $features:literal, $isa:ty) => {
        mod $module {
            use super::*;
            use crate::kernels::{ConvArgs, GlobalAvgPoolArgs, LinearArgs, MaxPoolArgs};

            pub(super) const KERNELS: Kernels =
                Kernels { name: $name, storage: Storage::Biased, conv, max_pool, global_avg_pool, linear, spin: Some(spin) };

            backend!(kernel portable_conv, all::conv::<BIASED>, ConvArgs<'_>, [u8], $features);
            backend!(kernel max_pool, all::max_pool::<BIASED>, MaxPoolArgs<'_>, [u8], $features);
            backend!(kernel global_avg_pool, all::global_avg_pool::<BIASED>, GlobalAvgPoolArgs<'_>, [i16], $features);
            backend!(kernel linear, all::linear, LinearArgs<'_>, [f32], $features);

            fn spin(rounds: u32) -> u64 {
                // SAFETY: as in the kernels above: the CPU has what `$isa` needs.
                unsafe { <$isa as generic::Isa>::spin(rounds) }
            }

            fn conv(args: &ConvArgs<'_>, output: &mut [u8]) {
                // SAFETY: as in the kernels above: the CPU has what `$isa` needs.
                unsafe { generic::conv::<$isa>(args, output, portable_conv) }
            }
        }
    };
    (kernel $name:ident, $portable:expr, $args:ty, $output:ty, $features:literal) => {
        fn $name(args: &$args, output: &mut $output) {
            #[target_feature(enable = $features)]
            fn compiled(args: &$args, output: &mut $output) {
                $portable(args, output);
            }
            // SAFETY: the callee is safe but for needing its features. This function is private, and its address leaves
            // the module only in `KERNELS`, which `available` gives out after it has seen that the CPU has them all.
            unsafe { compiled(args, output) }
        }
    };
}

backend!(exact256, "avx2", "avx2", avx2::Avx2);
backend!(vnni256, "avxvnni", "avx2,avxvnni", avxvnni::AvxVnni);
backend!(vnni512, "avx512vnni", "avx2,avx512f,avx512bw,avx512vl,avx512vnni", avx512vnni::Avx512Vnni);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{ConvArgs, ResidualArgs};
    use cardinal_format::quant::Requantize;
    use cardinal_format::weights::WeightLayout;
    use cardinal_format::{Shape, Window};
    use std::vec;

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
    #[test]
    fn tiles_take_every_convolution() {
        fn never(_: &ConvArgs<'_>, _: &mut [u8]) {
            panic!("left to the portable kernel");
        }
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
            let output = &mut vec![0; output_shape.volume()][..];
            for kernels in available() {
                // SAFETY: `available` has seen that the CPU has the instruction set.
                unsafe {
                    match kernels.name {
                        "avx512vnni" => generic::conv::<avx512vnni::Avx512Vnni>(&args, output, never),
                        "avxvnni" => generic::conv::<avxvnni::AvxVnni>(&args, output, never),
                        "avx2" => generic::conv::<avx2::Avx2>(&args, output, never),
                        _ => continue,
                    }
                }
            }
        }
    }
}
