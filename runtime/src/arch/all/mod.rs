//! The portable backend: safe Rust that says what the arithmetic is, written so that the compiler vectorizes it. Every
//! other backend equals it bit for bit.

mod conv;
mod linear;
mod pool;

use crate::kernels::Kernels;

pub(crate) const KERNELS: Kernels = Kernels {
    name: "portable",
    conv: conv::conv,
    max_pool: pool::max_pool,
    global_avg_pool: pool::global_avg_pool,
    linear: linear::linear,
};
