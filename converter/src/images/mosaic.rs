//! Many small images in one file.

use std::path::PathBuf;
use std::sync::OnceLock;

use image::DynamicImage;

use super::{ImageError, decode};

/// A grid of tiles, row-major, all used. Decoded once, when the first tile is asked for, and kept.
pub(super) struct Mosaic {
    source: Source,
    /// Height and width of a tile.
    tile: [u32; 2],
    /// Tiles from top to bottom and from left to right.
    grid: [u32; 2],
    image: OnceLock<Result<DynamicImage, ImageError>>,
}

/// Where the encoded bytes are.
pub(super) enum Source {
    File(PathBuf),
    Memory { name: String, bytes: &'static [u8] },
}

impl Source {
    fn with_bytes<T>(&self, read: impl FnOnce(&[u8], &str) -> Result<T, ImageError>) -> Result<T, ImageError> {
        match self {
            Source::File(path) => read(&decode::read(path)?, &path.display().to_string()),
            Source::Memory { name, bytes } => read(bytes, name),
        }
    }
}

impl Mosaic {
    /// Reads the header.
    pub(super) fn new(source: Source, tile: [u32; 2]) -> Result<Self, ImageError> {
        let grid = source.with_bytes(|bytes, name| {
            let size = decode::size(bytes, name)?;
            if size.iter().zip(&tile).all(|(side, tile)| side.is_multiple_of(*tile)) {
                Ok([size[0] / tile[0], size[1] / tile[1]])
            } else {
                Err(ImageError::MosaicSize { name: name.to_owned(), size, tile })
            }
        })?;
        Ok(Mosaic { source, tile, grid, image: OnceLock::new() })
    }

    /// Number of tiles, at least one.
    pub(super) fn len(&self) -> usize {
        self.grid[0] as usize * self.grid[1] as usize
    }

    /// File name, or the name of bytes in memory.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Memory { name, .. } => name.clone(),
        }
    }

    /// Tile number `index` < `len`.
    pub(super) fn tile(&self, index: usize) -> Result<DynamicImage, ImageError> {
        let image = self.image.get_or_init(|| self.source.with_bytes(decode::decode)).as_ref().map_err(Clone::clone)?;
        let [height, width] = self.tile;
        let (row, column) = (index as u32 / self.grid[1], index as u32 % self.grid[1]);
        Ok(image.crop_imm(column * width, row * height, width, height))
    }
}
