//! Kernels by architecture. `all` is portable and is the oracle; `unsafe` is allowed under the others only.

pub(crate) mod all;

// An architecture's own kernels. Without an operating system nobody can ask the CPU, so there the compiler's target must
// have the instructions.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod aarch64;
#[cfg(any(
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")),
))]
pub(crate) mod generic;
#[cfg(feature = "mmap")]
pub(crate) mod mapped;
#[cfg(thumb_dsp)]
mod thumb;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
mod x86_64;

use crate::kernels::Kernels;

/// The backends that this build has and this CPU can run, best first.
#[allow(unreachable_code, reason = "where an architecture has its own, the portable one is among them")]
pub(crate) fn available() -> &'static [Kernels] {
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    return aarch64::available();
    #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
    return x86_64::available();
    #[cfg(thumb_dsp)]
    return thumb::available();
    &[all::KERNELS]
}

/// The first of them.
pub(crate) fn best() -> Kernels {
    #[cfg(thumb_dsp)]
    let best = thumb::BEST;
    #[cfg(not(thumb_dsp))]
    let best = available().first().copied().unwrap_or(all::KERNELS);
    best
}
