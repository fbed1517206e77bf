//! The images that two networks differ on, as the network sees them.

use maud::{Markup, html};

use super::page::{code, facts, head, short};
use super::pictures::Picture;
use crate::Error;
use crate::parity::{Changed, Findings, Opinion, Parity, ProbabilityChange};
use crate::units::{count, number};

/// Pictures at most.
const PICTURES: usize = 60;
/// Bytes of a page that they may take.
const PICTURE_BYTES: usize = 1_100_000;
/// Images that are listed after those.
const LISTED: usize = 300;

/// A class's label, or its number.
fn class(class: usize, label: Option<&str>) -> String {
    label.map_or_else(|| class.to_string(), |label| short(label).into_owned())
}

/// What a network says of an image of class `label`, with its score.
fn opinion(opinion: &Opinion, label: usize) -> Markup {
    html! {
        (class(opinion.class, opinion.label.as_deref())) " " span.aside { (format!("{:.3}", opinion.score)) }
        @if opinion.class == label { span.good { "\u{a0}✓" } }
    }
}

/// The image as the network sees it; none if it cannot be shown.
fn picture(parity: &Parity<'_>, index: usize) -> Result<Option<Picture>, Error> {
    let network = parity.network;
    let pixels = parity.images.prepare(index, &network.preprocess, network.input())?;
    Ok(Picture::new(&pixels, network.image))
}

/// The image on which a probability moved most.
///
/// # Errors
/// It cannot be read again.
pub(super) fn largest(parity: &Parity<'_>, change: &ProbabilityChange) -> Result<Markup, Error> {
    let picture = picture(parity, change.index)?;
    let name = class(change.class, change.label.as_deref());
    Ok(html! {
        p.note {
            "The probability that moved most, of any class on any image. It matters where scores are compared with \
             thresholds."
        }
        div.shot.wide {
            @if let Some(picture) = picture { (picture.show(&format!("Where the probability of {name} changed most"))) }
            (facts(&[
                ("class", html! { (name) }),
                ("float32", html! { (format!("{:.4}", change.float)) }),
                ("int8", html! { (format!("{:.4}", change.int8)) }),
                ("change", html! { strong { (number(change.change)) } }),
                ("image", code(&change.image)),
            ]))
        }
    })
}

/// The images that changed class: as many pictures as fit, and the others in a list.
///
/// # Errors
/// One cannot be read again.
pub(super) fn changed(parity: &Parity<'_>, findings: &Findings) -> Result<Markup, Error> {
    let mut images: Vec<&Changed> = findings.changed.iter().collect();
    // The surest first; stable, so that equal ones keep their order.
    let sure = |image: &Changed| image.float.score.min(image.int8.score);
    images.sort_by(|a, b| sure(b).total_cmp(&sure(a)));
    let mut shown = Vec::new();
    let mut room = PICTURE_BYTES;
    for &image in images.iter().take(PICTURES) {
        let Some(picture) = picture(parity, image.index)?.filter(|picture| picture.len() <= room) else { break };
        room -= picture.len();
        shown.push((image, picture));
    }
    let rest = &images[shown.len()..];
    let row = |image: &Changed| {
        html! {
            td { (class(image.class, image.label.as_deref())) }
            td { (opinion(&image.float, image.class)) }
            td { (opinion(&image.int8, image.class)) }
            td { (code(&image.image)) }
        }
    };
    Ok(html! {
        @if images.is_empty() {
            p.note { "None: both networks give every image the same class." }
        } @else {
            p.note {
                (count(images.len() as u64)) " of " (count(findings.images as u64)) " images, as the network sees \
                 them, the surest changes first. Changes between near-equal scores are harmless; sure ones are worth a \
                 look."
            }
        }
        @if !shown.is_empty() {
            ul.shots {
                @for (image, picture) in &shown {
                    @let label = class(image.class, image.label.as_deref());
                    li.shot {
                        (picture.show(&format!("An image labelled {label}")))
                        dl {
                            div { dt { "label" } dd { (label) } }
                            div { dt { "float32" } dd { (opinion(&image.float, image.class)) } }
                            div { dt { "int8" } dd { (opinion(&image.int8, image.class)) } }
                        }
                        p.aside { (short(&image.image)) }
                    }
                }
            }
        }
        @if !rest.is_empty() {
            details open=[shown.is_empty().then_some("open")] {
                @let [more, images] = [(!shown.is_empty(), " more"), (rest.len() != 1, "s")]
                    .map(|(holds, word)| if holds { word } else { "" });
                summary { (count(rest.len() as u64)) (more) " image" (images) }
                div.scroll {
                    table.words {
                        (head(&["label", "float32", "int8", "image"]))
                        tbody { @for image in rest.iter().take(LISTED) { tr { (row(image)) } } }
                    }
                }
                @if rest.len() > LISTED {
                    p.note { "And " (count((rest.len() - LISTED) as u64)) " more: " code { "--json" } " has all." }
                }
            }
        }
    })
}
