//! How deep the stack gets, by paint: memory below it is filled with a pattern, and what is overwritten was used.

#![allow(unsafe_code, reason = "memory that nothing owns, between linker symbols")]

use cortex_m::register::msp;

const PAINT: u32 = 0xCCCC_CCCC;
/// Bytes below the stack pointer that [`paint`] leaves alone: its own frame and an interrupt's.
const MARGIN: usize = 512;

/// The lowest address that the stack may reach.
fn bottom() -> *mut u32 {
    unsafe extern "C" {
        static mut __sheap: u32;
    }
    &raw mut __sheap
}

/// Paints the free part of the stack, and says where it starts.
#[inline(never)]
pub fn paint() -> usize {
    let top = msp::read() as usize;
    let mut word = bottom();
    while word.addr() < top - MARGIN {
        // SAFETY: between the end of all statics, where `__sheap` is, and the stack nothing lives; there is no heap.
        unsafe {
            word.write_volatile(PAINT);
            word = word.add(1);
        }
    }
    top
}

/// Bytes below `top` that were used since [`paint`] gave it, at least 512: what is nearer is not painted.
pub fn used_since(top: usize) -> usize {
    let mut word = bottom();
    // SAFETY: as in `paint`; reading stops at the stack at the latest, which was not painted.
    while word.addr() < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    top - word.addr()
}
