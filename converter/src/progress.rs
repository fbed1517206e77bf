//! Progress bars on standard error; hidden where that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `len` steps with rate and time left. `what` is a participle: "calibrating".
pub fn bar(len: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    // The template is a constant and valid; a plain bar is as good.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style).with_message(what)
}
