//! `cardinal convert`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_calib::Method;
use cardinal_converter::architecture::Architecture;
use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::{Report, convert};
use cardinal_converter::images::Dataset;
use cardinal_converter::{Error, import, output};
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
    /// Images to draw from --calib, spread over its classes
    #[arg(long, value_name = "N", default_value_t = Options::default().images)]
    calib_images: usize,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// How scales and weights are found: auto tries what can help on the calibration images and keeps what does; mse (least
    /// squared error) and min-max are thresholds alone, with the nearest weights
    #[arg(long, default_value = "auto", value_name = "auto|mse|min-max", value_parser = method)]
    method: (Method, bool),
    /// What the checkpoint must be, by name (as resnext50-32x4d): anything else is refused
    #[arg(long, value_name = "NAME")]
    arch: Option<Architecture>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
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
    let (method, refine) = args.method;
    let options = Options { images: args.calib_images, seed: args.seed, method, refine };
    let converted = convert(&imported, &images, options)?;
    output::write(&output, &converted.bytes)?;
    if args.json {
        print_json("cardinal.convert/1", &Document { output: &output, report: &converted.report })?;
    } else {
        print(&text(&output, &converted.report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Thresholds, and whether to look for more.
fn method(name: &str) -> Result<(Method, bool), String> {
    match name {
        "auto" => Ok((Options::default().method, true)),
        name => name.parse().map(|method| (method, false)).map_err(|_| "expected auto, mse or min-max".into()),
    }
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
    for trial in &report.trials {
        let kept = if trial.kept { " ← kept" } else { "" };
        row("tried", format!("{:.1} dB  {}{kept}", trial.logit_sqnr_db, trial.name));
    }
    row("agreement", format!("{} with float on the calibration images", percent(report.agreement)));
    row("logit SQNR", format!("{:.1} dB", report.logit_sqnr_db));
    let weakest: Vec<String> = report.weakest_layers.iter().map(|(name, db)| format!("{name} {db:.1} dB")).collect();
    row("weakest", weakest.join(", "));
    text
}
