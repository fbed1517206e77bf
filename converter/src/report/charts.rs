//! Charts as inline SVG. Places along the width are percentages and text has the page's size, so that a chart fits any
//! width without becoming small.

use maud::{Markup, html};

use super::page::short;

/// A row of [`bars`].
pub(super) struct Bar {
    /// What it is.
    pub name: Markup,
    /// The length, of the longest bar's 1.
    pub share: f64,
    /// The number in words.
    pub value: String,
    /// How it stands out.
    pub tone: Tone,
}

/// What a bar is beside the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// What others are held against.
    Pale,
    /// The one that it is about.
    Chosen,
    /// One like the others.
    Plain,
    /// Worse than others.
    Worst,
}

impl Tone {
    /// As the style sheet has it.
    fn class(self) -> &'static str {
        match self {
            Tone::Pale => "pale",
            Tone::Chosen => "chosen",
            Tone::Plain => "plain",
            Tone::Worst => "worst",
        }
    }
}

/// Named bars with their numbers; `caption` is for those who cannot see them.
pub(super) fn bars(caption: &str, rows: &[Bar]) -> Markup {
    html! {
        table.bars {
            caption { (caption) }
            @for row in rows {
                tr class=(row.tone.class()) {
                    th scope="row" { (row.name) }
                    td.bar { (bar(row.share)) }
                    td.number { (row.value) }
                }
            }
        }
    }
}

/// One bar, for a cell of a table that has its number as well.
pub(super) fn bar(share: f64) -> Markup {
    html! { svg.bar aria-hidden="true" { rect width=(percent(100.0 * share.clamp(0.0, 1.0))) height="100%" {} } }
}

/// A place in an SVG.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

/// A step of an axis up to `most`: 1, 2 or 5 times a power of ten, and five steps at most.
pub(super) fn step(most: f64) -> f64 {
    let least = most / 5.0;
    if !least.is_normal() || least < 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least).unwrap_or(10.0);
    factor * power
}

/// A layer in [`along_network`].
pub(super) struct Column<'a> {
    /// The layer.
    pub name: &'a str,
    /// Height of the column.
    pub value: f64,
    /// Height of a second mark.
    pub beside: Option<f64>,
    /// What is said when it is pointed at, after the name.
    pub says: String,
    /// Whether it stands out.
    pub marked: bool,
}

/// A column per layer in running order. `what` describes the chart for those who cannot see it; `line` is a height to
/// compare with.
pub(super) fn along_network(what: &str, columns: &[Column<'_>], unit: &str, line: Option<f64>) -> Markup {
    let heights = columns.iter().flat_map(|column| [Some(column.value), column.beside]).flatten().chain(line);
    let most = heights.filter(|height| height.is_finite()).fold(0.0, f64::max);
    let step = step(most);
    let ticks = (most / step).ceil().max(1.0);
    let top = ticks * step;
    // From above. What is infinite fills the chart, what is no number is nothing.
    let y = |height: f64| if height > 0.0 { 100.0 - 100.0 * (height / top).min(1.0) } else { 100.0 };
    let slot = 100.0 / columns.len().max(1) as f64;
    let label =
        |tick: f64| format!("{}{}", (tick * step * 100.0).round() / 100.0, if tick == ticks { unit } else { "" });
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    html! {
        svg.columns role="img" aria-label=(what) {
            @for tick in (0..=ticks as u32).map(f64::from) {
                line.grid x2="100%" y1=(percent(y(tick * step))) y2=(percent(y(tick * step))) {}
                text.tick x="-8" y=(percent(y(tick * step))) dy="0.32em" { (label(tick)) }
            }
            @for (i, column) in columns.iter().enumerate() {
                g.worst[column.marked] {
                    title { (short(column.name)) ": " (column.says) }
                    rect.slot x=(percent(i as f64 * slot)) width=(percent(slot)) height="100%" {}
                    rect x=(percent((i as f64 + 0.12) * slot)) width=(percent(0.76 * slot)) y=(percent(y(column.value)))
                        height=(percent(100.0 - y(column.value))) {}
                    @if let Some(beside) = column.beside {
                        line.beside x1=(percent((i as f64 + 0.02) * slot)) x2=(percent((i as f64 + 0.98) * slot))
                            y1=(percent(y(beside))) y2=(percent(y(beside))) {}
                    }
                }
            }
            @if let Some(line) = line { line.limit x2="100%" y1=(percent(y(line))) y2=(percent(y(line))) {} }
            (stages(&names))
        }
    }
}

/// Names of a network's stages below a chart along it: what layers' names have in common before their first point.
pub(super) fn stages(names: &[&str]) -> Markup {
    /// Share of the width that a letter needs on a phone.
    const LETTER: f64 = 0.022;
    let stage = |name: &&str| name.split('.').next().unwrap_or_default().to_owned();
    let mut stages: Vec<(String, usize)> = Vec::new();
    for name in names.iter().map(stage) {
        match stages.last_mut() {
            Some((last, length)) if *last == name => *length += 1,
            _ => stages.push((name, 1)),
        }
    }
    let all = names.len().max(1) as f64;
    let mut from = 0;
    let places = stages.into_iter().map(|(name, length)| {
        let (start, share) = (from as f64 / all, length as f64 / all);
        from += length;
        (share >= LETTER * (name.chars().count() + 1) as f64, start, share, name)
    });
    html! {
        @for (fits, start, share, name) in places.collect::<Vec<_>>() {
            line.stage x1=(percent(100.0 * start)) x2=(percent(100.0 * start)) y1="100%" y2="103%" {}
            @if fits {
                text.stage x=(percent(100.0 * (start + share / 2.0))) y="100%" dy="1.5em" { (name) }
            }
        }
    }
}

/// A measure with its interval, beside the limit that it is held to.
pub(super) fn interval(what: &str, [low, high]: [f64; 2], at: f64, limit: Option<f64>) -> Markup {
    let ends = [low, high, at, 0.0, limit.unwrap_or(0.0)];
    let (least, most) = (ends.into_iter().fold(0.0, f64::min), ends.into_iter().fold(0.0, f64::max));
    let step = step((most - least).max(1e-6));
    let (first, last) = ((least / step - 0.2).floor(), (most / step + 0.2).ceil());
    let x = |value: f64| percent(100.0 * (value / step - first) / (last - first));
    let ticks = (0..=(last - first) as u32).map(|i| first + f64::from(i));
    let label = |tick: f64| format!("{}", (tick * step * 1e4).round() / 1e4 + 0.0).replace('-', "−");
    html! {
        svg.interval role="img" aria-label=(what) {
            @for tick in ticks {
                line.grid.zero[tick == 0.0] x1=(x(tick * step)) x2=(x(tick * step)) y1="32" y2="82" {}
                text.stage x=(x(tick * step)) y="102" { (label(tick)) }
            }
            line.range x1=(x(low)) x2=(x(high)) y1="57" y2="57" {}
            circle.at cx=(x(at)) cy="57" r="7" {}
            @if let Some(limit) = limit {
                line.limit x1=(x(limit)) x2=(x(limit)) y1="24" y2="82" {}
                text.stage x=(x(limit)) y="16" { "limit " (limit) }
            }
        }
    }
}

/// A key to a chart's colours: classes as the style sheet has them, and what they mean.
pub(super) fn key(entries: &[(&str, &str)]) -> Markup {
    html! {
        p.key {
            @for (class, meaning) in entries {
                span {
                    svg.swatch aria-hidden="true" { rect class=(class) width="100%" height="100%" {} }
                    (meaning)
                }
                " "
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (most, expected) in [(40.2, 10.0), (1.0, 0.2), (99.0, 20.0), (0.049, 0.01), (260.0, 100.0), (0.0, 1.0)] {
            assert!((step(most) - expected).abs() < 1e-12, "{most}: {}", step(most));
        }
    }

    #[test]
    fn what_is_no_number_has_no_height() {
        let column = |value| Column { name: "a", value, beside: None, says: String::new(), marked: false };
        let chart =
            along_network("", &[column(f64::INFINITY), column(f64::NAN), column(-3.0), column(7.0)], " dB", None).0;
        assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
        assert!(chart.contains("y=\"0.00%\" height=\"100.00%\""), "{chart}");
    }

    #[test]
    fn only_wide_stages_are_named() {
        let chart = stages(&["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"]).0;
        assert!(chart.contains(">layer1<") && chart.contains(">conv1<"), "{chart}");
        let names: Vec<&str> = std::iter::once("conv1").chain(std::iter::repeat_n("layer1.0.conv1", 50)).collect();
        assert!(!stages(&names).0.contains("conv1<"));
    }
}
