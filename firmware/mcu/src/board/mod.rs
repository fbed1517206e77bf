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

/// The flash that is kept for a model: the region MODEL of the board's memory map.
#[allow(unsafe_code, reason = "linker symbols have addresses only")]
pub fn model_flash() -> &'static [u8] {
    unsafe extern "C" {
        static __model_start: u8;
        static __model_end: u8;
    }
    let (start, end) = (&raw const __model_start, &raw const __model_end);
    // SAFETY: the symbols bound flash of the board in which the linker puts nothing and to which no program writes. Any byte
    // is a u8.
    unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
}
