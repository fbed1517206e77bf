//! The page of a conversion.

use std::collections::HashMap;
use std::path::Path;

use maud::{Markup, html};

use super::charts::{Bar, Tone, bars};
use super::page::{Figure, Section, code, facts, head, page, short};
use super::{activations, evidence, layers, memory, reading, time, weights};
use crate::auto::{CostlyLayer, Trial};
use crate::convert::{Converted, Report};
use crate::equalize::Equalized;
use crate::images::Dataset;
use crate::import::{Imported, sha256};
use crate::timing::{Effort, Times};
use crate::units::{bytes, count, decibels, percent};
use crate::{Error, host};

/// A page of what a conversion did and cost. `output` is what the file is called. Takes a few seconds: layers are
/// compared with the float network's and timed on this machine.
///
/// # Errors
/// What running the networks says.
pub fn conversion(
    imported: &Imported,
    images: &Dataset,
    converted: &Converted,
    output: &Path,
) -> Result<String, Error> {
    let Converted { report, equalized, calibration, .. } = converted;
    let model = host::open(&converted.bytes).map_err(Error::model(output))?;
    let found = evidence::layers(model, imported, images, converted)?;
    let graph = &imported.graph;
    let first = calibration.drawn.first().copied().unwrap_or(0);
    let pixels = images.prepare(first, &imported.preprocess, [graph.image.height, graph.image.width])?;
    let times = Times::measure(model, host::kernels(), &pixels, Effort::default(), "the converted model")?;

    let worst: Vec<&str> = layers::worst(&found).iter().map(|layer| layer.name.as_str()).collect();
    let alone = graph.layers.iter().zip(&calibration.layers);
    let alone: HashMap<&str, f64> =
        alone.filter_map(|(layer, one)| Some((layer.name.as_str(), one.as_ref()?.sqnr_db))).collect();
    let after = equalized.as_ref().map(|Equalized { graph, .. }| graph);
    let section = |id, title, body| Section { id, title, body };
    let sections = [
        section("summary", "What was converted", summary(imported, converted, output)),
        section("size", "Size", size(report)),
        section("tried", "What was tried", tried(report)),
        section("layers", "Layers", layers::layers(&found, "of the calibration images", report.logit_sqnr_db, &alone)),
        section("activations", "Activations", activations::activations(graph, calibration, &worst)),
        section("weights", "Weights", weights::weights(graph, after, model.file(), &worst)),
        section("memory", "Memory", memory::memory(model.file())),
        section("time", "Time", time::time(graph, &times)),
        section("words", "How to read it", reading::conversion()),
    ];
    let name = output.file_name().unwrap_or(output.as_os_str()).to_string_lossy();
    Ok(page("conversion", &name, &lead(report), &figures(report), &sections))
}

fn lead(report: &Report) -> Markup {
    html! {
        p {
            (short(&report.network)) ", from float32 to int8: " (times_smaller(report)) " smaller, and the same answer \
             as the float network on " (percent(report.agreement)) " of " (count(report.calibration.images as u64))
            " calibration images."
        }
    }
}

fn times_smaller(report: &Report) -> String {
    format!("{:.1} times", report.float_bytes as f64 / report.file_bytes.max(1) as f64)
}

fn figures(report: &Report) -> Vec<Figure> {
    let error = match report.logit_sqnr_db {
        f64::INFINITY => "the logits are the same".to_owned(),
        db => format!("an error of {:.1} % of the logits", 100.0 * 10f64.powf(-db / 20.0)),
    };
    vec![
        Figure {
            what: "File",
            value: bytes(report.file_bytes as u64),
            note: format!("float32 weights: {}", bytes(report.float_bytes)),
        },
        Figure {
            what: "Agreement",
            value: percent(report.agreement),
            note: format!("with float, on {} calibration images", count(report.calibration.images as u64)),
        },
        Figure { what: "Logit SQNR", value: decibels(report.logit_sqnr_db), note: error },
        Figure {
            what: "Arena",
            value: bytes(report.arena_bytes as u64),
            note: "all memory for activations".to_owned(),
        },
    ]
}

fn summary(imported: &Imported, converted: &Converted, output: &Path) -> Markup {
    let report = &converted.report;
    let [height, width, channels] = report.input;
    let record = &report.calibration;
    html! {
        (facts(&[
            ("network", html! { (short(&report.network)) }),
            ("input", html! { (height) " × " (width) " × " (channels) ", height × width × channels" }),
            ("classes", html! { (count(report.classes as u64)) }),
            ("parameters", html! { (count(report.parameters)) ", batch norm folded" }),
            ("multiply-adds", html! { (count(report.multiply_adds)) " an image" }),
            ("calibration", html! {
                (count(record.images as u64)) " images, seed " (record.seed) ", "
                code { "--method " (short(&record.method)) }
            }),
            ("file", code(&output.display().to_string())),
            ("its SHA-256", html! { code { (sha256(&[&converted.bytes])) } }),
            ("checkpoint", code(&imported.source.file)),
            ("its SHA-256", html! { code { (imported.source.sha256) } }),
        ]))
        @for sign in &report.signs { p.sign { strong { "Look at the calibration images: " } (sign) "." } }
        p.note {
            "Agreement and SQNR are of the images that the network was calibrated with, and flatter it a little. What \
             it does on others, " code { "cardinal parity --report" } " tells."
        }
    }
}

fn size(report: &Report) -> Markup {
    let sizes = [
        ("float32 weights", report.float_bytes),
        ("the file: int8 weights, scales, labels", report.file_bytes as u64),
        ("arena, in memory while it runs", report.arena_bytes as u64),
    ];
    let most = sizes.iter().map(|&(_, size)| size).max().unwrap_or(0).max(1);
    let rows: Vec<Bar> = sizes
        .iter()
        .enumerate()
        .map(|(i, &(name, size))| Bar {
            name: html! { (name) },
            share: size as f64 / most as f64,
            value: bytes(size),
            tone: if i == 1 { Tone::Chosen } else { Tone::Pale },
        })
        .collect();
    html! { (bars("Bytes before and after", &rows)) }
}

fn tried(report: &Report) -> Markup {
    html! {
        @if report.trials.is_empty() {
            p.note {
                "Only what was asked for: " code { "--method " (short(&report.calibration.method)) } ". With "
                code { "--method auto" } ", more is tried, what measurably helps is kept, and the layers that cost \
                 most are looked for."
            }
        } @else {
            p.note {
                "SQNR of the logits, the mean over calibration images that the ranges were not chosen on, in the order of \
                 trying. What gains less than a tenth of a decibel is left out."
            }
            (trials(&report.trials))
        }
        @if !report.costly_layers.is_empty() {
            h3 { "Costly layers" }
            p.note {
                "The layers whose rounding costs the logits most: the SQNR that is left if a layer alone is rounded, \
                 and that of the whole network with each range that was tried for the layer; ✓ was kept."
            }
            (costly(&report.costly_layers))
        }
    }
}

/// A row per layer, a column per range that was tried.
fn costly(layers: &[CostlyLayer]) -> Markup {
    let mut ranges: Vec<&str> = Vec::new();
    for trial in layers.iter().flat_map(|layer| &layer.tried) {
        if !ranges.contains(&trial.name.as_str()) {
            ranges.push(&trial.name);
        }
    }
    html! {
        div.scroll {
            table.numbers {
                (head(&[&["layer", "alone"], &ranges[..]].concat()))
                tbody {
                    @for CostlyLayer { name, logit_sqnr_db, tried } in layers {
                        tr {
                            th scope="row" { (code(name)) }
                            td.number { (decibels(*logit_sqnr_db)) }
                            @for range in &ranges {
                                @match tried.iter().find(|trial| trial.name == *range) {
                                    Some(trial) => td.number.kept[trial.kept] {
                                        (gained(trial)) @if trial.kept { span.good { " ✓" } }
                                    },
                                    None => td.number { "–" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// In hundredths, as little is gained by one layer.
fn gained(trial: &Trial) -> String {
    if trial.logit_sqnr_db.is_finite() {
        format!("{:.2} dB", trial.logit_sqnr_db)
    } else {
        decibels(trial.logit_sqnr_db)
    }
}

/// Candidates with their SQNR; the one that was kept stands out.
fn trials(trials: &[Trial]) -> Markup {
    let most = trials.iter().map(|trial| trial.logit_sqnr_db).filter(|db| db.is_finite()).fold(1e-9, f64::max);
    let rows: Vec<Bar> = trials
        .iter()
        .map(|trial| Bar {
            name: html! { (code(&trial.name)) @if trial.kept { strong.good { " ✓ kept" } } },
            share: if trial.logit_sqnr_db.is_nan() { 0.0 } else { trial.logit_sqnr_db / most },
            value: gained(trial),
            tone: if trial.kept { Tone::Chosen } else { Tone::Pale },
        })
        .collect();
    bars("Candidates", &rows)
}
