//! A network by its name, before there are weights: for shapes and costs.

use super::assemble::{self, BlockPart, ConvPart, Parts};
use super::{ImportError, Settings};
use crate::architecture::Architecture;
use crate::graph::{Graph, Linear};

/// The architecture for RGB images of this height and width, by the ImageNet recipe, with weights of zero.
///
/// # Errors
/// An input that no checkpoint could have either.
pub fn template(architecture: &Architecture, input: [u32; 2], classes: usize) -> Result<Graph, ImportError> {
    let &Architecture { ref blocks, cardinality, width_per_group } = architecture;
    let conv = |in_per_group: u32, out: u32, kernel: u8| {
        let taps = usize::from(kernel) * usize::from(kernel);
        ConvPart {
            origin: format!("the {kernel}×{kernel} convolution to {out} channels"),
            weights: vec![0.0; out as usize * in_per_group as usize * taps],
            bias: vec![0.0; out as usize],
            in_per_group,
            kernel: [kernel; 2],
            window: None,
            groups: None,
            norm: None,
        }
    };
    let mut channels = 64;
    let stem = conv(3, channels, 7);
    let mut stages = Vec::new();
    for (stage, &blocks) in blocks.iter().enumerate() {
        let (width, outer) = (width_per_group << stage, 256 << stage);
        let inner = cardinality * width;
        let block = |block: usize| {
            let convs = [conv(channels, inner, 1), conv(width, inner, 3), conv(inner, outer, 1)];
            let downsample = (block == 0).then(|| conv(channels, outer, 1));
            channels = outer;
            BlockPart { convs, downsample }
        };
        stages.push((0..blocks).map(block).collect());
    }
    let head = Linear { weights: vec![0.0; classes * channels as usize], bias: vec![0.0; classes] };
    let (file, head_origin) = (architecture.to_string(), "the classifier".to_owned());
    let parts =
        Parts { file, input: None, has_windows: false, stem, pool: None, stages, averaged: None, head, head_origin };
    let resolved = Settings { input: Some(input), ..Settings::default() }.resolve(&parts)?;
    Ok(assemble::graph(parts, &resolved)?.0)
}
