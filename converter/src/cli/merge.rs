//! `cardinal merge`.

use std::path::PathBuf;
use std::process::ExitCode;

use cardinal_converter::Error;
use cardinal_converter::evaluate::merge;

use super::eval::{Document, show};

/// Add up the shards of an evaluation
///
/// Takes the --log files of `cardinal eval --shard`. The sum is the very result that one machine would have found.
///
/// Example: cardinal merge shard-*.jsonl
#[derive(clap::Args)]
pub(super) struct Args {
    /// The logs
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// Show every class, and of up to 20 classes which was taken for which
    #[arg(long)]
    per_class: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let (header, evaluation) = merge(&args.logs)?;
    show(Document { model: None, file_bytes: header.file_bytes, evaluation }, args.per_class, args.json)
}
