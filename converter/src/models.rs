//! What a network of the family costs, before it is trained or converted.

use cardinal_calib::{Method, Observer};
use cardinal_format::{Colour, Filter, Preprocess, Resize};
use serde::Serialize;

use crate::Error;
use crate::architecture::Architecture;
use crate::convert::encode;
use crate::graph::Graph;
use crate::import::template;
use crate::labels::imagenet_1k;

/// A published network and what its publishers say of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The name it is published under.
    pub name: &'static str,
    /// Parameters, millions.
    pub parameters_m: f64,
    /// "FLOPs", 10⁹: see [`Figures::mmcv_flops`].
    pub flops_g: f64,
    /// Top-1 on the ImageNet-1k validation set, percent, float32.
    pub top1: f64,
    /// Top-5 likewise.
    pub top5: f64,
    /// Who says so.
    pub source: &'static str,
}

const MMPRETRAIN: &str = "mmpretrain 1.2.0, configs/resnext/metafile.yml";

/// The ResNeXts that mmpretrain publishes, trained on ImageNet-1k.
pub const PUBLISHED: [Published; 4] = [
    published("resnext50-32x4d_8xb32_in1k", 25.03, 4.27, 77.90, 93.66),
    published("resnext101-32x4d_8xb32_in1k", 44.18, 8.03, 78.61, 94.17),
    published("resnext101-32x8d_8xb32_in1k", 88.79, 16.50, 79.27, 94.58),
    published("resnext152-32x4d_8xb32_in1k", 59.95, 11.80, 78.88, 94.33),
];

const fn published(name: &'static str, parameters_m: f64, flops_g: f64, top1: f64, top5: f64) -> Published {
    Published { name, parameters_m, flops_g, top1, top5, source: MMPRETRAIN }
}

/// Sizes and costs, computed from the graph that the name stands for.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// As [`Architecture`] writes it.
    pub name: String,
    /// Blocks per stage.
    pub blocks: Vec<usize>,
    /// Groups of the 3×3 convolutions.
    pub cardinality: u32,
    /// Channels per group in the first stage.
    pub width_per_group: u32,
    /// Height, width.
    pub input: [u32; 2],
    /// Number of classes.
    pub classes: usize,
    /// Parameters of the trained network, batch norms included.
    pub parameters: u64,
    /// Multiply-adds of one image: convolutions and classifier.
    pub multiply_adds: u64,
    /// The same and the operations of batch norm, ReLU and pools, as mmcv counts "FLOPs".
    pub mmcv_flops: u64,
    /// Bytes of the int8 file.
    pub file_bytes: usize,
    /// Bytes of the one buffer that a session needs.
    pub arena_bytes: usize,
    /// What is published of it, for the published input and classes.
    pub published: Option<Published>,
}

/// Figures of an architecture; the file is really encoded, with weights of zero.
///
/// # Errors
/// An input that no checkpoint could have either.
pub fn figures(architecture: &Architecture, input: [u32; 2], classes: usize) -> Result<Figures, Error> {
    let graph = template(architecture, input, classes)?;
    let (bytes, arena_bytes) = untrained(&graph)?;
    let same = |p: &&Published| p.name.parse().as_ref() == Ok(architecture);
    Ok(Figures {
        name: architecture.to_string(),
        blocks: architecture.blocks.clone(),
        cardinality: architecture.cardinality,
        width_per_group: architecture.width_per_group,
        input,
        classes,
        parameters: graph.trained_parameters(),
        multiply_adds: graph.cost().0,
        mmcv_flops: graph.mmcv_flops(),
        file_bytes: bytes.len(),
        arena_bytes,
        published: PUBLISHED.iter().find(same).copied().filter(|_| (input, classes) == ([224; 2], 1000)),
    })
}

/// The graph as a file, with scales of no meaning, and the arena's length. A thousand classes are ImageNet's.
pub(crate) fn untrained(graph: &Graph) -> Result<(Vec<u8>, usize), Error> {
    let mut observer = Observer::new();
    observer.observe(&[0.0, 1.0]);
    let fail = |cause| Error::Quantize { layer: "conv1".into(), cause };
    let calibrated = observer.qparams(Method::MinMax).map_err(fail)?;
    let mut layers = vec![None; graph.layers.len()];
    graph.calibrated().into_iter().for_each(|layer| layers[layer] = Some(calibrated));
    let ones = [1.0, 1.0, 1.0, 0.0];
    let preprocess =
        Preprocess { colour: Colour::Rgb, resize: Resize::Exact, filter: Filter::Bilinear, mean: ones, std: ones };
    let labels: Vec<&str> = imagenet_1k().map(|(_, name)| name).filter(|_| graph.classes() == 1000).collect();
    encode(graph, &preprocess, &layers, None, &labels, "{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_published_ones() {
        for published in PUBLISHED {
            let architecture = published.name.parse().expect("a member");
            let graph = template(&architecture, [224; 2], 1000).expect("it fits");
            let rounded = |value: u64, unit: f64| (value as f64 / unit * 100.0).round() / 100.0;
            assert_eq!(rounded(graph.trained_parameters(), 1e6), published.parameters_m, "{}", published.name);
            let flops = graph.mmcv_flops() as f64 / 1e9;
            // 16.507 is published as 16.50.
            assert!((flops - published.flops_g).abs() < 0.0075, "{}: {flops}", published.name);
        }
    }

    #[test]
    fn other_members_have_figures_too() {
        let figures = figures(&"resnext26-8x16d".parse().expect("a member"), [96, 96], 10).expect("it fits");
        assert_eq!((figures.blocks, figures.published), (vec![2; 4], None));
        assert!(figures.file_bytes as u64 > figures.parameters && figures.arena_bytes > 96 * 96 * 3);
    }
}
