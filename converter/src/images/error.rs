//! Why images cannot be used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::decode::{MAX_BYTES, MAX_SIDE};

/// Why a folder is no dataset, or an image no input. Every message is complete: it contains its cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: Arc<io::Error>,
    },
    /// A folder without a single image.
    #[error(
        "{}: no images here; give a folder of images (jpg, jpeg, png, webp, bmp, ppm, pgm), or of one folder per class",
        path.display()
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder without images beside others that have some. Leaving it out would renumber the classes.
    #[error("{}: class folder without images; fill it, or remove it if the class is not to count", path.display())]
    EmptyClass {
        /// The class folder.
        path: PathBuf,
    },
    /// Images of two layouts in one folder.
    #[error("{}: lies beside {beside}; a dataset has one layout, so move one of the two elsewhere", path.display())]
    Mixed {
        /// The file that does not fit in.
        path: PathBuf,
        /// What the rest of the folder is.
        beside: &'static str,
    },
    /// A line of a list of files and classes.
    #[error("{}: line {line}: {text:?}: expected a file and its class number, as `ILSVRC2012_val_00000001.JPEG 65`", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// The labels of the mosaics in a folder are not 0, 1, 2… each once.
    #[error(
        "{}: its mosaics must be numbered 0_name, 1_name… without gap or repetition, but number {label} is {problem}; \
         rename them (if these are plain images, so that the names do not start with a number and an underscore)",
        path.display()
    )]
    MosaicLabels {
        /// The folder.
        path: PathBuf,
        /// The first number that is wrong.
        label: usize,
        /// "missing" or "there twice".
        problem: &'static str,
    },
    /// A mosaic cannot be cut into tiles.
    #[error(
        "{name}: {}×{} (height × width) is no whole number of {}×{} tiles; the tile is the model's input size, so \
         use a model of the tile's size, or unpack the mosaic into one folder per class",
        size[0], size[1], tile[0], tile[1]
    )]
    MosaicSize {
        /// The file.
        name: String,
        /// Height and width of the mosaic.
        size: [u32; 2],
        /// Height and width of a tile.
        tile: [u32; 2],
    },
    /// The bytes are no image that this program can read.
    #[error("{name}: cannot be decoded: {cause}; replace or remove it (JPEG, PNG, WebP, BMP, PPM and PGM are read)")]
    Decode {
        /// The file.
        name: String,
        /// What the decoder says.
        cause: Arc<image::ImageError>,
    },
    /// An image or file of a size that is taken for an attack or an accident.
    #[error("{name}: {what} bytes exceed the limit of {} MiB; scale the image down or remove it", MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        name: String,
        /// "encoded" or "decoded".
        what: &'static str,
    },
    /// An image that ends in its middle.
    #[error("{name}: the image is cut off; copy or download it again, or remove it")]
    CutOff {
        /// The file.
        name: String,
    },
    /// An image without pixels.
    #[error("{name}: the image has no pixels; remove it")]
    Empty {
        /// The file.
        name: String,
    },
    /// An image has, or would have after scaling, a side that is 0 or too long.
    #[error(
        "{}×{} pixels (height × width) cannot be scaled to {}×{}: sides must be 1 to {MAX_SIDE}; crop the image, or \
         leave it out",
        from[0], from[1], to[0], to[1]
    )]
    Scale {
        /// Height and width of the image.
        from: [u32; 2],
        /// Height and width that were wanted.
        to: [u32; 2],
    },
    /// The input size does not fit into the scaled image.
    #[error(
        "the model's input is {}×{} (height × width), but the image scaled to the short edge is only {}×{} and is not \
         padded: raise the short edge to at least {}",
        input[0], input[1], resized[0], resized[1], input[0].max(input[1])
    )]
    Crop {
        /// Height and width after scaling.
        resized: [u32; 2],
        /// Height and width of the model's input.
        input: [u32; 2],
    },
    /// One of a dataset's images cannot be prepared.
    #[error("{name}: {cause}")]
    Prepare {
        /// The image.
        name: String,
        /// What is wrong with it.
        cause: Box<ImageError>,
    },
}

impl ImageError {
    /// For `map_err` on calls that read `path`.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        |cause| ImageError::Io { path: path.into(), cause: Arc::new(cause) }
    }
}
