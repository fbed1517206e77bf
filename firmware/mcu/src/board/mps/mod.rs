//! The four machines of QEMU: Arm's MPS2 and MPS3 FPGA boards.
//!
//! QEMU counts instructions (`-icount shift=6`: 64 ns each) on the board's counter; nothing here knows cycles.

#![allow(unsafe_code, reason = "device registers and linker symbols have addresses only")]

use cardinal_runtime::format::Shape;
use defmt_semihosting as _;

use crate::Exit;
use crate::camera::Camera;

mod still;
mod watchdog;

pub use watchdog::Watchdog;

/// The registers FPGAIO: section "FPGA system control and I/O" of the board's application note.
const FPGAIO: usize = if cfg!(feature = "mps2-an505") {
    0x5030_2000
} else if cfg!(feature = "mps3-an547") {
    0x5930_2000
} else {
    0x4002_8000
};
/// Counts a second.
const COUNTER_HZ: u64 = if cfg!(any(feature = "mps2-an505", feature = "mps3-an547")) { 20_000_000 } else { 25_000_000 };
/// COUNTER.
const COUNTER: *const u32 = (FPGAIO + 0x18) as *const u32;
/// PRESCALE: what COUNTER is divided by, less one.
const PRESCALE: *mut u32 = (FPGAIO + 0x1C) as *mut u32;

/// What [`elapsed`] counts.
pub const UNIT: &str = "instructions";

/// Frames until a loop ends, so that tests do.
pub const FRAMES: u32 = 13;

/// The board, running.
pub struct Board(());

/// Starts the clock.
pub fn start() -> Board {
    // SAFETY: all four machines have this register at this address; it has no effect but on COUNTER.
    unsafe { PRESCALE.write_volatile(0) };
    Board(())
}

impl Board {
    /// A camera, and the watchdog, both yet to be started. These boards have no camera: it sees `scene`, an image of `shape`,
    /// and faults. With the argument `stall`, it stops answering in the end.
    pub fn into_camera_and_watchdog(self, scene: &[u8], shape: Shape) -> (impl Camera, Watchdog) {
        (still::camera(memory(), scene, shape), Watchdog)
    }
}

/// The clock.
pub fn now() -> u32 {
    // SAFETY: all four machines have this register at this address; reading it has no effect.
    unsafe { COUNTER.read_volatile() }
}

/// Instructions between two readings of the clock, less than 2 · 10⁹ apart: 64 ns each.
pub fn elapsed(from: u32, to: u32) -> u32 {
    (u64::from(to.wrapping_sub(from)) * (1_000_000_000 / 64) / COUNTER_HZ) as u32
}

/// Ends the program: QEMU exits with this code.
pub fn exit(how: Exit) -> ! {
    semihosting::process::exit(how as i32)
}

/// The board's memory beside RAM, as `memory.x` declares it; empty but for the first call.
pub fn memory() -> &'static mut [u8] {
    use core::sync::atomic::{AtomicBool, Ordering};
    unsafe extern "C" {
        static mut __memory_start: u8;
        static mut __memory_end: u8;
    }
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return &mut [];
    }
    let (start, end) = (&raw mut __memory_start, &raw mut __memory_end);
    // SAFETY: the symbols bound a memory of the board in which the linker puts nothing, and this is the only reference to
    // it, since `TAKEN` lets one call come here. Any byte is a u8.
    unsafe { core::slice::from_raw_parts_mut(start, end.addr() - start.addr()) }
}
