//! What the programs of `src/bin` have in common: boards, the program's model, measurements, and what happens when
//! something goes wrong.
//!
//! Every program ends with one of the codes of [`Exit`]; under QEMU they reach the shell.

#![no_std]

pub mod board;
pub mod camera;
pub mod classes;
pub mod golden;
#[cfg(feature = "qemu")]
pub mod host;
pub mod measure;
pub mod model;
pub mod random;
pub mod stack;

use cortex_m as _; // Its critical section, which defmt needs.
use cortex_m_rt::{ExceptionFrame, exception};

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked to do.
    Done = 0,
    /// Results are not what they must be.
    Wrong = 1,
    /// The model's bytes are no model that this program can run.
    Model = 2,
    /// The model needs a larger arena than there is.
    Arena = 3,
    /// A file of the host cannot be read, or is not what it should be.
    Input = 4,
    /// The camera's frames cannot become the model's image.
    Camera = 5,
    /// The watchdog was not fed.
    Watchdog = 6,
    /// A bug: a panic.
    Panic = 101,
    /// A bug: a fault.
    Fault = 102,
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    defmt::error!("panic: {}", defmt::Display2Format(info));
    board::exit(Exit::Panic)
}

#[allow(unsafe_code, reason = "cortex-m-rt asks for it: the handler may be entered at any time")]
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("fault at {=u32:#x}", frame.pc());
    board::exit(Exit::Fault)
}
