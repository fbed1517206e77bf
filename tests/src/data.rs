//! Data that does not ship: a folder with `data/` and `checkpoints/`, in `CARDINAL_TEST_DATA` or named `shared` beside the
//! checkout.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder, if it has this file or folder; if not, says so where test output is not captured.
pub fn folder_with(needed: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("CARDINAL_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join(needed).exists() {
        return Some(folder);
    }
    let message = format!("\n*** SKIPPED: {needed} is not here (set CARDINAL_TEST_DATA) ***\n");
    std::io::stderr().write_all(message.as_bytes()).expect("standard error");
    None
}
