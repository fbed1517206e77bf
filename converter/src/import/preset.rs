//! Preprocessing by the name that people know it by.

use super::settings::{FilterSetting, IMAGENET_MEAN, IMAGENET_STD, ResizeSetting, Settings};

/// How a published network's tests prepare a photograph: all resize the short edge, crop the centre, and normalise with
/// ImageNet's mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// mmpretrain's ResNeXt configs: 256, crop 224, bilinear
    Mmpretrain,
    /// torchvision `IMAGENET1K_V1`: 256, crop 224, bilinear
    TorchvisionV1,
    /// torchvision `IMAGENET1K_V2` and resnext101_64x4d: 232, crop 224, bilinear
    TorchvisionV2,
    /// timm tags tv, fb_ssl, fb_swsl, fb_wsl: 256, crop 224, bilinear
    TimmTv,
    /// timm tag tv2 at its test size: 232, crop 224, bilinear
    TimmTv2,
    /// timm tags gluon, ra at their training size: 256, crop 224, bicubic
    TimmGluon,
    /// timm tags a1, a1h, a2, c1, and a3 at its test size: 235, crop 224, bicubic
    TimmA1,
    /// timm tags a1, a1h, a2, c1 at their test size: 288 whole, bicubic
    #[value(name = "timm-a1-288")]
    TimmA1Large,
    /// timm tag ra, and bt, at their test size: 303, crop 288, bicubic
    #[value(name = "timm-ra-288")]
    TimmRaLarge,
}

impl Preset {
    /// The settings that the name stands for.
    pub fn settings(self) -> Settings {
        use FilterSetting::{Bicubic, Bilinear};
        // timm rounds size / crop fraction down: 224 / 0.875, 0.95 and 0.965; 288 / 1 and 0.95.
        let (side, short, filter) = match self {
            Preset::Mmpretrain | Preset::TorchvisionV1 | Preset::TimmTv => (224, 256, Bilinear),
            Preset::TorchvisionV2 | Preset::TimmTv2 => (224, 232, Bilinear),
            Preset::TimmGluon => (224, 256, Bicubic),
            Preset::TimmA1 => (224, 235, Bicubic),
            Preset::TimmA1Large => (288, 288, Bicubic),
            Preset::TimmRaLarge => (288, 303, Bicubic),
        };
        Settings {
            input: Some([side; 2]),
            mean: Some(IMAGENET_MEAN.to_vec()),
            std: Some(IMAGENET_STD.to_vec()),
            resize: Some(ResizeSetting::ShortEdge),
            resize_short: Some(short),
            filter: Some(filter),
            ..Settings::default()
        }
    }
}
