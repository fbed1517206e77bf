//! `cardinal models`.

use std::fmt::Write;
use std::process::ExitCode;

use cardinal_converter::Error;
use cardinal_converter::architecture::Architecture;
use cardinal_converter::models::{Figures, PUBLISHED, figures};
use serde::Serialize;

use super::settings::size;
use super::{bytes, print, print_json};

/// Show the published ResNeXts, or what any member of the family costs
///
/// Sizes and costs are computed from each network's graph. Publishers' "FLOPs" are multiply-adds (here: of convolutions
/// and classifier), to which mmpretrain's counter adds two operations per value of a batch norm and one per value that a
/// ReLU writes or a pool reads; both are shown.
///
/// Example: cardinal models resnext26-8x16d --input 96x96 --classes 10
#[derive(clap::Args)]
pub(super) struct Args {
    /// Architectures [default: the four that mmpretrain publishes]
    names: Vec<Architecture>,
    /// Input size
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size, default_value = "224x224")]
    input: [u32; 2],
    /// Number of classes
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    classes: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    models: Vec<Figures>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let names = match args.names.as_slice() {
        [] => PUBLISHED.iter().filter_map(|published| published.name.parse().ok()).collect(),
        names => names.to_vec(),
    };
    let all = names.iter().map(|name| figures(name, args.input, args.classes.into()));
    let models = all.collect::<Result<Vec<_>, _>>()?;
    if args.json {
        print_json("cardinal.models/1", &Document { models })?;
    } else {
        print(&text(&models))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(models: &[Figures]) -> String {
    let mut text = format!(
        "{:<18}{:>11}{:>12}{:>15}{:>9}{:>11}{:>10}{:>8}{:>8}\n",
        "model", "blocks", "parameters", "multiply-adds", "+ other", "int8 file", "arena", "top-1", "top-5"
    );
    for model in models {
        let blocks: Vec<String> = model.blocks.iter().map(usize::to_string).collect();
        let published = |pick: fn(&cardinal_converter::models::Published) -> f64| {
            model.published.map_or("-".to_owned(), |published| format!("{:.2}", pick(&published)))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<18}{:>11}{:>12}{:>15}{:>9}{:>11}{:>10}{:>8}{:>8}",
            model.name,
            blocks.join("-"),
            format!("{:.2} M", model.parameters as f64 / 1e6),
            format!("{:.2} G", model.multiply_adds as f64 / 1e9),
            format!("{:.2} G", model.mmcv_flops as f64 / 1e9),
            bytes(model.file_bytes as u64),
            bytes(model.arena_bytes as u64),
            published(|p| p.top1),
            published(|p| p.top5),
        );
    }
    if let Some(published) = models.iter().find_map(|model| model.published) {
        let _ = writeln!(
            text,
            "\ntop-1, top-5: float32 on ImageNet-1k in percent, as published ({}).\n+ other: with batch norm, ReLU and \
             pools counted, which is what is published there as FLOPs.",
            published.source
        );
    }
    text
}
