//! The chosen board's memory map for the linker, and where model and golden file are for the programs.

use std::path::PathBuf;
use std::{env, fs};

const BOARDS: [&str; 5] = ["mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "pico2"];

fn main() {
    let chosen =
        |board: &&&str| env::var_os(format!("CARGO_FEATURE_{}", board.to_uppercase().replace('-', "_"))).is_some();
    let chosen: Vec<&&str> = BOARDS.iter().filter(chosen).collect();
    let [board] = chosen[..] else {
        panic!("choose one board: --features with one of {}", BOARDS.join(", "));
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it"));
    let script = |name: &str| {
        let path = format!("memory/{name}.x");
        println!("cargo::rerun-if-changed={path}");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let mut memory = script(board) + &script("sections");
    let mut arguments = vec!["-Tlink.x", "--nmagic"];
    if env::var_os("CARGO_FEATURE_NO_PANIC").is_some() {
        memory += &script("no_panic");
    } else {
        arguments.push("-Tdefmt.x");
    }
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-env=BOARD={board}");

    for (variable, default) in
        [("CARDINAL_GOLDEN", "assets/cifar10-micro.golden"), ("CARDINAL_MODEL", "assets/cifar10-micro.cardinal")]
    {
        println!("cargo::rerun-if-env-changed={variable}");
        let path = env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from);
        let path = fs::canonicalize(&path).unwrap_or_else(|error| panic!("{variable}: {}: {error}", path.display()));
        println!("cargo::rustc-env={variable}={}", path.display());
    }
}
