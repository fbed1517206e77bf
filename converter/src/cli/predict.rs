//! `cardinal predict`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cardinal_converter::Error;
use cardinal_converter::host::{self, Runner, ranking};
use cardinal_converter::images::{self, prepare};
use cardinal_runtime::{Model, probability};
use serde::Serialize;

use super::{print, print_json, read};

/// Classify images
///
/// Example: cardinal predict resnext50.cardinal cat.jpg boat.png --topk 3
#[derive(clap::Args)]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    /// Images: jpg, png, webp, bmp, ppm or pgm
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Classes to show for each image, best first
    #[arg(long, value_name = "K", default_value_t = 5)]
    topk: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One class, with the names that ResNeXt users know.
#[derive(Serialize)]
struct Class {
    /// The label, if the model has labels.
    pred_class: Option<String>,
    /// The class number.
    pred_label: usize,
    /// The probability.
    pred_score: f32,
}

#[derive(Serialize)]
struct Prediction {
    file: PathBuf,
    #[serde(flatten)]
    best: Class,
    top: Vec<Class>,
}

#[derive(Serialize)]
struct Document {
    model: PathBuf,
    predictions: Vec<Prediction>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let bytes = read(&args.model)?;
    let model = host::open(&bytes).map_err(Error::model(&args.model))?;
    let mut runner = Runner::new(model);
    let mut code = ExitCode::SUCCESS;
    let mut predictions = Vec::new();
    for file in &args.images {
        // One bad image does not keep the others from being classified, but it shows in the exit code.
        match logits(&mut runner, &model, file) {
            Ok(logits) => {
                let ranking = ranking(&logits);
                let best = class(&model, &logits, ranking.first().copied().unwrap_or(0));
                let top = ranking.into_iter().take(args.topk).map(|c| class(&model, &logits, c)).collect();
                predictions.push(Prediction { file: file.clone(), best, top });
            }
            Err(error) => {
                eprintln!("error: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    if args.json {
        print_json("cardinal.predict/1", &Document { model: args.model.clone(), predictions })?;
    } else {
        print(&text(&predictions))?;
    }
    Ok(code)
}

fn logits(runner: &mut Runner<'_>, model: &Model<'_>, file: &Path) -> Result<Vec<f32>, Error> {
    let shape = model.image();
    let name = |cause| images::ImageError::Prepare { name: file.display().to_string(), cause: Box::new(cause) };
    let pixels = prepare(&images::open(file)?, model.preprocess(), [shape.height, shape.width]).map_err(name)?;
    runner.logits(&pixels).map_err(Error::model("the model"))
}

fn class(model: &Model<'_>, logits: &[f32], class: usize) -> Class {
    let score = probability(logits, class);
    Class { pred_class: model.label(class as u32).map(str::to_owned), pred_label: class, pred_score: score }
}

fn text(predictions: &[Prediction]) -> String {
    let mut text = String::new();
    for prediction in predictions {
        let _ = writeln!(text, "{}", prediction.file.display());
        let _ = writeln!(text, "  {:<24}{:<12}pred_score", "pred_class", "pred_label");
        for class in &prediction.top {
            let label = class.pred_class.as_deref().unwrap_or("-");
            let _ = writeln!(text, "  {label:<24}{:<12}{:.4}", class.pred_label, class.pred_score);
        }
    }
    text
}
