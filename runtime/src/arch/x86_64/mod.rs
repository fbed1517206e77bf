//! x86-64. Codes are stored biased, as bytes 0…255: the dot products multiply unsigned bytes by signed weights.

#![allow(unsafe_code, reason = "instructions beyond the baseline CPU")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant size, by indices below it")]

mod avx2;
mod avx512vnni;
mod avxvnni;
mod prepared;
mod ymm;

use super::generic::backend::{Backends, backend};
use crate::kernels::Kernels;

/// All of these, best first, by what the CPU has.
const fn candidates(avx2: bool, avxvnni: bool, avx512vnni: bool) -> [(bool, Kernels); 3] {
    [(avx2 && avx512vnni, vnni512::KERNELS), (avx2 && avxvnni, vnni256::KERNELS), (avx2, exact256::KERNELS)]
}

/// The backends that this CPU can run, best first; without an operating system, those that the compiler's target has.
pub(crate) fn available() -> &'static [Kernels] {
    #[cfg(feature = "std")]
    {
        use std::arch::is_x86_feature_detected as has;
        static FOUND: std::sync::OnceLock<Backends<4>> = std::sync::OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let avx512vnni = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni");
            Backends::new(&candidates(has!("avx2"), has!("avxvnni"), avx512vnni))
        });
        found.all()
    }
    #[cfg(not(feature = "std"))]
    {
        const AVX512_VNNI: bool = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vl",
            target_feature = "avx512vnni",
        ));
        static FOUND: Backends<4> =
            Backends::new(&candidates(cfg!(target_feature = "avx2"), cfg!(target_feature = "avxvnni"), AVX512_VNNI));
        FOUND.all()
    }
}

backend!(exact256, "avx2", "avx2", avx2::Avx2);
backend!(vnni256, "avxvnni", "avx2,avxvnni", avxvnni::AvxVnni);
backend!(vnni512, "avx512vnni", "avx2,avx512f,avx512bw,avx512vl,avx512vnni", avx512vnni::Avx512Vnni);
