//! What the architectures' lists of backends are made of.

#![allow(unsafe_code, reason = "calling functions that are compiled for more than the baseline CPU")]

use crate::arch::all;
use crate::kernels::Kernels;

/// Backends of an architecture that the CPU can run, best first; the portable one is the last.
pub(crate) struct Backends<const N: usize> {
    list: [Kernels; N],
    count: usize,
}

impl<const N: usize> Backends<N> {
    /// Those whose flag is set, and the portable one in the place after them. `N` has room for it.
    pub const fn new(candidates: &[(bool, Kernels)]) -> Self {
        let (mut list, mut count, mut i) = ([all::KERNELS; N], 0, 0);
        while i < candidates.len() && count + 1 < N {
            if candidates[i].0 {
                list[count] = candidates[i].1;
                count += 1;
            }
            i += 1;
        }
        Backends { list, count: count + 1 }
    }

    pub fn all(&self) -> &[Kernels] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

/// Defines a module whose `KERNELS` are the portable ones, compiled with `$features`, but for convolutions that the tile
/// loops of `$isa` take.
macro_rules! backend {
    ($module:ident, $name:literal, $features:literal, $isa:ty) => {
        mod $module {
            use super::*;
            use crate::arch::{all, generic};
            use crate::kernels::{ConvArgs, GlobalAvgPoolArgs, Kernels, LinearArgs, MaxPoolArgs, Storage};

            const STORAGE: Storage = <$isa as generic::Isa>::STORAGE;
            const FLIP: u8 = STORAGE.flip();

            pub(super) const KERNELS: Kernels =
                Kernels { name: $name, storage: STORAGE, conv, max_pool, global_avg_pool, linear, spin: Some(spin) };

            backend!(kernel portable_conv, all::conv::<FLIP>, ConvArgs<'_>, [u8], $features);
            backend!(kernel max_pool, all::max_pool::<FLIP>, MaxPoolArgs<'_>, [u8], $features);
            backend!(kernel global_avg_pool, all::global_avg_pool::<FLIP>, GlobalAvgPoolArgs<'_>, [i16], $features);

            fn spin(rounds: u32) -> u64 {
                // SAFETY: as in the kernels above: the CPU has what `$isa` needs.
                unsafe { <$isa as generic::Isa>::spin(rounds) }
            }

            fn linear(args: &LinearArgs<'_>, logits: &mut [f32]) {
                // SAFETY: as in the kernels above: the CPU has what `$isa` needs.
                unsafe { generic::linear::<$isa>(args, logits) }
            }

            fn conv(args: &ConvArgs<'_>, output: &mut [u8]) {
                // SAFETY: as in the kernels above: the CPU has what `$isa` needs.
                unsafe { generic::conv::<$isa>(args, output, portable_conv) }
            }

            #[cfg(test)]
            #[test]
            fn tiles_take_every_convolution() {
                if available().iter().any(|kernels| kernels.name == $name) {
                    // SAFETY: `available` has seen that the CPU has the instruction set.
                    unsafe { generic::tests::takes_every_convolution::<$isa>() }
                }
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
pub(crate) use backend;
