//! The command in a folder of its own.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A scratch folder with the tiny network, its settings, and a folder of images.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        for (from, to) in [("tiny_zip.pth", "tiny.pth"), ("tiny.toml", "tiny.toml")] {
            std::fs::copy(fixture(from), dir.path().join(to)).expect("the fixture is there");
        }
        let images = dir.path().join("images");
        for (class, shade) in ["a", "b", "c", "d", "e"].iter().zip([0u8, 60, 120, 180, 240]) {
            let folder = images.join(class);
            std::fs::create_dir_all(&folder).expect("a folder");
            for i in 0..4u8 {
                let image = image::RgbImage::from_fn(20, 18, |x, y| {
                    image::Rgb([shade.wrapping_add((x * 7) as u8), shade ^ (y * 11) as u8, shade.wrapping_mul(i | 1)])
                });
                image.save(folder.join(format!("{i}.png"))).expect("a picture");
            }
        }
        Scratch(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn cardinal(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("cardinal").expect("the command is built");
        command.current_dir(self.0.path()).args(args);
        command
    }

    /// Runs to success and gives standard output.
    pub fn succeed(&self, args: &[&str]) -> String {
        let output = self.cardinal(args).assert().success().get_output().stdout.clone();
        String::from_utf8(output).expect("UTF-8")
    }

    /// Runs to failure and gives standard error.
    pub fn fail(&self, args: &[&str]) -> String {
        let output = self.cardinal(args).assert().failure().get_output().clone();
        assert!(output.stdout.is_empty(), "{args:?} failed, but wrote {:?}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    pub fn model(&self) -> String {
        self.succeed(&["convert", "tiny.pth", "--calib", "images"]);
        "tiny.cardinal".into()
    }

    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("one JSON document on standard output")
}
