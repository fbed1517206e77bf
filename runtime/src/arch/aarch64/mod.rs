//! 64-bit ARM. Codes are stored as they are: all dot products multiply signed bytes by signed weights.

#![allow(unsafe_code, reason = "instructions beyond the baseline CPU")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant size, by indices below it")]

mod dotprod;
mod i8mm;
mod neon;
mod vectors;

use super::generic::backend::{Backends, backend};
use crate::kernels::Kernels;

/// All of these, best first, by what the CPU has.
const fn candidates(dotprod: bool, i8mm: bool) -> [(bool, Kernels); 3] {
    [(dotprod && i8mm, products::KERNELS), (dotprod, dots::KERNELS), (true, baseline::KERNELS)]
}

/// The backends that this CPU can run, best first; without an operating system, those that the compiler's target has.
pub(crate) fn available() -> &'static [Kernels] {
    #[cfg(feature = "std")]
    {
        use std::arch::is_aarch64_feature_detected as has;
        static FOUND: std::sync::OnceLock<Backends<4>> = std::sync::OnceLock::new();
        FOUND.get_or_init(|| Backends::new(&candidates(has!("dotprod"), has!("i8mm")))).all()
    }
    #[cfg(not(feature = "std"))]
    {
        static FOUND: Backends<4> =
            Backends::new(&candidates(cfg!(target_feature = "dotprod"), cfg!(target_feature = "i8mm")));
        FOUND.all()
    }
}

backend!(baseline, "neon", "neon", neon::Neon);
backend!(dots, "dotprod", "neon,dotprod", dotprod::DotProd);
backend!(products, "i8mm", "neon,dotprod,i8mm", i8mm::I8mm);
