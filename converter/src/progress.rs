//! Progress bars on standard error; hidden where that is not a terminal.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar over `len` steps with rate and time left. `what` is a participle: "calibrating".
pub fn bar(len: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len}  {rate}  {eta} left");
    // The template is a constant and valid; a plain bar is as good.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Fails only if the terminal's buffer does, and then nothing is shown anyway.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    let style = style.with_key("rate", rate);
    ProgressBar::new(len as u64).with_style(style).with_message(what)
}
