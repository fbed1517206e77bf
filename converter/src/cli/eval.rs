//! `cardinal eval`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::convert::Provenance;
use cardinal_converter::evaluate::{Evaluation, evaluate};
use cardinal_converter::images::Dataset;
use cardinal_converter::import::Imported;
use cardinal_converter::{Error, host, import};
use cardinal_runtime::Model;
use serde::Serialize;

use super::{bytes, percent, print, print_json, read};

/// Measure accuracy on a labelled folder
///
/// The folder has a subfolder per class, or mosaics named `<label>_<name>.png` (one a class, tiles of the model's input
/// size). With --float the checkpoint runs beside the model, on the same pixels, in float32.
///
/// Example: cardinal eval resnext50.cardinal imagenet/val --float resnext50_32x4d.pth
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// The labelled images
    images: PathBuf,
    /// The checkpoint that the model was made from, to compare with
    #[arg(long, value_name = "CHECKPOINT")]
    float: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    model: PathBuf,
    file_bytes: usize,
    #[serde(flatten)]
    evaluation: Evaluation,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let bytes = read(&args.model)?;
    let model = host::open(&bytes).map_err(Error::model(&args.model))?;
    let shape = model.image();
    let images = Dataset::open(&args.images, [shape.height, shape.width])?;
    let float = match &args.float {
        Some(checkpoint) => Some(float_network(args, checkpoint, &model)?.graph.float_model()?),
        None => None,
    };
    let evaluation = evaluate(model, &images, float.as_ref())?;
    if args.json {
        let model = args.model.clone();
        print_json("cardinal.eval/1", &Document { model, file_bytes: bytes.len(), evaluation })?;
    } else {
        print(&text(bytes.len(), &evaluation))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the checkpoint as it was read for the model, which must have the same input and classes.
fn float_network(args: &Args, checkpoint: &Path, model: &Model<'_>) -> Result<Imported, Error> {
    let settings = match serde_json::from_str::<Provenance>(model.file().provenance()) {
        Ok(provenance) => provenance.settings,
        Err(_) => Default::default(),
    };
    let imported = import::read(checkpoint, &settings)?;
    if imported.graph.image != model.image() || imported.graph.classes() != model.classes() {
        return Err(Error::Usage(format!(
            "{} (input {}, {} classes) is another network than {} (input {}, {} classes)",
            checkpoint.display(),
            imported.graph.image,
            imported.graph.classes(),
            args.model.display(),
            model.image(),
            model.classes()
        )));
    }
    Ok(imported)
}

/// The table, also of `cardinal demo`.
pub(super) fn text(file_bytes: usize, evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let mut row = |name: &str, int8: String, float: String| {
        let _ = writeln!(text, "{:<24}{int8:>12}  {float:>12}", name);
    };
    let float = evaluation.float.as_ref();
    row("", "int8".into(), float.map_or(String::new(), |_| "float32".into()));
    let of = |pick: &dyn Fn(&cardinal_converter::evaluate::FloatComparison) -> f64| {
        float.map_or(String::new(), |f| percent(pick(f)))
    };
    row("top-1", percent(evaluation.int8.top1), of(&|f| f.score.top1));
    row("top-5", percent(evaluation.int8.top5), of(&|f| f.score.top5));
    row(
        "ms an image, one thread",
        format!("{:.2}", evaluation.int8_ms),
        float.map_or(String::new(), |f| format!("{:.2}", f.ms)),
    );
    row("file", bytes(file_bytes as u64), String::new());
    if let Some(float) = float {
        row("agreement", percent(float.agreement), String::new());
        row("logit SQNR", format!("{:.1} dB", float.logit_sqnr_db), String::new());
    }
    let _ =
        writeln!(text, "{} images, {:.1} images/s with everything", evaluation.images, evaluation.images_per_second);
    text
}
