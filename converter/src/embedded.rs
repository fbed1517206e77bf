//! The network that ships with Cardinal: a small ResNeXt for Fashion-MNIST with images to calibrate and to test it, so
//! that everything can be tried without a download. Its folder has its licence and says how it was made.

use crate::Error;
use crate::images::Dataset;
use crate::import::{self, Imported, Settings};

/// Name of the checkpoint.
pub const NAME: &str = "resnext20_8x4d_fmnist.pth";
const CHECKPOINT: &[u8] = include_bytes!("../assets/fmnist/resnext20_8x4d_fmnist.pth");
const SETTINGS: &str = include_str!("../assets/fmnist/resnext20_8x4d_fmnist.toml");
const TILE: [u32; 2] = [28, 28];

macro_rules! mosaics {
    ($folder:literal) => {
        [
            ("t-shirt", &include_bytes!(concat!("../assets/fmnist/", $folder, "/0_t-shirt.png"))[..]),
            ("trouser", &include_bytes!(concat!("../assets/fmnist/", $folder, "/1_trouser.png"))[..]),
            ("pullover", &include_bytes!(concat!("../assets/fmnist/", $folder, "/2_pullover.png"))[..]),
            ("dress", &include_bytes!(concat!("../assets/fmnist/", $folder, "/3_dress.png"))[..]),
            ("coat", &include_bytes!(concat!("../assets/fmnist/", $folder, "/4_coat.png"))[..]),
            ("sandal", &include_bytes!(concat!("../assets/fmnist/", $folder, "/5_sandal.png"))[..]),
            ("shirt", &include_bytes!(concat!("../assets/fmnist/", $folder, "/6_shirt.png"))[..]),
            ("sneaker", &include_bytes!(concat!("../assets/fmnist/", $folder, "/7_sneaker.png"))[..]),
            ("bag", &include_bytes!(concat!("../assets/fmnist/", $folder, "/8_bag.png"))[..]),
            ("ankle-boot", &include_bytes!(concat!("../assets/fmnist/", $folder, "/9_ankle-boot.png"))[..]),
        ]
    };
}

/// The trained network.
pub fn network() -> Result<Imported, Error> {
    let settings = Settings::parse(SETTINGS, "resnext20_8x4d_fmnist.toml".as_ref())?;
    Ok(import::from_bytes(CHECKPOINT, NAME, &settings)?)
}

/// 256 training images, for calibration.
pub fn calibration_images() -> Result<Dataset, Error> {
    Ok(Dataset::from_mosaics(&mosaics!("calib"), TILE)?)
}

/// 2,000 test images, 200 of each class.
pub fn test_images() -> Result<Dataset, Error> {
    Ok(Dataset::from_mosaics(&mosaics!("test"), TILE)?)
}
