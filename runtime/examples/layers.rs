//! Runs a model once, on made-up pixels: `layers MODEL [BACKEND]`.
//!
//! Prints the backend, a line of name and multiply-adds for every layer, and the checksum of the logits, which is the same
//! on every machine and backend. Before the first layer and after each, `layer_mark` is called: an emulator that counts
//! instructions (`tests/peers/instructions.py`) sees there where a layer ends.

use std::hint::black_box;
use std::process::ExitCode;

use cardinal_runtime::format::layout::{ALIGN, CRC32};
use cardinal_runtime::{Model, Session, kernels};

/// The place that an emulator looks for.
#[inline(never)]
fn layer_mark(layer: usize) {
    black_box(layer);
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: layers MODEL [BACKEND]")?;
    let backend = args.next();
    let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let model = Model::new(&bytes).map_err(|error| format!("{path}: {error}"))?;

    let mut available = kernels::available().iter();
    let kernels = available
        .find(|kernels| backend.as_ref().is_none_or(|name| kernels.name == name))
        .ok_or_else(|| format!("{}: no backend of this CPU", backend.unwrap_or_default()))?;
    let mut buffer = vec![0; model.arena_len() + ALIGN];
    let start = buffer.as_ptr().align_offset(ALIGN);
    let mut session =
        Session::with_kernels(model, &mut buffer[start..], *kernels).map_err(|error| format!("{path}: {error}"))?;
    let mut state = 1u32;
    for pixel in session.image_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *pixel = (state >> 24) as u8;
    }

    let mut layer = 0;
    layer_mark(layer);
    let logits = session.run_observed(|_| {
        layer += 1;
        layer_mark(layer);
    });
    println!("{}", kernels.name);
    for (name, op) in model.file().ops() {
        println!("{name} {}", model.file().multiply_adds(&op));
    }
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    println!("{:08x}", CRC32.checksum(&bytes));
    Ok(())
}
