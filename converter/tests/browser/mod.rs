//! Chromium, where there is one, as CI images and distributions have it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use image::RgbImage;
use tempfile::TempDir;

/// The browser; if there is none, says so where test output is not captured.
pub fn browser() -> Option<&'static str> {
    let runs = |name: &&str| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs);
    if found.is_none() {
        let message = b"\n*** SKIPPED: how pages look: there is no Chromium here ***\n";
        std::io::stderr().write_all(message).expect("standard error");
    }
    found
}

/// Runs it on a page without a window, and gives its standard output.
fn run(browser: &str, page: &Path, args: &[&str]) -> String {
    const QUIET: [&str; 8] = [
        "--headless",
        "--no-sandbox", // Else not as root.
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ];
    let profile = TempDir::new().expect("a temporary folder");
    let output = Command::new(browser)
        .args(QUIET)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A page in a window of this width, for a reader who prefers light or dark.
pub fn screenshot(browser: &str, page: &Path, width: u32, dark: bool) -> RgbImage {
    let file = page.with_extension("png");
    let (to, size) = (format!("--screenshot={}", file.display()), format!("--window-size={width},4000"));
    let scheme = if dark { 0 } else { 1 };
    run(browser, page, &[&to, &size, &format!("--blink-settings=preferredColorScheme={scheme}")]);
    image::open(&file).expect("a picture").to_rgb8()
}

/// How many pixels a page is wider than a window of this width, with all of it opened.
pub fn overflow(browser: &str, page: &Path, width: u32) -> i64 {
    let text = std::fs::read_to_string(page).expect("a page");
    let policy = text.find("<meta http-equiv").expect("a policy that forbids the script below");
    let end = policy + text[policy..].find('>').expect("its end") + 1;
    let script = "<script>for (const part of document.querySelectorAll('details')) part.open = true;\
        const root = document.documentElement; parent.postMessage(root.scrollWidth - root.clientWidth, '*')</script>";
    let inner = page.with_file_name("inner.html");
    std::fs::write(&inner, format!("{}{}{script}", &text[..policy], &text[end..])).expect("written");
    let outer = page.with_file_name("outer.html");
    let frame = format!(
        "<script>onmessage = event => document.body.dataset.wider = event.data</script>\
         <iframe src=\"inner.html\" style=\"width: {width}px; height: 900px; border: 0\"></iframe>"
    );
    std::fs::write(&outer, frame).expect("written");
    let said = run(browser, &outer, &["--virtual-time-budget=5000", "--dump-dom"]);
    let (_, rest) = said.split_once("data-wider=\"").expect("an answer");
    rest.split('"').next().and_then(|number| number.parse().ok()).expect("a number")
}
