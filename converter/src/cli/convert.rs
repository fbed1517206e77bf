//! `cardinal convert`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::architecture::Architecture;
use cardinal_converter::auto::Trial;
use cardinal_converter::calibrate::{Options, Recipe, State};
use cardinal_converter::convert::{Report, convert_resuming, identity};
use cardinal_converter::images::Dataset;
use cardinal_converter::{Error, import, output, report};
use serde::Serialize;

use super::settings::SettingsArgs;
use super::{bytes, percent, print, print_json};

/// Convert a trained ResNeXt to an int8 .cardinal file
///
/// Example: cardinal convert resnext50_32x4d.pth --calib imagenet/train -o resnext50.cardinal
#[derive(clap::Args)]
pub(super) struct Args {
    /// The checkpoint: .pth (zip or legacy form), .safetensors or .onnx
    checkpoint: PathBuf,
    /// Images to calibrate with: a folder per class, mosaics, or a plain folder; labels are not used
    #[arg(long, value_name = "DIR")]
    calib: PathBuf,
    /// File to write [default: the checkpoint's name with .cardinal, in this folder]
    #[arg(short, long, value_name = "MODEL")]
    output: Option<PathBuf>,
    /// Images to draw from --calib, spread over its classes [default: 512; for small networks up to 2048]
    #[arg(long, value_name = "N")]
    calib_images: Option<usize>,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// How int8 is reached: auto, or steps joined by "+"
    ///
    /// auto tries what can help and keeps what measurably does, on calibration images held out for it; what it kept is in the
    /// report, in this notation.
    ///
    /// The first step chooses the ranges of activations: min-max, moving-average, percentile (99.99 %), entropy (least
    /// Kullback-Leibler divergence), mse (least squared error) or sensitivity (mse, by what the logits are sensitive to).
    /// Then, if wanted: rounding (weights together, for the inputs that were seen, and biases corrected), clipping (of
    /// weights, by least squared error), equalize=0.5 (activation channels made alike in size: 0 not at all, 1 wholly), and
    /// LAYER:entropy (another range for one layer)
    #[arg(long, default_value = "auto", value_name = "METHOD", value_parser = method)]
    method: Choice,
    /// Keep what was seen and tried in this file, and go on from it if a run was cut; it is removed at the end
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// What the checkpoint must be, by name (as resnext50-32x4d): anything else is refused
    #[arg(long, value_name = "NAME")]
    arch: Option<Architecture>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write a page too (HTML, one file): sizes, every layer's error, activations, weights, memory and time as charts
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    output: &'a Path,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let output = args.output.clone().unwrap_or_else(|| {
        let name = args.checkpoint.file_stem().unwrap_or("model".as_ref());
        Path::new(name).with_extension("cardinal")
    });
    if let (Ok(a), Ok(b)) = (output.canonicalize(), args.checkpoint.canonicalize())
        && a == b
    {
        return Err(Error::Usage(format!("{} is the checkpoint itself: choose another --output", output.display())));
    }
    if let Some(report) = &args.report {
        let others = [Some(&args.checkpoint), Some(&output), args.resume.as_ref()];
        output::check(&[report], &others.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>())?;
    }
    let imported = import::read(&args.checkpoint, &args.settings.settings()?)?;
    eprintln!("{}: {}", args.checkpoint.display(), imported.summary);
    if imported.leaves_averaged {
        eprintln!("the file holds averaged weights (EMA) too: --ema takes them");
    }
    if let Some(wanted) = &args.arch
        && imported.summary.0 != *wanted
    {
        return Err(Error::Usage(format!(
            "{}: is {}, not the {wanted} that --arch asks for",
            args.checkpoint.display(),
            imported.summary
        )));
    }
    let images = Dataset::open(&args.calib, [imported.graph.image.height, imported.graph.image.width])?;
    let options = Options { images: args.calib_images, seed: args.seed, recipe: args.method.0.clone() };
    let state = match &args.resume {
        Some(path) => State::open(path, identity(&imported, &images, &options))?,
        None => State::none(),
    };
    let converted = convert_resuming(&imported, &images, &options, state)?;
    for sign in &converted.report.signs {
        eprintln!("warning: {sign}");
    }
    output::write(&output, &converted.bytes)?;
    if let Some(path) = &args.report {
        output::write(path, report::conversion(&imported, &images, &converted, &output)?.as_bytes())?;
    }
    if args.json {
        print_json("cardinal.convert/1", &Document { output: &output, report: &converted.report })?;
    } else {
        print(&text(&output, &converted.report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A recipe, or none for what helps.
#[derive(Clone)]
struct Choice(Option<Recipe>);

fn method(text: &str) -> Result<Choice, String> {
    if text == "auto" { Ok(Choice(None)) } else { text.parse().map(|recipe| Choice(Some(recipe))) }
}

fn text(output: &Path, report: &Report) -> String {
    let mut text = String::new();
    let [height, width, channels] = report.input;
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    row("wrote", output.display().to_string());
    row("network", format!("{}, input {height}×{width}×{channels}, {} classes", report.network, report.classes));
    row("size", format!("{} (float32 weights: {})", bytes(report.file_bytes as u64), bytes(report.float_bytes)));
    row("arena", bytes(report.arena_bytes as u64));
    row("multiply-adds", format!("{:.1} M an image", report.multiply_adds as f64 / 1e6));
    let record = &report.calibration;
    row("calibration", format!("{} images, {}, seed {}", record.images, record.method, record.seed));
    let tried = |trial: &Trial| {
        let kept = if trial.kept { " ← kept" } else { "" };
        format!("{:.2} dB  {}{kept}", trial.logit_sqnr_db, trial.name)
    };
    report.trials.iter().for_each(|trial| row("tried", tried(trial)));
    for layer in &report.costly_layers {
        row("costly", format!("{}: {:.1} dB if only this layer were int8", layer.name, layer.logit_sqnr_db));
        layer.tried.iter().for_each(|trial| row("", tried(trial)));
    }
    row("agreement", format!("{} with float on the calibration images", percent(report.agreement)));
    row("logit SQNR", format!("{:.1} dB", report.logit_sqnr_db));
    let weakest: Vec<String> = report.weakest_layers.iter().map(|(name, db)| format!("{name} {db:.1} dB")).collect();
    row("weakest", weakest.join(", "));
    text
}
