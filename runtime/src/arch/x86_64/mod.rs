//! x86-64. For now the portable kernels, compiled once more with AVX2, where the compiler vectorizes them four times as
//! wide; hand-written kernels take their places here one by one.

#![allow(unsafe_code, reason = "calling a function that is compiled for more than the baseline CPU")]

use super::all;
use crate::kernels::{ConvArgs, GlobalAvgPoolArgs, Kernels, LinearArgs, MaxPoolArgs};

const AVX2: Kernels = Kernels { name: "avx2", conv, max_pool, global_avg_pool, linear };

/// The backends that this CPU can run, best first.
pub(crate) fn available() -> &'static [Kernels] {
    if std::arch::is_x86_feature_detected!("avx2") { &[AVX2, all::KERNELS] } else { &[all::KERNELS] }
}

/// Defines a kernel `$name` that runs the portable one with AVX2.
macro_rules! avx2 {
    ($name:ident, $portable:path, $args:ty, $output:ty) => {
        fn $name(args: &$args, output: &mut $output) {
            #[target_feature(enable = "avx2")]
            fn with_avx2(args: &$args, output: &mut $output) {
                $portable(args, output);
            }
            // SAFETY: the callee is safe but for needing AVX2. This function is private, and its address leaves the
            // module only in `AVX2`, which `available` gives out after it has seen that the CPU has AVX2.
            unsafe { with_avx2(args, output) }
        }
    };
}

avx2!(conv, all::conv, ConvArgs<'_>, [i8]);
avx2!(max_pool, all::max_pool, MaxPoolArgs<'_>, [i8]);
avx2!(global_avg_pool, all::global_avg_pool, GlobalAvgPoolArgs<'_>, [i8]);
avx2!(linear, all::linear, LinearArgs<'_>, [f32]);
