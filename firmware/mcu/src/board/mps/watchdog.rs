//! The watchdog of the four machines: Arm's CMSDK APB watchdog, which QEMU models. When it has counted down it raises the
//! non-maskable interrupt, and that ends the program.

use cortex_m_rt::exception;

use super::exit;
use crate::Exit;
use crate::board::WATCHDOG_MS;

/// Where its registers are. The SSE-200 and SSE-300 subsystems have it on the 32 kHz clock.
const BASE: usize = if cfg!(feature = "mps2-an505") {
    0x5002_E000
} else if cfg!(feature = "mps3-an547") {
    0x5802_E000
} else {
    0x4000_8000
};
/// Counts a second.
const HZ: u32 = if cfg!(any(feature = "mps2-an505", feature = "mps3-an547")) { 32_768 } else { 25_000_000 };
/// WDOGLOAD: a write starts the countdown from there.
const LOAD: *mut u32 = BASE as *mut u32;
/// WDOGCONTROL: bit 0 lets it count and interrupt.
const CONTROL: *mut u32 = (BASE + 0x08) as *mut u32;

/// Ends the program with [`Exit::Watchdog`] if it is not fed in time.
pub struct Watchdog;

impl Watchdog {
    /// Lets it count.
    pub fn start(&mut self) {
        self.feed();
        // SAFETY: all four machines have this register at this address; what its interrupt does is defined below.
        unsafe { CONTROL.write_volatile(1) };
    }

    /// Starts the countdown anew: eight seconds.
    pub fn feed(&self) {
        // SAFETY: all four machines have this register at this address; it has no effect but on the countdown.
        unsafe { LOAD.write_volatile(HZ / 1000 * WATCHDOG_MS) };
    }
}

#[exception]
unsafe fn NonMaskableInt() {
    defmt::error!("the watchdog was not fed for {=u32} ms", WATCHDOG_MS);
    exit(Exit::Watchdog)
}
