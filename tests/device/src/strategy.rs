//! What property tests of several files draw from.

use cardinal_format::Colour;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::Size;

/// So many cases. A failure prints its shrunk case with all seeds in it, which is enough to repeat it, so none is stored.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Sizes of a random model.
pub fn sizes() -> impl Strategy<Value = Size> {
    let colour = select(&[Colour::Grey, Colour::Rgb][..]);
    ([1u32..=20, 1u32..=20], colour, 1u32..=5, 1u32..=3, [1u32..=70, 1u32..=70], 1u32..=40).prop_map(
        |(image, colour, groups, quads, [expanded, projected], classes)| {
            let body = 4 * quads * groups;
            Size { image, colour, groups, body, expanded, projected, classes }
        },
    )
}
