//! `cardinal parity`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::engine::{ModelFile, Network};
use cardinal_converter::import::{self, Settings};
use cardinal_converter::parity::{Findings, Gate, Gates, Opinion, Parity, Recording, Reference, is_recording, junit};
use cardinal_converter::report::{self, Compared};
use cardinal_converter::{Error, output};
use serde::Serialize;

use super::eval::{beside_network, labelled};
use super::settings::SettingsArgs;
use super::{percent, print, print_json};

/// Prove that a .cardinal file is as accurate as its float network
///
/// Both run over the same labelled images: top-1 of both with a paired 95 % interval of the drop, agreement, SQNR of the
/// logits and of every layer, the largest change of a probability, and the images that changed class. The exit code is 1 if
/// a limit (--max-drop, --min-agreement, --min-sqnr) is crossed; results are written in any case. converter/PARITY.md tells
/// what the numbers mean.
///
/// Example: cardinal parity resnext50.cardinal --reference resnext50_32x4d.pth --data imagenet/val --max-drop 0.5
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model: .cardinal
    model: PathBuf,
    /// The float side: the checkpoint that the model was made from (.pth, .safetensors or .onnx; runs in float32), or a
    /// recording of it made by tests/reference/record.py
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// The labelled images: a folder of class folders, of mosaics, or of what --annotations lists
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which images, and their classes: a file and a class number a line, as mmpretrain's val.txt
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Images, spread over the classes, to compare every layer on; a recording says itself which it has
    #[arg(long, value_name = "N", default_value_t = 16)]
    layer_images: usize,
    /// Let images count that the model was calibrated with
    #[arg(long)]
    allow_calibration_images: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write JUnit XML too, for CI systems
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page too (HTML, one file): the numbers as charts, and pictures of the images that changed class
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    gates: GateArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Gates (exit code 1 when crossed)")]
struct GateArgs {
    /// Largest drop of top-1, percentage points
    #[arg(long, value_name = "POINTS", value_parser = hundred, allow_negative_numbers = true)]
    max_drop: Option<f64>,
    /// Least share of images whose best class is the same, percent
    #[arg(long, value_name = "PERCENT", value_parser = hundred)]
    min_agreement: Option<f64>,
    /// Least SQNR of the logits, decibels
    #[arg(long, value_name = "DB", value_parser = finite, allow_negative_numbers = true)]
    min_sqnr: Option<f64>,
}

/// The JSON document, schema `cardinal.parity/1`.
#[derive(Serialize)]
struct Document<'a> {
    /// The model, as it was given.
    model: &'a Path,
    model_sha256: String,
    reference: ReferenceFile<'a>,
    #[serde(flatten)]
    findings: &'a Findings,
    gates: &'a [Gate],
    /// Whether no gate is crossed.
    passed: bool,
}

#[derive(Serialize)]
struct ReferenceFile<'a> {
    /// As it was given.
    file: &'a Path,
    kind: &'static str,
    sha256: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let outputs: Vec<&Path> = args.junit.iter().chain(&args.report).map(PathBuf::as_path).collect();
    output::check(&outputs, &[&args.model, &args.reference])?;
    let file = ModelFile::open(&args.model, &Settings::default())?;
    let ModelFile::Cardinal(..) = file else {
        return Err(Error::Usage(format!(
            "{}: is a checkpoint; give the .cardinal file that was made from it, and the checkpoint as --reference",
            args.model.display()
        )));
    };
    let network = file.network(None)?;
    let images = labelled(&args.data, args.annotations.as_deref(), &network)?;
    let (reference, sha256) = open_reference(args, &network)?;
    let parity = Parity {
        network: &network,
        images: &images,
        reference: &reference,
        layer_images: args.layer_images,
        allow_calibration_images: args.allow_calibration_images,
    };
    let findings = parity.run()?;
    let GateArgs { max_drop, min_agreement, min_sqnr } = args.gates;
    let gates = Gates { max_drop, min_agreement, min_sqnr }.check(&findings);
    let passed = gates.iter().all(|gate| gate.passed);
    let text = text(&findings, &gates);
    let kind = match reference {
        Reference::Network(_) => "checkpoint",
        Reference::Recording(_) => "recording",
    };
    let (model, model_sha256) = (args.model.as_path(), file.sha256());
    let page = match &args.report {
        Some(path) => {
            let compared = Compared {
                model,
                model_sha256: &model_sha256,
                reference: &args.reference,
                reference_kind: kind,
                reference_sha256: &sha256,
            };
            Some((path, report::parity(&parity, &findings, &gates, &compared)?))
        }
        None => None,
    };
    if args.json {
        let reference = ReferenceFile { file: &args.reference, kind, sha256 };
        let document = Document { model, model_sha256, reference, findings: &findings, gates: &gates, passed };
        print_json("cardinal.parity/1", &document)?;
    } else {
        print(&text)?;
    }
    if let Some(path) = &args.junit {
        output::write(path, junit(&findings, &gates, &text).as_bytes())?;
    }
    if let Some((path, page)) = page {
        output::write(path, page.as_bytes())?;
    }
    for gate in gates.iter().filter(|gate| !gate.passed) {
        eprintln!("error: {}", gate.sentence());
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The float side and the SHA-256 of its file.
fn open_reference<'a>(args: &Args, network: &Network<'_>) -> Result<(Reference<'a>, String), Error> {
    let settings = args.settings.settings()?;
    if !is_recording(&args.reference)? {
        let imported = import::read(&args.reference, &settings.or(network.settings.clone()))?;
        let float = beside_network(&args.model, &imported, network)?;
        return Ok((Reference::Network(Box::new(float)), imported.source.sha256));
    }
    if settings != Settings::default() {
        return Err(Error::Usage(format!(
            "{}: a recording has its own settings; flags for a checkpoint do not apply",
            args.reference.display()
        )));
    }
    let recording = Recording::open(&args.reference)?;
    let sha256 = recording.sha256.clone();
    Ok((Reference::Recording(Box::new(recording)), sha256))
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "expected a number".into())
}

fn hundred(text: &str) -> Result<f64, String> {
    finite(text).ok().filter(|value| (0.0..=100.0).contains(value)).ok_or_else(|| "expected 0 to 100".into())
}

/// Images that changed class and are shown; JSON has all.
const SHOWN: usize = 20;

/// What people read.
fn text(findings: &Findings, gates: &[Gate]) -> String {
    let Findings { images, top1, layers, largest_probability_change: largest, changed, .. } = findings;
    let mut text = format!("{:<28}{:>12}  {:>12}\n", format!("{images} images"), "float32", "int8");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:<28}{:>12}  {:>12}", "top-1", percent(top1.float), percent(top1.int8));
    let mut row = |name: &str, value: String| _ = writeln!(text, "{name:<28}{value}");
    let [low, high] = top1.interval_points;
    row("drop", format!("{:.2} points, 95 % interval {low:.2} to {high:.2}", top1.drop_points));
    row("", "(adjusted Wald for paired proportions, Agresti & Min 2005)".into());
    let p = top1.mcnemar_p;
    let p = if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") };
    let (float, int8) = (top1.counts.only_float, top1.counts.only_int8);
    row("right in one only", format!("{float} in float32, {int8} in int8; exact McNemar {p}"));
    row("agreement", percent(findings.agreement));
    row("logit SQNR", format!("{:.1} dB", findings.logit_sqnr_db));
    let class = name(largest.class, largest.label.as_deref());
    let (float, int8) = (largest.float, largest.int8);
    row("largest probability change", format!("{:.4} of {class}: {float:.4} → {int8:.4}", largest.change));
    row("", largest.image.clone());
    if !layers.compared.is_empty() {
        let _ = writeln!(text, "\n{:<28}{:>12}", format!("layer, {} images", layers.images), "SQNR");
    }
    for layer in &layers.compared {
        let _ = writeln!(text, "{:<28}{:>9.1} dB", layer.name, layer.sqnr_db);
    }
    if !layers.missing.is_empty() {
        let _ = writeln!(text, "not in the reference: {}", layers.missing.join(", "));
    }
    let images = if changed.len() == 1 { "image" } else { "images" };
    let _ = writeln!(text, "\n{} {images} changed class", changed.len());
    if !changed.is_empty() {
        let _ = writeln!(text, "{:<24}{:<24}{:<24}image", "label", "float32", "int8");
    }
    let opinion = |side: &Opinion| format!("{} {:.3}", name(side.class, side.label.as_deref()), side.score);
    for image in changed.iter().take(SHOWN) {
        let label = name(image.class, image.label.as_deref());
        let (float, int8) = (opinion(&image.float), opinion(&image.int8));
        let _ = writeln!(text, "{label:<24}{float:<24}{int8:<24}{}", image.image);
    }
    if changed.len() > SHOWN {
        let _ = writeln!(text, "and {} more: --json has all", changed.len() - SHOWN);
    }
    for (i, gate) in gates.iter().enumerate() {
        let _ = writeln!(text, "{}{}", if i == 0 { "\n" } else { "" }, gate.sentence());
    }
    text
}

/// A class's label, or its number.
fn name(class: usize, label: Option<&str>) -> String {
    label.map_or_else(|| class.to_string(), str::to_owned)
}
