//! `cardinal eval`.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::Error;
use cardinal_converter::engine::{ModelFile, Network};
use cardinal_converter::evaluate::{Evaluation, Evaluator, FloatComparison, Header, Log, Outcome, summarise};
use cardinal_converter::images::Dataset;
use cardinal_converter::import::{self, Imported, sha256};
use serde::Serialize;

use super::settings::{EngineArg, SettingsArgs};
use super::{bytes, percent, print, print_json};

/// Measure accuracy on labelled images
///
/// The folder has a subfolder per class, or mosaics named `<label>_<name>.png` (one a class, tiles of the model's input
/// size), or any images that --annotations lists. The model is a .cardinal file, or a checkpoint, which runs in float32.
/// With --float the checkpoint runs beside a .cardinal file, on the same pixels. With --log a run that was cut goes on where it was, and the parts of one evaluation (--shard) can run on
/// many machines: `cardinal merge` adds them up exactly.
///
/// Example: cardinal eval resnext50.cardinal imagenet/val --float resnext50_32x4d.pth
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model: .cardinal, .pth, .safetensors or .onnx
    model: PathBuf,
    /// The labelled images
    images: PathBuf,
    /// Which images, and their classes: a file and a class number a line, as mmpretrain's val.txt
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// The checkpoint that the model was made from, to compare with
    #[arg(long, value_name = "CHECKPOINT")]
    float: Option<PathBuf>,
    /// Keep each image's result in this file (JSON lines), and go on with what it has
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Evaluate a part of the images: shard I of N, I from 0 to N-1
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "log")]
    shard: Option<(usize, usize)>,
    /// Show every class, and of up to 20 classes which was taken for which
    #[arg(long)]
    per_class: bool,
    /// Let images count that the model was calibrated with
    #[arg(long)]
    allow_calibration_images: bool,
    #[command(flatten)]
    engine: EngineArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Serialize)]
pub(super) struct Document {
    /// The model, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<PathBuf>,
    /// Its size.
    pub(super) file_bytes: usize,
    /// The result.
    #[serde(flatten)]
    pub(super) evaluation: Evaluation,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let settings = args.settings.settings()?;
    // Flags tell what a checkpoint's weights cannot: the model's, or that of the network beside it.
    let (own, beside) =
        if args.float.is_some() { (Default::default(), settings) } else { (settings, Default::default()) };
    let file = ModelFile::open(&args.model, &own)?;
    let network = file.network(args.engine.engine)?;
    let images = labelled(&args.images, args.annotations.as_deref(), &network)?;
    let read = |path: &PathBuf| import::read(path, &beside.or(network.settings.clone()));
    let checkpoint = args.float.as_ref().map(read).transpose()?;
    let float = checkpoint.as_ref().map(|imported| beside_network(&args.model, imported, &network)).transpose()?;
    let (mut log, mut outcomes) = match &args.log {
        Some(path) => {
            let header = Header {
                schema: "cardinal.eval-log/1".into(),
                model_sha256: file.sha256(),
                arithmetic: network.arithmetic(),
                float_sha256: checkpoint.as_ref().map(|imported| imported.source.sha256.clone()),
                images_sha256: identity(&images, &args.images),
                images: images.len(),
                classes: network.classes,
                labels: network.labels.clone(),
                file_bytes: file.bytes(),
            };
            Log::open(path, &header).map(|(log, outcomes)| (Some(log), outcomes))?
        }
        None => (None, Vec::new()),
    };
    if !outcomes.is_empty() {
        eprintln!("going on after {} images", outcomes.len());
    }
    let done: HashSet<usize> = outcomes.iter().map(|outcome| outcome.index).collect();
    let (shard, shards) = args.shard.unwrap_or((0, 1));
    let mine = |index: &usize| index % shards == shard && !done.contains(index);
    let indices: Vec<usize> = (0..images.len()).filter(mine).collect();
    let allow_calibration_images = args.allow_calibration_images;
    let evaluator = Evaluator { network: &network, images: &images, float: float.as_ref(), allow_calibration_images };
    let keep = |batch: &[Outcome]| log.as_mut().map_or(Ok(()), |log| log.add(batch));
    outcomes.extend(evaluator.run(&indices, keep)?);
    let evaluation = summarise(&outcomes, network.arithmetic(), network.classes, &network.labels);
    show(Document { model: Some(args.model.clone()), file_bytes: file.bytes(), evaluation }, args.per_class, args.json)
}

/// Prints an evaluation, also of `cardinal merge`.
pub(super) fn show(document: Document, per_class: bool, json: bool) -> Result<ExitCode, Error> {
    if json {
        print_json("cardinal.eval/1", &document)?;
    } else {
        let mut text = text(document.file_bytes, &document.evaluation);
        if per_class {
            text += &classes(&document.evaluation);
        }
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The images of a folder with their classes, or those that a list names.
pub(super) fn labelled(folder: &Path, list: Option<&Path>, network: &Network<'_>) -> Result<Dataset, Error> {
    Ok(match list {
        Some(list) => Dataset::annotated(folder, list)?,
        None => Dataset::open(folder, network.input())?,
    })
}

/// SHA-256 over names and labels; names are below the folder, which may lie elsewhere on another machine.
fn identity(images: &Dataset, folder: &Path) -> String {
    let line = |index: usize| {
        let name = images.name(index);
        let name = Path::new(&name).strip_prefix(folder).unwrap_or(Path::new(&name));
        format!("{}\0{:?}\n", name.display(), images.label(index))
    };
    sha256(&[(0..images.len()).map(line).collect::<String>().as_bytes()])
}

/// "2/8".
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parsed.filter(|(i, n)| i < n).ok_or_else(|| "expected I/N with I from 0 to N-1, as 0/4".into())
}

/// The network beside, which must have the same input and classes.
pub(super) fn beside_network<'a>(
    model: &Path,
    imported: &Imported,
    network: &Network<'_>,
) -> Result<Network<'a>, Error> {
    let float = Network::float32(imported)?;
    if float.image != network.image || float.classes != network.classes {
        return Err(Error::Usage(format!(
            "{} (input {}, {} classes) is another network than {} (input {}, {} classes)",
            imported.source.file,
            float.image,
            float.classes,
            model.display(),
            network.image,
            network.classes
        )));
    }
    Ok(float)
}

/// The table, also of `cardinal demo`.
pub(super) fn text(file_bytes: usize, evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let mut row = |name: &str, own: String, float: String| {
        let _ = writeln!(text, "{name:<24}{own:>12}  {float:>12}");
    };
    let float = evaluation.float.as_ref();
    row("", evaluation.arithmetic.to_string(), float.map_or(String::new(), |_| "float32".into()));
    let of = |pick: &dyn Fn(&FloatComparison) -> f64| float.map_or(String::new(), |f| percent(pick(f)));
    row("top-1", percent(evaluation.score.top1), of(&|f| f.score.top1));
    row("top-5", percent(evaluation.score.top5), of(&|f| f.score.top5));
    row(
        "ms an image, one thread",
        format!("{:.2}", evaluation.ms),
        float.map_or(String::new(), |f| format!("{:.2}", f.ms)),
    );
    row("file", bytes(file_bytes as u64), String::new());
    if let Some(float) = float {
        row("agreement", percent(float.agreement), String::new());
        row("logit SQNR", format!("{:.1} dB", float.logit_sqnr_db), String::new());
    }
    let _ = writeln!(text, "{} images", evaluation.images);
    text
}

/// Each class's row, and of few classes which was taken for which.
fn classes(evaluation: &Evaluation) -> String {
    let mut text = format!("\n{:<28}{:>8}{:>12}{:>12}\n", "class", "images", evaluation.arithmetic, "float32");
    let name = |class: usize| {
        let row = evaluation.per_class.iter().find(|row| row.class == class);
        row.and_then(|row| row.label.clone()).unwrap_or_else(|| class.to_string())
    };
    for row in &evaluation.per_class {
        let float = row.float_top1.map_or(String::new(), percent);
        let _ = writeln!(text, "{:<28}{:>8}{:>12}{float:>12}", name(row.class), row.images, percent(row.top1));
    }
    if let Some(confusion) = evaluation.confusion.as_ref().filter(|confusion| confusion.len() <= 20) {
        text += "\nlabelled (row), taken by the network for (column)\n";
        let _ = write!(text, "{:<16}", "");
        (0..confusion.len()).for_each(|class| _ = write!(text, "{class:>6}"));
        for (class, row) in confusion.iter().enumerate() {
            let label: String = name(class).chars().take(11).collect();
            let _ = write!(text, "\n{class:>3} {label:<12}");
            row.iter().for_each(|count| _ = write!(text, "{count:>6}"));
        }
        text += "\n";
    }
    text
}
