//! Runs the command on one hostile file after the other, under a limit of memory and of time.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use rayon::prelude::*;
use tempfile::TempDir;

/// Address space of the command, in KiB. The good files need a third; what is left covers what the readers' own limits
/// allow a hostile one: the values of a pickle of four million steps, or 256 MiB of metadata in an image.
const MEMORY_KIB: usize = 600_000;

/// Far more than any of these files needs, on any machine. It bounds what hangs and measures nothing.
const TIME: Duration = Duration::from_secs(20);

/// A hostile file.
pub struct Row {
    /// What is wrong with it; no two rows of a table are alike.
    pub what: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Files beside it.
    pub beside: Vec<(String, Vec<u8>)>,
    /// Symbolic links beside it, where the system has them.
    pub links: Vec<(String, String)>,
    /// Words that the error must have.
    pub says: String,
}

/// A file on its own.
pub fn row(what: impl Into<String>, bytes: impl Into<Vec<u8>>, says: impl Into<String>) -> Row {
    Row { what: what.into(), bytes: bytes.into(), beside: Vec::new(), links: Vec::new(), says: says.into() }
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder with images to calibrate with, and a converted network.
pub struct Bench(TempDir);

impl Bench {
    pub fn new() -> Self {
        let bench = Bench(TempDir::new().expect("a temporary folder"));
        for (class, shade) in ["a", "b", "c", "d", "e"].iter().zip([0u8, 60, 120, 180, 240]) {
            let folder = bench.path("images").join(class);
            std::fs::create_dir_all(&folder).expect("a folder");
            let image = image::RgbImage::from_fn(20, 18, |x, y| {
                image::Rgb([shade.wrapping_add((x * 7) as u8), shade ^ (y * 11) as u8, shade])
            });
            image.save(folder.join("0.png")).expect("a picture");
        }
        let folder = bench.folder("model", "tiny.pth", &fixture("tiny_zip.pth"));
        let output =
            bench.cardinal(&folder, &["convert", "tiny.pth", "--calib", "../images", "-o", "../tiny.cardinal"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        bench
    }

    /// The bytes of the converted network, which lies in the parent of every row's folder.
    pub fn model(&self) -> Vec<u8> {
        std::fs::read(self.path("tiny.cardinal")).expect("it was written")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new folder with a file, and settings beside it that answer every question.
    fn folder(&self, name: &str, file: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir(&folder).expect("a new folder");
        std::fs::write(folder.join(file), bytes).expect("written");
        std::fs::write(folder.join(file).with_extension("toml"), fixture("tiny.toml")).expect("written");
        folder
    }

    /// The command in `folder`, within bounds. How many threads a machine has must not decide what they take.
    fn cardinal(&self, folder: &Path, args: &[&str]) -> Output {
        let program = Command::cargo_bin("cardinal").expect("the command is built").get_program().to_owned();
        let mut command = if cfg!(target_os = "linux") {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"")).arg(program);
            shell
        } else {
            Command::new(program)
        };
        command.args(["--threads", "2"]).args(args).current_dir(folder).env_remove("RUST_BACKTRACE").timeout(TIME);
        command.output().expect("the command starts")
    }

    /// These bytes are no problem, within the same bounds.
    pub fn accept(&self, file: &str, args: &[&str], bytes: &[u8]) {
        let folder = self.folder("good", file, bytes);
        let output = self.cardinal(&folder, args);
        assert_eq!(output.status.code(), Some(0), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    /// Every row's bytes, as a file of this name, are refused by the command with these arguments; the good ones are not.
    pub fn refuse(&self, file: &str, args: &[&str], good: &[u8], rows: Vec<Row>) {
        self.accept(file, args, good);
        assert!(rows.len() >= 20, "only {} rows", rows.len());
        let failures: Vec<String> = rows
            .par_iter()
            .enumerate()
            .filter_map(|(number, row)| self.problem(number, file, args, row).map(|why| format!("{}: {why}", row.what)))
            .collect();
        assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
        let names: std::collections::HashSet<&str> = rows.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(names.len(), rows.len(), "two rows have one name");
    }

    /// What is not as it has to be when the command meets a row.
    fn problem(&self, number: usize, file: &str, args: &[&str], row: &Row) -> Option<String> {
        let folder = self.folder(&number.to_string(), file, &row.bytes);
        for (name, bytes) in &row.beside {
            std::fs::write(folder.join(name), bytes).expect("written");
        }
        #[cfg(unix)]
        for (name, target) in &row.links {
            std::os::unix::fs::symlink(target, folder.join(name)).expect("a link");
        }
        let before = files(&folder);
        let output = self.cardinal(&folder, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let after = files(&folder);
        std::fs::remove_dir_all(&folder).expect("removed");

        let error = stderr.find("error: ").map_or("", |at| &stderr[at..]);
        let shown: String = stderr.chars().take(1000).collect();
        if output.status.code() != Some(1) {
            return Some(format!("ended with {}: {shown:?}", output.status));
        }
        if !output.stdout.is_empty() {
            return Some(format!("wrote {:?}", String::from_utf8_lossy(&output.stdout)));
        }
        if !error.contains(file) || !error.contains(&row.says) {
            return Some(format!("expected {:?} of {file} in {shown:?}", row.says));
        }
        if stderr.len() > 5000 || stderr.contains('\x1b') {
            return Some(format!("the error is {} bytes, or steers a terminal: {shown:?}", stderr.len()));
        }
        (before != after).then(|| format!("left {after:?} where {before:?} was"))
    }
}

/// The names in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// `bytes` with `value` at byte `at`.
pub fn patched(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}
