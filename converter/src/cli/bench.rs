//! `cardinal bench`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::timing::{Effort, Times};
use cardinal_converter::units::percent;
use cardinal_converter::{Error, host};
use serde::{Deserialize, Serialize};

use super::{print, print_json, read};

/// Change of a time below which it counts as the same.
const SAME: f64 = 0.05;

/// Measure how long a model takes on this machine, layer by layer
///
/// One image at a time, on one thread unless --threads says otherwise. The peak is what as many cores can do with the same
/// instructions on registers alone, measured in the same run. Times of a busy or throttled machine tell little: compare shares, or two runs in turn.
///
/// Examples: cardinal bench resnext50.cardinal
///           cardinal bench resnext50.cardinal --json > before.json
///           cardinal bench resnext50.cardinal --compare before.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The model, a .cardinal file
    model: PathBuf,
    /// Runs to measure at most; fewer if they take more than --seconds
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Seconds after which no further run is begun
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// An earlier run's JSON: says of each layer whether it became faster or slower
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Layer {
    name: String,
    /// Median.
    ms: f64,
    multiply_adds: u64,
    /// 10⁹ multiply-adds a second.
    gmacs: Option<f64>,
    /// Of the sum of all layers.
    share: f64,
    /// Of what the backend's instructions can do on registers.
    of_peak: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Change>,
}

#[derive(Serialize, Deserialize)]
struct Change {
    before_ms: f64,
    /// New time by old.
    ratio: f64,
    verdict: Verdict,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Faster,
    Same,
    Slower,
}

impl Change {
    fn new(before_ms: f64, ms: f64) -> Self {
        let ratio = ms / before_ms;
        let verdict = match ratio {
            r if r < 1.0 - SAME => Verdict::Faster,
            r if r > 1.0 + SAME => Verdict::Slower,
            _ => Verdict::Same,
        };
        Change { before_ms, ratio, verdict }
    }

    fn words(&self) -> String {
        let word = match self.verdict {
            Verdict::Faster => "faster",
            Verdict::Same => "same",
            Verdict::Slower => "slower",
        };
        format!("×{:.2} {word}", self.ratio)
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    model: PathBuf,
    arch: String,
    backend: String,
    threads: usize,
    runs: usize,
    multiply_adds: u64,
    /// Of whole runs.
    #[serde(default)]
    least_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    gmacs: f64,
    /// 10⁹ multiply-adds a second, on registers alone.
    peak_gmacs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Change>,
    layers: Vec<Layer>,
}

pub(super) fn run(args: &Args, threads: usize) -> Result<ExitCode, Error> {
    let before = args.compare.as_deref().map(earlier).transpose()?;
    let file_bytes = read(&args.model)?;
    let model = host::open(&file_bytes).map_err(Error::model(&args.model))?;
    let file = model.file();
    // Any image will do: no kernel's time depends on values.
    let pixels: Vec<u8> = (0..model.image().volume()).map(|i| (i * 37 % 251) as u8).collect();
    let effort = Effort {
        most: args.runs as usize,
        least: 3,
        time: std::time::Duration::try_from_secs_f64(args.seconds)
            .map_err(|_| Error::Usage("--seconds is no time".into()))?,
        threads,
    };
    let kernels = host::kernels();
    let what = args.model.display().to_string();
    // On a thread of the pool, so that it takes a part of each layer itself.
    let times = rayon::scope(|_| Times::measure(model, kernels, &pixels, effort, &what))?;
    // All threads at once: cores share power, and may be two of one.
    let peaks = rayon::broadcast(|context| (context.index() < threads).then(|| kernels.peak()).flatten());
    let peaks: Vec<f64> = peaks.into_iter().flatten().collect();
    let peak_gmacs = (!peaks.is_empty()).then(|| peaks.iter().sum::<f64>() / 1e9);
    let gmacs = |multiply_adds: u64, seconds: f64| multiply_adds as f64 / seconds.max(1e-12) / 1e9;
    let sum: f64 = times.layers.iter().sum();
    let layers = file.ops().zip(&times.layers).map(|((name, op), &seconds)| {
        let multiply_adds = file.multiply_adds(&op);
        let gmacs = (multiply_adds > 0).then(|| gmacs(multiply_adds, seconds));
        let compared = before.as_ref().and_then(|(_, layers)| layers.get(name));
        Layer {
            name: name.to_owned(),
            ms: 1e3 * seconds,
            multiply_adds,
            gmacs,
            share: seconds / sum.max(1e-12),
            of_peak: gmacs.zip(peak_gmacs).map(|(gmacs, peak)| gmacs / peak),
            compared: compared.map(|&before| Change::new(before, 1e3 * seconds)),
        }
    });
    let layers: Vec<Layer> = layers.collect();
    let multiply_adds = layers.iter().map(|layer| layer.multiply_adds).sum();
    let p50 = times.percentile(0.5);
    let document = Document {
        model: args.model.clone(),
        arch: std::env::consts::ARCH.to_owned(),
        backend: times.backend.to_owned(),
        threads,
        runs: times.runs.len(),
        multiply_adds,
        least_ms: 1e3 * times.percentile(0.0),
        p50_ms: 1e3 * p50,
        p90_ms: 1e3 * times.percentile(0.9),
        p99_ms: 1e3 * times.percentile(0.99),
        gmacs: gmacs(multiply_adds, p50),
        peak_gmacs,
        compared: before.map(|(total, _)| Change::new(total, 1e3 * p50)),
        layers,
    };
    if args.json {
        print_json("cardinal.bench/1", &document)?;
    } else {
        print(&text(&document))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Of an earlier run: its median, and each layer's.
fn earlier(path: &Path) -> Result<(f64, BTreeMap<String, f64>), Error> {
    let document: Document = serde_json::from_slice(&read(path)?).map_err(|error| {
        Error::Usage(format!("{}: not what `cardinal bench --json` printed: {error}", path.display()))
    })?;
    Ok((document.p50_ms, document.layers.into_iter().map(|layer| (layer.name, layer.ms)).collect()))
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let changed = |change: &Option<Change>| change.as_ref().map_or(String::new(), Change::words);
    let _ =
        writeln!(text, "{:<24}{:>10}{:>12}{:>10}{:>9}{:>9}", "layer", "ms", "mult-adds", "GMAC/s", "share", "of peak");
    for layer in &document.layers {
        let _ = writeln!(
            text,
            "{:<24}{:>10.4}{:>12}{:>10}{:>9}{:>9}  {}",
            layer.name,
            layer.ms,
            layer.multiply_adds,
            or_dash(layer.gmacs.map(|gmacs| format!("{gmacs:.1}"))),
            percent(layer.share),
            or_dash(layer.of_peak.map(percent)),
            changed(&layer.compared),
        );
    }
    let _ = writeln!(
        text,
        "\n{} runs on {} thread{}, {} on {}: p50 {:.3} ms, p90 {:.3}, p99 {:.3}  {}",
        document.runs,
        document.threads,
        if document.threads == 1 { "" } else { "s" },
        document.backend,
        document.arch,
        document.p50_ms,
        document.p90_ms,
        document.p99_ms,
        changed(&document.compared),
    );
    let _ = writeln!(
        text,
        "{:.1} M multiply-adds, {:.1} GMAC/s{}",
        document.multiply_adds as f64 / 1e6,
        document.gmacs,
        document.peak_gmacs.map_or(String::new(), |peak| format!(
            ", {} of {peak:.0} GMAC/s on registers alone on as many cores",
            percent(document.gmacs / peak)
        )),
    );
    text
}
