//! The portable backend: safe Rust that says what the arithmetic is, written so that the compiler vectorizes it. Every
//! other backend equals it bit for bit.
//!
//! `FLIP` is the backend's [`Storage::flip`]: other backends take these kernels for what they have none of their own for.
//!
//! Everything here is `inline(always)`: another architecture's module can compile it once more with more CPU features.

mod conv;
pub(crate) mod linear;
pub(crate) mod pool;
mod sums;

pub(crate) use conv::conv;
pub(crate) use linear::linear;
pub(crate) use pool::{global_avg_pool, max_pool};

use crate::kernels::{ConvArgs, Kernels, Storage};

/// Of [`Storage::Signed`].
pub(crate) const SIGNED: u8 = Storage::Signed.flip();

pub(crate) const KERNELS: Kernels = Kernels {
    name: "portable",
    storage: Storage::Signed,
    conv: portable_conv,
    max_pool: max_pool::<SIGNED>,
    global_avg_pool: global_avg_pool::<SIGNED>,
    linear,
    spin: None,
};

/// By itself, for all that fall back on it: on a microcontroller, it is the largest function of a program.
#[inline(never)]
fn portable_conv(args: &ConvArgs<'_>, output: &mut [u8]) {
    conv::<SIGNED>(args, output);
}
