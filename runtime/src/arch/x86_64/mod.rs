//! x86-64. For now the portable kernels, compiled once more for wider vectors; hand-written kernels take their places
//! here one by one.

#![allow(unsafe_code, reason = "calling functions that are compiled for more than the baseline CPU")]

use super::all;
use crate::kernels::Kernels;

/// The backends that this CPU can run, best first.
pub(crate) fn available() -> &'static [Kernels] {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx2") {
        &[avx512::KERNELS, avx2::KERNELS, all::KERNELS]
    } else if has!("avx2") {
        &[avx2::KERNELS, all::KERNELS]
    } else {
        &[all::KERNELS]
    }
}

/// Defines a module whose `KERNELS` are the portable ones, compiled with `$features`.
macro_rules! compiled_for {
    ($name:ident, $features:literal) => {
        mod $name {
            use super::all;
            use crate::kernels::{ConvArgs, GlobalAvgPoolArgs, Kernels, LinearArgs, MaxPoolArgs};

            pub(super) const KERNELS: Kernels =
                Kernels { name: stringify!($name), conv, max_pool, global_avg_pool, linear };

            compiled_for!(kernel conv, ConvArgs<'_>, [i8], $features);
            compiled_for!(kernel max_pool, MaxPoolArgs<'_>, [i8], $features);
            compiled_for!(kernel global_avg_pool, GlobalAvgPoolArgs<'_>, [i16], $features);
            compiled_for!(kernel linear, LinearArgs<'_>, [f32], $features);
        }
    };
    (kernel $name:ident, $args:ty, $output:ty, $features:literal) => {
        fn $name(args: &$args, output: &mut $output) {
            #[target_feature(enable = $features)]
            fn compiled(args: &$args, output: &mut $output) {
                all::$name(args, output);
            }
            // SAFETY: the callee is safe but for needing its features. This function is private, and its address leaves
            // the module only in `KERNELS`, which `available` gives out after it has seen that the CPU has them all.
            unsafe { compiled(args, output) }
        }
    };
}

compiled_for!(avx2, "avx2");
compiled_for!(avx512, "avx2,avx512f,avx512bw,avx512vl");
