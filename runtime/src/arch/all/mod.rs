//! The portable backend: safe Rust that says what the arithmetic is, written so that the compiler vectorizes it. Every
//! other backend equals it bit for bit.
//!
//! Everything here is `inline(always)`: another architecture's module can compile it once more with more CPU features.

mod conv;
mod linear;
mod pool;
mod sums;

pub(crate) use conv::conv;
pub(crate) use linear::linear;
pub(crate) use pool::{global_avg_pool, max_pool};

use crate::kernels::Kernels;

pub(crate) const KERNELS: Kernels = Kernels { name: "portable", conv, max_pool, global_avg_pool, linear };
