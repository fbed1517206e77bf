//! Commands: one file each. Words go to standard error, results to standard output.

mod bench;
mod convert;
mod demo;
mod eval;
mod golden;
mod inspect;
mod merge;
mod models;
mod parity;
mod predict;
mod settings;
mod sources;
mod target;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cardinal_converter::units::{bytes, percent};
use cardinal_converter::{Error, host};
use cardinal_runtime::{Mapped, kernels};
use clap::{Parser, Subcommand};
use serde::Serialize;

/// int8 ResNeXt image classifiers for small machines
///
/// Turn a trained ResNeXt (.pth, .safetensors or .onnx) into one small int8 file, classify images with it, and measure
/// what the conversion cost. Start with `cardinal demo`.
#[derive(Parser)]
#[command(name = "cardinal", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads to use; default: one per core. Results never depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Kernels that run int8 models, one of those that this CPU has; default: the fastest, or the environment variable
    /// CARDINAL_BACKEND. Results never depend on it
    #[arg(long, global = true, value_name = "NAME")]
    backend: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Args),
    Inspect(inspect::Args),
    Models(models::Args),
    Predict(predict::Args),
    Eval(eval::Args),
    Merge(merge::Args),
    Parity(parity::Args),
    Golden(golden::Args),
    Bench(bench::Args),
    Demo(demo::Args),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(threads) = cli.threads {
        // Fails only if the pool exists already, which it does not.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let chosen = cli.backend.map(|name| ("--backend", name));
    let chosen = chosen.or_else(|| Some((BACKEND, std::env::var(BACKEND).ok()?)));
    let result = chosen.map_or(Ok(()), |(said_by, name)| choose(said_by, &name)).and_then(|()| match cli.command {
        Command::Convert(args) => convert::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Parity(args) => parity::run(&args),
        Command::Golden(args) => golden::run(&args),
        Command::Bench(args) => bench::run(&args, cli.threads.unwrap_or(1)),
        Command::Demo(args) => demo::run(&args),
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The environment variable that names a backend.
const BACKEND: &str = "CARDINAL_BACKEND";

/// Has int8 models run by the backend of this name.
fn choose(said_by: &str, name: &str) -> Result<(), Error> {
    let backends = kernels::available();
    let found = backends.iter().find(|kernels| kernels.name == name);
    let names = || backends.iter().map(|kernels| kernels.name).collect::<Vec<_>>().join(", ");
    host::choose(*found.ok_or_else(|| Error::Usage(format!("{said_by}: {name:?} is none of {}", names())))?);
    Ok(())
}

/// Says on standard error what went wrong. Errors quote names out of files, which are of any length and may hold escape
/// sequences: neither may reach the terminal.
fn complain(error: &Error) {
    const LONGEST: usize = 4000;
    let mut shown = String::new();
    for c in error.to_string().chars().take(LONGEST) {
        match c {
            '\n' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    eprintln!("error: {shown}");
}

/// Writes a result to standard output. A reader that closes the pipe early (`| head`) has what it wanted.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}

/// Writes a result as one JSON object; `schema` names its version.
fn print_json(schema: &str, value: &impl Serialize) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        schema: &'a str,
        #[serde(flatten)]
        value: &'a T,
    }
    let text = serde_json::to_string_pretty(&Document { schema, value });
    print(&(text.map_err(|error| Error::Usage(error.to_string()))? + "\n"))
}

fn read(path: &Path) -> Result<Mapped, Error> {
    Mapped::open(path).map_err(Error::io(path))
}
