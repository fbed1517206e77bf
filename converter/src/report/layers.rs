//! The part that both pages have: how far every layer's output is from the float network's.

use std::collections::HashMap;

use maud::{Markup, html};

use super::charts::{Bar, Column, Tone, along_network, bar, bars, key};
use super::page::{code, head};
use crate::parity::{LayerSqnr, Layers};
use crate::units::decibels;

/// Layers that stand out.
const WORST: usize = 5;
/// Of the table; the last one where it is known.
const COLUMNS: [&str; 4] = ["layer", "SQNR", "", "own rounding alone"];

/// The layers that are furthest from float, worst first.
pub(super) fn worst(layers: &Layers) -> Vec<&LayerSqnr> {
    let mut sorted: Vec<&LayerSqnr> = layers.compared.iter().collect();
    // Stable: of equal layers the first.
    sorted.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    sorted.truncate(WORST);
    sorted
}

/// A share of the chart for each layer, the worst named, all of them in a table. `logits` is what arrives at the end;
/// `expected` is the SQNR that the rounding of a layer's own output alone would leave, where it is known.
pub(super) fn layers(layers: &Layers, images: &str, logits: f64, expected: &HashMap<&str, f64>) -> Markup {
    let worst = worst(layers);
    let is_worst = |layer: &LayerSqnr| worst.iter().any(|other| std::ptr::eq(*other, layer));
    let columns: Vec<Column<'_>> = layers
        .compared
        .iter()
        .map(|layer| Column {
            name: &layer.name,
            value: layer.sqnr_db,
            beside: None,
            says: decibels(layer.sqnr_db),
            marked: is_worst(layer),
        })
        .collect();
    // Of the tallest column.
    let most = layers.compared.iter().map(|layer| layer.sqnr_db).filter(|db| db.is_finite()).fold(1e-9, f64::max);
    let share = |db: f64| if db.is_nan() { 0.0 } else { (db / most).clamp(0.0, 1.0) };
    let row = |layer: &&LayerSqnr| Bar {
        name: code(&layer.name),
        share: share(layer.sqnr_db),
        value: decibels(layer.sqnr_db),
        tone: Tone::Worst,
    };
    let rows: Vec<Bar> = worst.iter().map(row).collect();
    let least =
        worst.first().map_or(String::new(), |layer| format!(", least {} at {}", decibels(layer.sqnr_db), layer.name));
    let what = format!("SQNR of {} layers in running order{least}", columns.len());
    html! {
        p.note {
            "How close each layer's int8 output is to the float network's, on " (layers.images) " " (images) ". Errors \
             add up on the way, so columns fall from left to right; a layer far below its neighbours is where accuracy \
             is lost."
        }
        figure {
            (along_network(&what, &columns, " dB", Some(logits)))
            figcaption {
                (key(&[("main", "a layer"), ("mark", "the five furthest from float"), ("limit", "logits, all images")]))
            }
        }
        (bars("The five furthest from float", &rows))
        details {
            summary { "All " (columns.len()) " layers in numbers" }
            div.scroll {
                table.numbers {
                    (head(if expected.is_empty() { &COLUMNS[..3] } else { &COLUMNS }))
                    tbody {
                        @for layer in &layers.compared {
                            tr.worst[is_worst(layer)] {
                                th scope="row" { (code(&layer.name)) }
                                td.number { (decibels(layer.sqnr_db)) }
                                td.bar { (bar(share(layer.sqnr_db))) }
                                @if !expected.is_empty() {
                                    @let alone = expected.get(layer.name.as_str());
                                    td.number { (alone.map_or("–".into(), |&db| decibels(db))) }
                                }
                            }
                        }
                    }
                }
            }
            @if !layers.missing.is_empty() {
                p.note {
                    "Not compared, as the reference does not have them: "
                    @for (i, name) in layers.missing.iter().enumerate() { @if i > 0 { ", " } (code(name)) }
                    ". A max-pool passes its input's codes on."
                }
            }
        }
    }
}
