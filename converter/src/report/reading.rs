//! Words that the pages use, for those who meet them for the first time, and where they come from.

use maud::{Markup, html};

/// An address that can be followed, and nothing that a page loads.
fn source(name: &str, address: &str) -> Markup {
    html! { a href=(address) { (name) } }
}

fn arxiv(number: &str) -> Markup {
    source(&format!("arXiv:{number}"), &format!("https://arxiv.org/abs/{number}"))
}

/// What both pages speak of.
fn common() -> Vec<(&'static str, Markup)> {
    vec![
        (
            "int8, scale, zero point",
            html! {
                "A number is kept as one of 256 codes and stands for scale × (code − zero point). A layer's output has \
                 one scale, its weights one per output channel. Jacob et al. 2018, " (arxiv("1712.05877")) "; \
                 Krishnamoorthi 2018, " (arxiv("1806.08342")) "."
            },
        ),
        (
            "logits, agreement",
            html! {
                "The network's last numbers, one per class; the largest is the answer. Agreement is the share of \
                 images whose answer is the same in int8 and float, right or wrong."
            },
        ),
        (
            "SQNR",
            html! {
                "Signal-to-quantization-noise ratio, 10 log₁₀ (Σ float² / Σ (int8 − float)²), in decibels. \
                 20\u{a0}dB is an error of a tenth of the signal, 40\u{a0}dB of a hundredth; 6\u{a0}dB more halve it. \
                 One more bit gives about 6\u{a0}dB. Widrow and Kollár, " cite { "Quantization Noise" } ", Cambridge \
                 2008."
            },
        ),
    ]
}

/// For the page of a conversion.
pub(super) fn conversion() -> Markup {
    let mut terms = common();
    terms.extend([
        (
            "calibration, ranges",
            html! {
                "The float network runs over training images, and each layer's range of codes is chosen for the values \
                 seen: all of them (" code { "min-max" } "), their " code { "moving-average" } " from image to image, \
                 99.99\u{a0}% of them (" code { "percentile" } ": Wu et al. 2020, " (arxiv("2004.09602")) "), or what \
                 costs least, by divergence (" code { "entropy" } ": Migacz 2017), squared error (" code { "mse" } ": \
                 Nagel et al. 2021, "
                (arxiv("2106.08295")) ") or what the logits are sensitive to (" code { "sensitivity" } "). A narrower \
                 range clips more values and rounds all others more finely."
            },
        ),
        (
            "rounding, clipping",
            html! {
                "Weights are not rounded each to the nearest code, but together, so that their errors cancel on the \
                 inputs that were seen, and the bias makes up for what is left: Frantar et al. 2023, "
                (arxiv("2210.17323")) "; Nagel et al. 2019, " (arxiv("1906.04721")) ". Clipping gives up a \
                 channel's largest weights for a finer scale."
            },
        ),
        (
            "equalize",
            html! {
                "Channels with small values are scaled up, and the weights that read them down by as much, so that all \
                 use more of the codes; the float network computes the same. Nagel et al. 2019, "
                (arxiv("1906.04721")) "; Xiao et al. 2023, " (arxiv("2211.10438")) "."
            },
        ),
        (
            "multiply-adds",
            html! {
                "Products that are summed up for one image, in convolutions and classifier: what a network costs \
                 anywhere."
            },
        ),
        (
            "arena",
            html! {
                "The one buffer for all that changes while an image is classified. Places are given out largest first: \
                 Pisarchyk and Lee 2020, " (arxiv("2001.03288")) "."
            },
        ),
    ]);
    terms_and_meanings(&terms)
}

/// For the page of a comparison.
pub(super) fn parity() -> Markup {
    let mut terms = common();
    terms.extend([
        ("top-1", html! { "Share of images whose answer is the labelled class." }),
        (
            "drop and its interval",
            html! {
                "Float's top-1 less int8's, in percentage points, and the adjusted Wald interval for paired \
                 proportions: of many test sets of this size, 95 % would have the true drop in theirs. If it contains \
                 0, these images show no difference; if it is too wide to decide, take more. Agresti and Min 2005, "
                (source("doi:10.1002/sim.1781", "https://doi.org/10.1002/sim.1781")) "."
            },
        ),
        (
            "McNemar's p",
            html! {
                "How often two equally accurate networks would differ so unevenly or more, by chance. Exact, \
                 two-sided. McNemar 1947, " (source("doi:10.1007/BF02295996", "https://doi.org/10.1007/BF02295996")) "."
            },
        ),
        (
            "score",
            html! {
                "Softmax of the logits, from 0 to 1. A change between near-equal scores is harmless; a sure one is \
                 worth a look."
            },
        ),
    ]);
    terms_and_meanings(&terms)
}

fn terms_and_meanings(terms: &[(&str, Markup)]) -> Markup {
    html! { dl.terms { @for (term, meaning) in terms { div { dt { (term) } dd { (meaning) } } } } }
}
