//! A state dict → parts, by the names that mmpretrain, torchvision and timm share.

use std::collections::BTreeSet;

use super::ImportError;
use super::assemble::{BatchNorm, BlockPart, ConvPart, Parts};
use super::checkpoint::{Checkpoint, Tensor};
use crate::graph::Linear;

/// Ends of keys that tell nothing about inference.
const IGNORED: [&str; 1] = ["num_batches_tracked"];

/// mmcv's EMA hook keeps its second copy among the weights, `backbone.conv1.weight` as this and `backbone_conv1_weight`.
const SECOND_COPY: &str = "ema_";

struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    file: &'a str,
    /// Before `conv1.weight`: empty, `backbone.`, `module.backbone.`, …
    prefix: String,
    used: BTreeSet<String>,
}

/// Finds the parts; refuses a checkpoint with any tensor that it cannot place.
pub(super) fn read(checkpoint: &Checkpoint, file: &str) -> Result<Parts, ImportError> {
    const FIRST: &str = "layer1.0.conv1.weight";
    let Some(first) = checkpoint.keys().find(|key| key.ends_with(FIRST)) else {
        let what = checkpoint.keys().next().unwrap_or("(no tensor)").to_owned();
        let why = format!("no tensor is named …{FIRST}, so this is no ResNeXt");
        return Err(ImportError::Family { file: file.into(), what, why });
    };
    let prefix = first.strip_suffix(FIRST).unwrap_or_default().to_owned();
    let mut reader = Reader { checkpoint, file, prefix: prefix.clone(), used: BTreeSet::new() };

    if !reader.has(&format!("{prefix}conv1.weight")) {
        let why = "there is no such tensor; deep stems of several convolutions are not supported yet".into();
        return Err(ImportError::Family { file: file.into(), what: format!("{prefix}conv1.weight"), why });
    }
    let stem = reader.conv(&format!("{prefix}conv1"), &format!("{prefix}bn1"))?;
    let mut stages = Vec::new();
    for s in 1.. {
        let mut stage = Vec::new();
        for b in 0.. {
            let block = format!("{prefix}layer{s}.{b}.");
            if !reader.has(&format!("{block}conv1.weight")) {
                break;
            }
            let mut conv = |i: usize| reader.conv(&format!("{block}conv{i}"), &format!("{block}bn{i}"));
            let convs = [conv(1)?, conv(2)?, conv(3)?];
            let downsample = match reader.has(&format!("{block}downsample.0.weight")) {
                true => Some(reader.conv(&format!("{block}downsample.0"), &format!("{block}downsample.1"))?),
                false => None,
            };
            stage.push(BlockPart { convs, downsample });
        }
        if stage.is_empty() {
            break;
        }
        stages.push(stage);
    }
    let (head, head_origin) = reader.head()?;
    reader.nothing_left()?;
    Ok(Parts {
        file: file.into(),
        input: None,
        has_windows: false,
        stem,
        pool: None,
        stages,
        averaged: None,
        head,
        head_origin,
    })
}

impl<'a> Reader<'a> {
    fn has(&self, key: &str) -> bool {
        self.checkpoint.get(key).is_some()
    }

    fn get(&mut self, key: String) -> Result<&'a Tensor, ImportError> {
        let Some(tensor) = self.checkpoint.get(&key) else {
            let why = "there is no such tensor, which every bottleneck block with batch norm has".into();
            return Err(ImportError::Family { file: self.file.into(), what: key, why });
        };
        self.used.insert(key);
        Ok(tensor)
    }

    fn wrong(&self, key: &str, why: String) -> ImportError {
        ImportError::Tensor { file: self.file.into(), key: key.into(), why }
    }

    /// One value per channel.
    fn vector(&mut self, key: String, len: usize) -> Result<&'a [f32], ImportError> {
        let tensor = self.get(key.clone())?;
        if tensor.shape != [len] {
            return Err(self.wrong(&key, format!("has shape {:?}, expected [{len}]", tensor.shape)));
        }
        Ok(&tensor.data)
    }

    fn conv(&mut self, conv: &str, bn: &str) -> Result<ConvPart, ImportError> {
        let origin = format!("{conv}.weight");
        let tensor = self.get(origin.clone())?;
        let &[out, in_per_group, rows, columns] = tensor.shape.as_slice() else {
            return Err(self.wrong(&origin, format!("has shape {:?}, a convolution has four dimensions", tensor.shape)));
        };
        let small = |n: usize| u8::try_from(n).ok().filter(|&n| n % 2 == 1);
        let (Some(rows), Some(columns), Ok(in_per_group)) = (small(rows), small(columns), u32::try_from(in_per_group))
        else {
            return Err(
                self.wrong(&origin, format!("has shape {:?}: an odd kernel below 256 is expected", tensor.shape))
            );
        };
        if tensor.data.is_empty() {
            return Err(self.wrong(&origin, "is empty".into()));
        }
        let mut bias = vec![0.0; out];
        let key = format!("{conv}.bias");
        if self.has(&key) {
            bias.copy_from_slice(self.vector(key, out)?);
        }
        let mut part = ConvPart {
            origin,
            weights: tensor.data.clone(),
            bias,
            in_per_group,
            kernel: [rows, columns],
            window: None,
            groups: None,
            norm: None,
        };
        let bn = BatchNorm {
            gamma: self.vector(format!("{bn}.weight"), out)?,
            beta: self.vector(format!("{bn}.bias"), out)?,
            mean: self.vector(format!("{bn}.running_mean"), out)?,
            variance: self.vector(format!("{bn}.running_var"), out)?,
            epsilon: BatchNorm::EPSILON,
        };
        bn.fold(&mut part);
        Ok(part)
    }

    /// `head.fc` beside `backbone`, `fc` beside `layer1`.
    fn head(&mut self) -> Result<(Linear, String), ImportError> {
        let outer = self.prefix.strip_suffix("backbone.").unwrap_or(&self.prefix);
        let name = [format!("{outer}head.fc"), format!("{outer}fc")]
            .into_iter()
            .find(|name| self.has(&format!("{name}.weight")))
            .unwrap_or_else(|| format!("{outer}fc"));
        let origin = format!("{name}.weight");
        let tensor = self.get(origin.clone())?;
        let &[classes, _] = tensor.shape.as_slice() else {
            return Err(self.wrong(&origin, format!("has shape {:?}, a classifier has two dimensions", tensor.shape)));
        };
        if tensor.data.is_empty() {
            return Err(self.wrong(&origin, "is empty".into()));
        }
        let bias = self.vector(format!("{name}.bias"), classes)?.to_vec();
        Ok((Linear { weights: tensor.data.clone(), bias }, origin))
    }

    fn nothing_left(&self) -> Result<(), ImportError> {
        let known = |key: &&str| {
            self.used.contains(*key)
                || IGNORED.iter().any(|suffix| key.ends_with(suffix))
                || key.strip_prefix("module.").unwrap_or(key).starts_with(SECOND_COPY)
        };
        match self.checkpoint.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                let why = "this tensor is not part of a ResNeXt".into();
                Err(ImportError::Family { file: self.file.into(), what: key.into(), why })
            }
        }
    }
}
