//! Kernels by architecture. `all` is portable and is the oracle; `unsafe` is allowed under the others only.

pub(crate) mod all;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) mod generic;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86_64;

use crate::kernels::Kernels;

/// The backends that this build has and this CPU can run, best first.
pub(crate) fn available() -> &'static [Kernels] {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    return x86_64::available();
    #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
    return &[all::KERNELS];
}
