//! Where an image's time goes. All measured times of a page are here.

use maud::{Markup, html};

use super::charts::{Bar, Column, Tone, along_network, bars, key};
use super::page::{code, head};
use crate::graph::Graph;
use crate::timing::Times;
use crate::units::{count, number, percent};

/// Layers that are named first.
const SLOWEST: usize = 5;

/// An op of the file.
struct Layer<'a> {
    name: &'a str,
    /// A layer of the graph that is part of it.
    part: Option<&'a str>,
    seconds: f64,
    multiply_adds: u64,
}

/// The ops of a graph's file, in running order.
fn ops<'a>(graph: &'a Graph, times: &Times) -> Vec<Layer<'a>> {
    let (fused_into, costs) = (graph.fused_into(), graph.costs());
    let cost = |at: usize| costs.get(at).map_or(0, |&(multiply_adds, _)| multiply_adds);
    let ops = (0..graph.layers.len()).filter(|&at| fused_into[at].is_none());
    let op = |(at, &seconds): (usize, &f64)| {
        let part = fused_into.iter().position(|&adder| adder == Some(at));
        Layer {
            name: &graph.layers[at].name,
            part: part.map(|part| graph.layers[part].name.as_str()),
            seconds,
            multiply_adds: cost(at) + part.map_or(0, cost),
        }
    };
    ops.zip(&times.layers).map(op).collect()
}

/// Time and multiply-adds of each op of `graph`'s file.
pub(super) fn time(graph: &Graph, times: &Times) -> Markup {
    let layers = ops(graph, times);
    let seconds = layers.iter().map(|layer| layer.seconds).sum::<f64>().max(1e-12);
    let work = layers.iter().map(|layer| layer.multiply_adds).sum::<u64>().max(1) as f64;
    let share = |layer: &Layer<'_>| layer.seconds / seconds;
    let of_work = |layer: &Layer<'_>| layer.multiply_adds as f64 / work;
    let mut slowest: Vec<&Layer<'_>> = layers.iter().collect();
    slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    slowest.truncate(SLOWEST);
    let columns: Vec<Column<'_>> = layers
        .iter()
        .map(|layer| Column {
            name: layer.name,
            value: 100.0 * share(layer),
            beside: Some(100.0 * of_work(layer)),
            says: format!("{} of the time, {} of the multiply-adds", percent(share(layer)), percent(of_work(layer))),
            marked: false,
        })
        .collect();
    let most = slowest.first().map_or(1.0, |layer| layer.seconds.max(1e-12));
    let rows: Vec<Bar> = slowest
        .iter()
        .map(|layer| Bar {
            name: code(layer.name),
            share: layer.seconds / most,
            value: format!("{} ms · {}", number(1e3 * layer.seconds), percent(share(layer))),
            tone: Tone::Plain,
        })
        .collect();
    let (runs, total) = (times.runs.len(), times.percentile(0.5));
    html! {
        p.note {
            strong { (number(1e3 * total)) " ms an image" } " on one thread of the machine that made this page: "
            (std::env::consts::ARCH) ", kernels " code { (times.backend) } ", median of " (runs) " runs. A device has \
             other times; the shares tell more. A column far above its mark is slower than its multiply-adds explain: \
             it waits for memory, or its shape does not suit the kernels."
        }
        figure {
            (along_network("Each layer's share of the time, beside that of the multiply-adds", &columns, " %", None))
            figcaption { (key(&[("main", "share of the time"), ("beside", "share of the multiply-adds")])) }
        }
        (bars("The five slowest", &rows))
        details {
            summary { "All " (layers.len()) " layers in numbers" }
            div.scroll {
                table.numbers {
                    (head(&["layer", "ms", "share", "multiply-adds", "share", "10⁹ a second"]))
                    tbody {
                        @for layer in &layers {
                            tr {
                                th scope="row" {
                                    (code(layer.name)) @if let Some(part) = layer.part { " with " (code(part)) }
                                }
                                td.number { (number(1e3 * layer.seconds)) } td.number { (percent(share(layer))) }
                                td.number { (count(layer.multiply_adds)) } td.number { (percent(of_work(layer))) }
                                td.number {
                                    @if layer.multiply_adds == 0 { "–" } @else {
                                        (number(layer.multiply_adds as f64 / layer.seconds.max(1e-12) / 1e9))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
