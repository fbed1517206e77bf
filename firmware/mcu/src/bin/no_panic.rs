//! A proof, not a program to run: that verifying and running a model cannot panic, with any backend and for any bytes.
//!
//! Its panic handler calls a function that does not exist. It links only if the compiler has found that no panic is reachable,
//! knowing neither model, arena nor image. Where it does not link, give the linker `--defsym=a_panic_is_reachable=0`
//! (`-C link-arg`) and look for the callers of `core::panicking` in the disassembly.

#![no_std]
#![no_main]

use core::hint::black_box;

use cardinal_runtime::{Model, RuntimeError, Session, kernels, top_k};
use cortex_m as _; // Its vectors.
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: [u8; 1024] = [0; 1024];
    loop {
        for &backend in kernels::available() {
            black_box(classify(black_box(&[]), black_box(ARENA), black_box(&[]), black_box(backend)).is_ok());
        }
    }
}

/// What every program does with the runtime.
#[inline(never)]
fn classify(model: &[u8], arena: &mut [u8], pixels: &[u8], backend: kernels::Kernels) -> Result<(), RuntimeError> {
    let model = Model::new(model)?;
    let mut session = Session::with_kernels(model, arena, backend)?;
    for (to, from) in session.image_mut().iter_mut().zip(pixels) {
        *to = *from;
    }
    for prediction in top_k::<3>(session.run()) {
        black_box((prediction.score, model.label(prediction.class)));
    }
    Ok(())
}

#[allow(unsafe_code, reason = "declares a function that nobody defines")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe extern "C" {
        safe fn a_panic_is_reachable() -> !;
    }
    a_panic_is_reachable()
}
