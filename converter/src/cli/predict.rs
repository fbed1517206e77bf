//! `cardinal predict`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cardinal_converter::engine::{Arithmetic, ModelFile, Network};
use cardinal_converter::features::{Features, npy};
use cardinal_converter::host::ranking;
use cardinal_converter::{Error, output};
use cardinal_runtime::probability;
use rayon::prelude::*;
use serde::Serialize;

use super::settings::{EngineArg, SettingsArgs};
use super::sources::{ImageArgs, Source};
use super::{complain, print, print_json};

/// Classify images
///
/// The model is a .cardinal file, or a checkpoint, which runs in float32. With --features the activation before the
/// classifier (or other values) is written as a NumPy array, in real units: one row per image, in the order of the
/// results.
///
/// Examples: cardinal predict resnext50.cardinal cat.jpg photos/ --topk 3
///           cardinal predict resnext50.pth cat.jpg
///           camera-still | cardinal predict resnext50.cardinal -
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The model: .cardinal, .pth, .safetensors or .onnx
    model: PathBuf,
    #[command(flatten)]
    images: ImageArgs,
    /// Classes to show for each image, best first
    #[arg(long, value_name = "K", default_value_t = 5)]
    topk: usize,
    /// Write values as well: pooled (if nothing follows), stage1 to stage4, a layer's name, logits, or image (the pixels
    /// that the network reads)
    #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "pooled")]
    features: Option<Features>,
    /// Where --features go
    #[arg(short, long, value_name = "FILE", default_value = "features.npy", requires = "features")]
    output: PathBuf,
    #[command(flatten)]
    engine: EngineArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
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
    file: String,
    #[serde(flatten)]
    best: Class,
    top: Vec<Class>,
}

#[derive(Serialize)]
struct Document {
    model: PathBuf,
    arithmetic: Arithmetic,
    predictions: Vec<Prediction>,
}

/// Images decoded at a time: enough for all cores, few enough to be shown as they come.
const BATCH: usize = 64;

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let file = ModelFile::open(&args.model, &args.settings.settings()?)?;
    let network = file.network(args.engine.engine)?;
    let wanted = args.features.as_ref().map(|features| features.find(&network)).transpose()?;
    let sources = args.images.open(network.input())?;
    let items: Vec<(&Source, usize)> = sources.iter().flat_map(|s| (0..s.len()).map(move |i| (s, i))).collect();

    let mut code = ExitCode::SUCCESS;
    let mut predictions = Vec::new();
    let mut maps = Vec::new();
    for batch in items.chunks(BATCH) {
        // Images side by side; a single one has the threads for its layers.
        let threads = if batch.len() == 1 { rayon::current_num_threads() } else { 1 };
        let results = batch.par_iter().map_init(
            || network.runner().with_threads(threads),
            |runner, &(source, index)| {
                let pixels = source.prepare(index, &network)?;
                match &wanted {
                    Some(wanted) => wanted.run(runner, &pixels, network.image).map(|(logits, map)| (logits, Some(map))),
                    None => runner.logits(&pixels).map(|logits| (logits, None)),
                }
            },
        );
        for (&(source, index), result) in batch.iter().zip(results.collect::<Vec<Result<_, Error>>>()) {
            // One bad image does not keep the others from being classified, but it shows in the exit code.
            match result {
                Ok((logits, map)) => {
                    let ranking = ranking(&logits);
                    let best = class(&network, &logits, ranking.first().copied().unwrap_or(0));
                    let top = ranking.into_iter().take(args.topk).map(|c| class(&network, &logits, c)).collect();
                    let prediction = Prediction { file: source.name(index), best, top };
                    maps.extend(map);
                    if !args.json {
                        print(&text(&prediction))?;
                    }
                    predictions.push(prediction);
                }
                Err(error) => {
                    complain(&error);
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    if wanted.is_some() {
        output::write(&args.output, &npy(&maps))?;
        eprintln!("{}: values of {} images", args.output.display(), maps.len());
    }
    if args.json {
        print_json(
            "cardinal.predict/1",
            &Document { model: args.model.clone(), arithmetic: network.arithmetic(), predictions },
        )?;
    }
    Ok(code)
}

fn class(network: &Network<'_>, logits: &[f32], class: usize) -> Class {
    let score = probability(logits, class);
    Class { pred_class: network.labels.get(class).cloned(), pred_label: class, pred_score: score }
}

fn text(prediction: &Prediction) -> String {
    let mut text = format!("{}\n  {:<24}{:<12}pred_score\n", prediction.file, "pred_class", "pred_label");
    for class in &prediction.top {
        let label = class.pred_class.as_deref().unwrap_or("-");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {label:<24}{:<12}{:.4}", class.pred_label, class.pred_score);
    }
    text
}
