//! ResNeXts by name: what a name says of a network, before there are weights.
//!
//! The template is table 1 of Xie et al. 2017 ("Aggregated Residual Transformations for Deep Neural Networks",
//! arXiv:1611.05431); ResNet (He et al. 2016) is its case of one group, wide ResNet (Zagoruyko & Komodakis 2016) of one
//! wide group.

use std::fmt;
use std::str::FromStr;

/// A member of the family: bottleneck blocks in four stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Blocks per stage.
    pub blocks: Vec<usize>,
    /// Groups of the 3×3 convolutions.
    pub cardinality: u32,
    /// Channels per group in the first stage; they double from stage to stage.
    pub width_per_group: u32,
}

/// Blocks per stage by depth: the stem, three convolutions a block, the classifier.
const DEPTHS: [(u32, [usize; 4]); 7] = [
    (14, [1, 1, 1, 1]),
    (26, [2, 2, 2, 2]),
    (38, [3, 3, 3, 3]),
    (50, [3, 4, 6, 3]),
    (101, [3, 4, 23, 3]),
    (152, [3, 8, 36, 3]),
    (200, [3, 24, 36, 3]),
];

impl Architecture {
    /// Depth as the paper counts it.
    pub fn depth(&self) -> usize {
        2 + 3 * self.blocks.iter().sum::<usize>()
    }
}

impl fmt::Display for Architecture {
    /// `resnext50-32x4d`, `resnet50`, `wide_resnet50_2`: as the projects that publish them write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.depth();
        match (self.cardinality, self.width_per_group) {
            (1, 64) => write!(f, "resnet{depth}"),
            (1, width) if width % 64 == 0 => write!(f, "wide_resnet{depth}_{}", width / 64),
            (cardinality, width) => write!(f, "resnext{depth}-{cardinality}x{width}d"),
        }
    }
}

/// Names are mmpretrain's (`resnext50-32x4d_8xb32_in1k`), torchvision's (`resnext50_32x4d`) and timm's
/// (`resnext50_32x4d.a1_in1k`): what follows the architecture is passed over.
impl FromStr for Architecture {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || {
            let depths: Vec<String> = DEPTHS.iter().map(|(depth, _)| depth.to_string()).collect();
            format!(
                "{name:?} is not an architecture of this family: expected resnext<depth>-<cardinality>x<width>d (as \
                 resnext50-32x4d), resnet<depth> or wide_resnet<depth>_2, with depth {}",
                depths.join(", ")
            )
        };
        let lower = name.to_ascii_lowercase();
        let (rest, wide) = match lower.strip_prefix("wide_") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        let (rest, grouped) = match (rest.strip_prefix("resnext"), rest.strip_prefix("resnet")) {
            (Some(rest), _) if !wide => (rest, true),
            (_, Some(rest)) => (rest, false),
            _ => return Err(unknown()),
        };
        let (depth, rest) = number(rest).ok_or_else(unknown)?;
        let blocks = DEPTHS.iter().find(|&&(d, _)| d == depth).ok_or_else(unknown)?.1.to_vec();
        let (cardinality, width_per_group, rest) = if grouped {
            let (cardinality, rest) = rest.strip_prefix(['-', '_']).and_then(number).ok_or_else(unknown)?;
            let (width, rest) = rest.strip_prefix('x').and_then(number).ok_or_else(unknown)?;
            (cardinality, width, rest.strip_prefix('d').ok_or_else(unknown)?)
        } else if wide {
            let (factor, rest) = rest.strip_prefix('_').and_then(number).ok_or_else(unknown)?;
            (1, 64 * factor.min(1000), rest)
        } else {
            (1, 64, rest)
        };
        let sensible = (1..=1024).contains(&cardinality) && (1..=1024).contains(&width_per_group);
        // A tag may follow, another architecture may not: resnet50d is not resnet50.
        if !sensible || !rest.is_empty() && !rest.starts_with(['_', '.']) {
            return Err(unknown());
        }
        Ok(Architecture { blocks, cardinality, width_per_group })
    }
}

/// The leading decimal number, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_three_projects_write_them() {
        let expected = Architecture { blocks: vec![3, 4, 23, 3], cardinality: 32, width_per_group: 8 };
        for name in [
            "resnext101-32x8d_8xb32_in1k",
            "resnext101_32x8d",
            "resnext101_32x8d.fb_wsl_ig1b_ft_in1k",
            "ResNeXt101-32x8d",
        ] {
            assert_eq!(name.parse(), Ok(expected.clone()), "{name}");
        }
        for name in ["resnext26-8x16d", "resnet50", "wide_resnet50_2"] {
            assert_eq!(name.parse::<Architecture>().expect("a member").to_string(), name);
        }
    }

    #[test]
    fn other_names_are_refused_with_what_would_do() {
        for name in
            ["resnet50d", "resnext50d_32x4d", "resnext51-32x4d", "resnext50-32x", "seresnext50_32x4d", "vgg16", ""]
        {
            let error = name.parse::<Architecture>().expect_err(name);
            assert!(error.contains("resnext<depth>-<cardinality>x<width>d"), "{error}");
        }
    }
}
