//! The memory plan as a finished file has it: which bytes of the arena hold what, and how long.

use cardinal_format::{File, Op, TensorId};
use maud::{Markup, html};

use super::charts::{key, percent, stages, step};
use super::page::{code, head, short};
use crate::units::{bytes, count};

/// A tensor in the arena.
#[derive(Debug)]
struct Buffer<'a> {
    /// What is written: the name of an op, or of the image.
    name: &'a str,
    /// First byte.
    offset: usize,
    /// Bytes.
    len: usize,
    /// The step that writes it; the image is there at the first.
    first: usize,
    /// The last step that reads it, or its own.
    last: usize,
    /// Whether it is added to another tensor, as it is or projected.
    shortcut: bool,
    /// Whether the tensor of that step is written over it as it is read.
    overwritten: bool,
}

/// The buffers in the order of their writing.
fn buffers<'a>(file: &File<'a>) -> Vec<Buffer<'a>> {
    let ops: Vec<(&str, Op<'_>)> = file.ops().collect();
    let new = |name, range: std::ops::Range<usize>, step| Buffer {
        name,
        offset: range.start,
        len: range.len(),
        first: step,
        last: step,
        shortcut: false,
        overwritten: false,
    };
    let range = |id| file.tensor(id).map_or(0..0, |tensor| tensor.range());
    let mut buffers = vec![new("the image", range(TensorId::IMAGE), 0)];
    // The buffer that a tensor was written to last.
    let mut written = vec![0; file.tensor_count()];
    for (number, (name, op)) in ops.iter().enumerate() {
        buffers[written[usize::from(op.input().0)]].last = number;
        let to = op.output().map_or(file.logits_range(), range);
        if let Some(shortcut) = op.residual() {
            let buffer = &mut buffers[written[usize::from(shortcut.0)]];
            (buffer.last, buffer.shortcut, buffer.overwritten) = (number, true, buffer.offset == to.start);
        }
        if let Some(output) = op.output() {
            written[usize::from(output.0)] = buffers.len();
        }
        buffers.push(new(name, to, number));
    }
    buffers
}

impl Buffer<'_> {
    /// The step before which its place is free.
    fn end(&self) -> usize {
        if self.overwritten { self.last } else { self.last + 1 }
    }

    fn says(&self) -> String {
        let until = if self.overwritten { ", then written over" } else { "" };
        let (name, last) = (short(self.name), self.last);
        format!(
            "{name}: {} at {}, steps {} to {last}{until}",
            bytes(self.len as u64),
            count(self.offset as u64),
            self.first
        )
    }
}

/// The arena over the steps of a run.
pub(super) fn memory(file: &File<'_>) -> Markup {
    let buffers = buffers(file);
    let names: Vec<&str> = file.ops().map(|(name, _)| name).collect();
    let (arena, steps) = (file.arena_len().max(1) as f64, names.len().max(1) as f64);
    let alive = |at: usize| buffers.iter().filter(move |buffer| (buffer.first..buffer.end()).contains(&at));
    let used = |at: usize| alive(at).map(|buffer| buffer.len).sum::<usize>();
    let fullest = (0..names.len()).rev().max_by_key(|&at| used(at)).unwrap_or(0);
    let busiest = names.get(fullest).copied().unwrap_or_default();
    let sum: usize = buffers.iter().map(|buffer| buffer.len).sum();
    let what = format!(
        "Memory plan: {} buffers in {} bytes over {} steps; fullest at {} with {} bytes",
        buffers.len(),
        file.arena_len(),
        names.len(),
        busiest,
        used(fullest)
    );
    let x = |at: usize| percent(100.0 * at as f64 / steps);
    let y = |offset: usize| percent(100.0 - 100.0 * offset as f64 / arena);
    let tick = step(arena);
    let ticks: Vec<usize> = (0..=(arena / tick) as usize).map(|i| (i as f64 * tick) as usize).collect();
    html! {
        p.note {
            "One arena of " strong { (count(file.arena_len() as u64)) " bytes" } " holds every activation; a device \
             needs it beside the file and a little stack. Each rectangle is a tensor, from the step that writes it to \
             the last that reads it. All tensors together are " (bytes(sum as u64)) "; sharing places makes them fit. \
             Fullest is " (code(busiest)) ", with " (count(used(fullest) as u64)) " bytes in use."
        }
        figure {
            svg.columns.memory role="img" aria-label=(what) {
                @for &tick in &ticks {
                    line.grid x2="100%" y1=(y(tick)) y2=(y(tick)) {}
                    text.tick x="-8" y=(y(tick)) dy="0.32em" { (bytes(tick as u64)) }
                }
                @for buffer in &buffers {
                    @let steps = buffer.end().max(buffer.first + 1) - buffer.first;
                    rect.kept[buffer.shortcut] x=(x(buffer.first)) width=(x(steps))
                        y=(y(buffer.offset + buffer.len)) height=(percent(100.0 * buffer.len as f64 / arena)) {
                        title { (buffer.says()) }
                    }
                }
                line.limit x2="100%" {}
                (stages(&names))
            }
            figcaption {
                (key(&[("main", "a tensor"), ("kept", "one kept for a shortcut"), ("limit", "the arena's end")]))
            }
        }
        details {
            summary { "All " (buffers.len()) " tensors in numbers" }
            div.scroll {
                table.numbers {
                    (head(&["written by", "bytes", "offset", "steps", ""]))
                    tbody {
                        @for buffer in &buffers {
                            tr {
                                th scope="row" { (code(buffer.name)) }
                                td.number { (count(buffer.len as u64)) } td.number { (count(buffer.offset as u64)) }
                                td.number { (buffer.first) " – " (buffer.last) }
                                td { @if buffer.overwritten { "then written over" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Options;
    use crate::convert::convert;
    use crate::{embedded, host};

    #[test]
    fn what_is_alive_does_not_overlap() {
        let network = embedded::network().expect("the checkpoint ships");
        let images = embedded::calibration_images().expect("the images ship");
        let options = Options { images: Some(2), recipe: "mse".parse().ok(), ..Options::default() };
        let converted = convert(&network, &images, &options).expect("it fits");
        let model = host::open(&converted.bytes).expect("a model");
        let buffers = buffers(model.file());
        assert_eq!(buffers.len(), model.file().ops().len() + 1);
        assert_eq!(
            buffers.iter().map(|buffer| (buffer.offset + buffer.len).next_multiple_of(64)).max(),
            Some(model.arena_len())
        );
        assert!(buffers.iter().any(|buffer| buffer.overwritten));
        for (i, a) in buffers.iter().enumerate() {
            for b in &buffers[i + 1..] {
                let together = a.first < b.end() && b.first < a.end();
                let apart = a.offset + a.len <= b.offset || b.offset + b.len <= a.offset;
                assert!(apart || !together, "{a:?} {b:?}");
            }
        }
    }
}
