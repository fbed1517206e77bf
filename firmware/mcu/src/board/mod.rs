//! Boards: what a program needs to know of the one that it is built for.
//!
//! Each has `exit`, `now` (a clock of `TICKS` a tick, below) and `memory`, its memory beside RAM.

#[cfg(feature = "qemu")]
mod mps;

#[cfg(feature = "qemu")]
pub use mps::*;

/// The board's name.
pub const NAME: &str = env!("BOARD");
