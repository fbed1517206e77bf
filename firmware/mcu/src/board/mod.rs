//! Boards: what a program needs to know of the one that it is built for.
//!
//! Each has [`start`], which gives a [`Board`], `now` (a clock; [`elapsed`] counts [`UNIT`]s between two readings), [`exit`] and
//! [`FRAMES`]. Those of QEMU also have `memory`, which lies beside RAM.

#[cfg(feature = "qemu")]
mod mps;
#[cfg(feature = "pico2")]
mod pico2;

#[cfg(feature = "qemu")]
pub use mps::*;
#[cfg(feature = "pico2")]
pub use pico2::*;

/// The board's name.
pub const NAME: &str = env!("BOARD");

/// Milliseconds that a started watchdog waits for to be fed.
const WATCHDOG_MS: u32 = 8000;
