//! The page of a comparison.

use std::collections::HashMap;
use std::path::Path;

use maud::{Markup, html};

use super::changed::{changed, largest};
use super::charts::{Bar, Tone, bars, interval, key};
use super::page::{Figure, Section, code, facts, head, page};
use super::{layers, reading};
use crate::Error;
use crate::parity::{Findings, Gate, Parity, Top1};
use crate::units::{count, decibels, number, percent};

/// The files of a comparison, as they were given.
pub struct Compared<'a> {
    /// The int8 network.
    pub model: &'a Path,
    /// Its SHA-256.
    pub model_sha256: &'a str,
    /// The float side.
    pub reference: &'a Path,
    /// "checkpoint" or "recording".
    pub reference_kind: &'static str,
    /// Its SHA-256.
    pub reference_sha256: &'a str,
}

/// A page of what a comparison found.
///
/// # Errors
/// An image that changed class cannot be read again.
pub fn parity(
    parity: &Parity<'_>,
    findings: &Findings,
    gates: &[Gate],
    compared: &Compared<'_>,
) -> Result<String, Error> {
    let section = |id, title, body| Section { id, title, body };
    let mut sections = vec![
        section("verdict", "Verdict", verdict(gates)),
        section("top1", "Accuracy", accuracy(findings, gates)),
        section("probability", "Largest change", largest(parity, &findings.largest_probability_change)?),
    ];
    if !findings.layers.compared.is_empty() {
        let body = layers::layers(&findings.layers, "images", findings.logit_sqnr_db, &HashMap::new());
        sections.push(section("layers", "Layers", body));
    }
    sections.push(section("changed", "Changed images", changed(parity, findings)?));
    sections.push(section("files", "Files", files(parity, compared)));
    sections.push(section("words", "How to read it", reading::parity()));
    let name = compared.model.file_name().unwrap_or(compared.model.as_os_str()).to_string_lossy();
    Ok(page("parity", &name, &lead(findings, gates), &figures(findings), &sections))
}

/// What became of the gates.
fn outcome(gates: &[Gate]) -> Markup {
    let all = gates.len();
    match gates.iter().filter(|gate| !gate.passed).count() {
        _ if all == 0 => html! { span.verdict { "No limits were set" } },
        0 => {
            let kept = if all == 1 { " The limit is kept." } else { " All limits are kept." };
            html! { span.verdict.passed { "✓ Passed" } (kept) }
        }
        crossed => html! { span.verdict.crossed { "✗ Crossed" } " " (crossed) " of " (all) " limits." },
    }
}

fn lead(findings: &Findings, gates: &[Gate]) -> Markup {
    let [low, high] = findings.top1.interval_points;
    let images = count(findings.images as u64);
    let drop = match () {
        () if low > 0.0 => format!("On {images} images int8 is measurably less accurate than float"),
        () if high < 0.0 => format!("On {images} images int8 is measurably more accurate than float"),
        () => format!("{images} images show no difference in accuracy between int8 and float"),
    };
    html! {
        p { (outcome(gates)) }
        p {
            (drop) ": the drop of top-1 is " (points(findings.top1.drop_points)) ", 95\u{a0}% interval "
            (span(findings.top1.interval_points)) "."
        }
    }
}

fn points(points: f64) -> String {
    format!("{points:.2} points").replace('-', "−")
}

fn span([low, high]: [f64; 2]) -> String {
    format!("{low:.2} to {high:.2}").replace('-', "−")
}

fn figures(findings: &Findings) -> Vec<Figure> {
    let Top1 { float, int8, .. } = findings.top1;
    vec![
        Figure { what: "Top-1, int8", value: percent(int8), note: format!("float: {}", percent(float)) },
        Figure {
            what: "Agreement",
            value: percent(findings.agreement),
            note: format!(
                "{} of {} images changed class",
                count(findings.changed.len() as u64),
                count(findings.images as u64)
            ),
        },
        Figure { what: "Logit SQNR", value: decibels(findings.logit_sqnr_db), note: "over all images".into() },
        Figure {
            what: "Largest change",
            value: number(findings.largest_probability_change.change),
            note: "of a class's probability".into(),
        },
    ]
}

fn verdict(gates: &[Gate]) -> Markup {
    html! {
        @if gates.is_empty() {
            p.note {
                "No limits were given. With " code { "--max-drop" } ", " code { "--min-agreement" } " or "
                code { "--min-sqnr" } " a comparison fails when one is crossed."
            }
        } @else {
            div.scroll {
                table.numbers.gates {
                    (head(&["limit", "verdict", "measured"]))
                    tbody {
                        @for gate in gates {
                            tr {
                                th scope="row" { code { "--" (gate.name) " " (gate.limit) } }
                                td { @if gate.passed { span.good { "✓ kept" } } @else { span.bad { "✗ crossed" } } }
                                td.number { (measured(gate)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn measured(gate: &Gate) -> String {
    if gate.measured == f64::INFINITY {
        "no error".into()
    } else {
        format!("{:.3} {}", gate.measured, gate.unit).replace('-', "−")
    }
}

fn accuracy(findings: &Findings, gates: &[Gate]) -> Markup {
    let top1 = &findings.top1;
    let limit = gates.iter().find(|gate| gate.name == "max-drop").map(|gate| gate.limit);
    let rows = [("float32", top1.float, Tone::Pale), ("int8", top1.int8, Tone::Chosen)];
    let rows = rows.map(|(name, share, tone)| Bar { name: html! { (name) }, share, value: percent(share), tone });
    let counts = top1.counts;
    let p = if top1.mcnemar_p < 0.001 {
        "p\u{a0}<\u{a0}0.001".to_owned()
    } else {
        format!("p\u{a0}=\u{a0}{:.3}", top1.mcnemar_p)
    };
    let what = format!(
        "Drop of top-1: {}, 95 % interval {}{}",
        points(top1.drop_points),
        span(top1.interval_points),
        limit.map_or(String::new(), |limit| format!(", limit {limit}"))
    );
    let mut colours = vec![("main", "drop with its 95 % interval, percentage points")];
    if limit.is_some() {
        colours.push(("limit", "limit, --max-drop"));
    }
    html! {
        (bars("Top-1", &rows))
        h3 { "Drop" }
        p.note {
            "Float's top-1 less int8's, in percentage points: right of 0 int8 is worse. Where the interval contains 0, \
             these images show no difference."
        }
        figure {
            (interval(&what, top1.interval_points, top1.drop_points, limit))
            figcaption { (key(&colours)) }
        }
        h3 { "Who is right" }
        div.scroll {
            table.numbers {
                (head(&["", "int8 right", "int8 wrong"]))
                tbody {
                    tr { th scope="row" { "float right" }
                        td.number { (count(counts.both as u64)) } td.number { (count(counts.only_float as u64)) } }
                    tr { th scope="row" { "float wrong" }
                        td.number { (count(counts.only_int8 as u64)) } td.number { (count(counts.neither as u64)) } }
                }
            }
        }
        p.note {
            "The drop consists of the images that only one of the two recognises. Exact McNemar test: " (p)
            ". Interval: " (top1.interval_method) "."
        }
    }
}

fn files(parity: &Parity<'_>, compared: &Compared<'_>) -> Markup {
    let path = |path: &Path| code(&path.display().to_string());
    let network = parity.network;
    html! {
        (facts(&[
            ("model", path(compared.model)),
            ("its SHA-256", html! { code { (compared.model_sha256) } }),
            (compared.reference_kind, path(compared.reference)),
            ("its SHA-256", html! { code { (compared.reference_sha256) } }),
            ("input", html! { (network.image.to_string()) ", height × width × channels" }),
            ("classes", html! { (count(network.classes as u64)) }),
        ]))
    }
}
