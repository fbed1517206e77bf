//! What the calibration images showed of each layer's output, and the range that its codes were given.

use cardinal_calib::{Calibrated, Histogram};
use maud::{Markup, html};

use super::charts::key;
use super::page::code;
use crate::calibrate::Calibration;
use crate::graph::Graph;
use crate::units::number;

/// Columns of a chart.
const COLUMNS: usize = 120;
/// Its height in the units of its path.
const HEIGHT: f64 = 100.0;

/// A layer's values.
struct Activation<'a> {
    name: &'a str,
    histogram: &'a Histogram,
    calibrated: &'a Calibrated,
}

/// A chart per layer: those of `worst` large, the others behind a click.
pub(super) fn activations(graph: &Graph, calibration: &Calibration, worst: &[&str]) -> Markup {
    let all = graph.layers.iter().zip(&calibration.histograms).zip(&calibration.layers);
    let all = all.filter_map(|((layer, histogram), calibrated)| {
        Some(Activation { name: &layer.name, histogram: histogram.as_ref()?, calibrated: calibrated.as_ref()? })
    });
    let (mut large, small): (Vec<_>, Vec<_>) = all.partition(|one| worst.contains(&one.name));
    large.sort_by_key(|one| worst.iter().position(|name| *name == one.name));
    html! {
        p.note {
            "What the calibration images showed, value by value. Height is the number of values on a logarithmic \
             scale: each line is ten times the one below. int8 has 256 codes for the range between the two marks. \
             Values beyond it are clipped; a wider range would clip less and round all others more coarsely."
        }
        (key(&[("main", "values"), ("cut", "beyond the range: clipped")]))
        div.large { @for one in &large { (one.chart()) } }
        @if !small.is_empty() {
            details {
                summary { "The other " (small.len()) " layers" }
                div.small { @for one in &small { (one.chart()) } }
            }
        }
    }
}

impl Activation<'_> {
    fn chart(&self) -> Markup {
        let &Calibrated { clip: (low, high), observed: (least, most), .. } = self.calibrated;
        let counts = columns(self.histogram, least, most);
        let greatest = counts.iter().copied().max().unwrap_or(0).max(1);
        let decades = (greatest as f64).log10();
        // Clips of the chart's own width, to whole tenths.
        let x = |value: f32| {
            let place = (f64::from(value) - f64::from(least)) / (f64::from(most) - f64::from(least)).max(1e-30);
            (10.0 * COLUMNS as f64 * place.clamp(0.0, 1.0)).round() / 10.0
        };
        let clipped = clipped(self.histogram, self.calibrated);
        let share = match clipped {
            0.0 => "none".to_owned(),
            0.0..1e-4 => format!("{} in a million", number(1e6 * clipped)),
            _ => format!("{} %", number(100.0 * clipped)),
        };
        let what = format!(
            "Histogram of {}: values from {} to {}, codes from {} to {}, clipped: {share}",
            self.name,
            number(least.into()),
            number(most.into()),
            number(low.into()),
            number(high.into())
        );
        html! {
            figure.histogram {
                figcaption { (code(self.name)) }
                svg role="img" aria-label=(what) viewBox={ "0 0 " (COLUMNS) " " (HEIGHT) } preserveAspectRatio="none" {
                    @if x(low) > 0.0 { rect.cut width=(x(low)) height="100%" {} }
                    @if x(high) < COLUMNS as f64 {
                        rect.cut x=(x(high)) width=(COLUMNS as f64 - x(high)) height="100%" {}
                    }
                    @for decade in 1..=decades.floor() as u32 {
                        @let y = (HEIGHT * (1.0 - level(10u64.pow(decade), greatest))).round();
                        path.grid d={ "M0 " (y) "h" (COLUMNS) } {}
                    }
                    path.main d=(outline(&counts, greatest)) {}
                    path.clip d={ "M" (x(low)) " 0v" (HEIGHT) "M" (x(high)) " 0v" (HEIGHT) } {}
                }
                p.ends { span { (number(least.into())) } span { (number(most.into())) } }
                p.note {
                    span { "codes " (number(low.into())) " to " (number(high.into())) } " " span { "clipped: " (share) }
                }
            }
        }
    }
}

/// Height of a count, 0…1; a single value is to be seen.
fn level(count: u64, greatest: u64) -> f64 {
    ((count as f64) * 2.0).max(1.0).log10() / ((greatest as f64) * 2.0).log10()
}

/// A path around the columns.
fn outline(counts: &[u64], greatest: u64) -> String {
    let mut path = format!("M0 {HEIGHT}");
    for (i, &count) in counts.iter().enumerate() {
        let y = (HEIGHT * (1.0 - level(count, greatest))).round();
        // A run of one height is one line.
        if i == 0 || count != counts[i - 1] {
            path += &format!("H{i}V{y}");
        }
    }
    path + &format!("H{COLUMNS}V{HEIGHT}Z")
}

/// Counts over equal parts of the range. A bin belongs to the part that its middle is in.
fn columns(histogram: &Histogram, least: f32, most: f32) -> Vec<u64> {
    let mut counts = vec![0; COLUMNS];
    let (least, span) = (f64::from(least), f64::from(most) - f64::from(least));
    for (middle, count) in bins(histogram) {
        let place = if span > 0.0 { (middle - least) / span } else { 0.5 };
        counts[((place.max(0.0) * COLUMNS as f64) as usize).min(COLUMNS - 1)] += count;
    }
    counts
}

/// Middle and count of every bin.
fn bins(histogram: &Histogram) -> impl Iterator<Item = (f64, u64)> {
    let half = |sign: f64, bins| {
        let width = sign * histogram.width();
        let at = move |(i, &count): (usize, &u64)| ((i as f64 + 0.5) * width, count);
        <[u64]>::iter(bins).enumerate().map(at)
    };
    half(1.0, histogram.non_negative()).chain(half(-1.0, histogram.negative()))
}

/// Share of the values that lie beyond the range of the codes, 0…1. Values of a bin that straddles its end count in
/// proportion.
fn clipped(histogram: &Histogram, calibrated: &Calibrated) -> f64 {
    let &Calibrated { clip: (low, high), observed: (least, most), .. } = calibrated;
    let half = histogram.width() / 2.0;
    let beyond = |(middle, count): (f64, u64)| {
        let part = |outside: f64| ((outside + half) / (2.0 * half)).clamp(0.0, 1.0);
        let above = if most > high { part(middle - f64::from(high)) } else { 0.0 };
        let below = if least < low { part(f64::from(low) - middle) } else { 0.0 };
        (above + below) * count as f64
    };
    bins(histogram).map(beyond).sum::<f64>() / histogram.count().max(1) as f64
}

#[cfg(test)]
mod tests {
    use cardinal_calib::{Method, Observer};

    use super::*;

    #[test]
    fn all_values_are_in_a_column() {
        let values: Vec<f32> = (-500..4000).map(|i| i as f32 / 100.0).collect();
        let mut histogram = Histogram::new();
        histogram.observe(&values);
        let counts = columns(&histogram, -5.0, 39.99);
        assert_eq!(counts.iter().sum::<u64>(), 4500);
        assert!(counts.iter().all(|count| (35..=40).contains(count)), "{counts:?}");
        let mut one = Histogram::new();
        one.observe(&[3.0; 7]);
        assert_eq!(columns(&one, 3.0, 3.0)[COLUMNS / 2], 7);
    }

    #[test]
    fn clipped_values_are_counted() {
        let mut observer = Observer::new();
        observer.observe(&(0..10_000).map(|i| i as f32 / 100.0).collect::<Vec<_>>());
        let whole = observer.qparams(Method::MinMax).expect("values");
        assert_eq!(clipped(observer.histogram(), &whole), 0.0);
        let tenth = Calibrated { clip: (0.0, 90.0), ..whole };
        assert!((clipped(observer.histogram(), &tenth) - 0.1).abs() < 1e-3);
        let both = Calibrated { clip: (10.0, 90.0), ..whole };
        assert!((clipped(observer.histogram(), &both) - 0.2).abs() < 1e-3);
    }
}
