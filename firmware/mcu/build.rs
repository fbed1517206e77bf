//! The chosen board's memory map for the linker, and the model's arena size for the programs.

use std::path::{Path, PathBuf};
use std::{env, fs};

const BOARDS: [&str; 5] = ["mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "pico2"];

/// Where a `.cardinal` file states its arena length: FORMAT.md, section "Header".
const ARENA_LEN_AT: usize = 16;

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

    let asset = |variable: &str, default: &str| {
        println!("cargo::rerun-if-env-changed={variable}");
        let path = env::var_os(variable).map_or_else(|| Path::new(default).to_owned(), PathBuf::from);
        let path = fs::canonicalize(&path).unwrap_or_else(|error| panic!("{variable}: {}: {error}", path.display()));
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-env={variable}={}", path.display());
        path
    };
    asset("CARDINAL_GOLDEN", "assets/cifar10-micro.golden");
    let model = fs::read(asset("CARDINAL_MODEL", "assets/cifar10-micro.cardinal")).expect("the model can be read");
    // A file that is no model is built in too: the programs say what is wrong with it. CARDINAL_ARENA leaves room for another
    // model than this one, where that is flashed apart.
    let header = if model.starts_with(b"CARDINAL") { &model[..] } else { &[] };
    let len = header.get(ARENA_LEN_AT..).and_then(|rest| rest.first_chunk());
    let arena = len.map_or(0, |len| u32::from_le_bytes(*len));
    println!("cargo::rerun-if-env-changed=CARDINAL_ARENA");
    let arena = env::var("CARDINAL_ARENA").unwrap_or_else(|_| arena.to_string());
    println!("cargo::rustc-env=ARENA_LEN={arena}");
}
