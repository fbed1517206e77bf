//! Sets `thumb_dsp` and `thumb_mve` where the compiler's target has these instructions: `rustc` knows both features, but
//! shows programs neither on its stable channel.

use std::env;

/// Cores with the DSP extension, and those with MVE (Helium) too.
const DSP: [&str; 6] = ["cortex-m4", "cortex-m7", "cortex-m33", "cortex-m35p", "cortex-m52", "cortex-m55"];
const MVE: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(thumb_dsp, thumb_mve)");
    let target = env::var("TARGET").unwrap_or_default();
    if !target.starts_with("thumb") {
        return;
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // `-Ctarget-cpu=x` and `-C target-cpu=x` alike.
    let options = || flags.split('\x1f').map(|flag| flag.strip_prefix("-C").unwrap_or(flag).trim());
    let cpu = options().filter_map(|option| option.strip_prefix("target-cpu=")).next_back().unwrap_or("generic");
    let features =
        options().filter_map(|option| option.strip_prefix("target-feature=")).flat_map(|list| list.split(','));
    let mut mve = MVE.contains(&cpu);
    // ARMv7E-M is ARMv7-M with the extension.
    let mut dsp = mve || DSP.contains(&cpu) || target.starts_with("thumbv7em");
    for feature in features {
        match feature {
            "+dsp" => dsp = true,
            "-dsp" => (dsp, mve) = (false, false),
            "+mve" | "+mve.fp" => (dsp, mve) = (true, true),
            "-mve" | "-mve.fp" => mve = false,
            _ => {}
        }
    }
    // Requantization is float32: the kernels need the FPU's registers.
    let float = env::var("CARGO_CFG_TARGET_ABI").is_ok_and(|abi| abi == "eabihf");
    if dsp && float {
        println!("cargo::rustc-cfg=thumb_dsp");
        if mve {
            println!("cargo::rustc-cfg=thumb_mve");
        }
    }
}
