//! Images with labels.

use std::fmt;
use std::path::{Path, PathBuf};

use cardinal_format::Preprocess;
use image::DynamicImage;

use super::folder::{self, Layout};
use super::mosaic::{Mosaic, Source};
use super::{ImageError, decode, prepare};

/// A numbered list of images, with labels or without, decoded on demand and from any number of threads.
pub struct Dataset {
    classes: Vec<String>,
    labels: Vec<Option<usize>>,
    items: Vec<Item>,
    mosaics: Vec<Mosaic>,
}

/// Where an image is.
enum Item {
    File(PathBuf),
    Tile { mosaic: usize, tile: usize },
}

impl Dataset {
    /// Opens a folder of one of three layouts:
    ///
    /// - `dir/<class>/…/<image>`: the classes are the subfolders, sorted bytewise as by torchvision's `ImageFolder`;
    ///   the images of a class are sorted by path, at any depth.
    /// - `dir/<label>_<class>.png` (or `.webp`): one mosaic per class, labels 0, 1, 2… Each is a grid of tiles,
    ///   row-major and without a gap, of the given height and width: the model's input size.
    /// - `dir/<image>`: images without labels.
    ///
    /// Images are `jpg`, `jpeg`, `png`, `webp`, `bmp`, `ppm` and `pgm` files; others, and names that start with a dot,
    /// are passed over. Of mosaics, the headers are read; images are not opened yet.
    ///
    /// # Errors
    /// The folder or a mosaic in it cannot be read, there is no image, a class folder has no image, layouts are mixed,
    /// mosaics are not numbered 0, 1, 2…, or their size is no multiple of the tile's.
    pub fn open(dir: &Path, tile: [u32; 2]) -> Result<Self, ImageError> {
        match folder::scan(dir)? {
            Layout::Classes(classes) => {
                let mut dataset = Self::with_classes(classes.len());
                for (name, images) in classes {
                    dataset.push_class(name, images.into_iter().map(Item::File));
                }
                Ok(dataset)
            }
            Layout::Mosaics(mosaics) => {
                Self::tiled(mosaics.into_iter().map(|(name, path)| (name, Source::File(path))), tile)
            }
            Layout::Flat(images) => Ok(Self::files(images)),
        }
    }

    /// Images without labels. Their files are opened when their turn comes.
    pub fn files(images: Vec<PathBuf>) -> Self {
        let labels = vec![None; images.len()];
        let items = images.into_iter().map(Item::File).collect();
        Dataset { labels, items, ..Self::with_classes(0) }
    }

    /// The images that a list names, below `dir`: a file and its class number a line, as mmpretrain's `val.txt`. The
    /// classes have numbers only.
    ///
    /// # Errors
    /// The list cannot be read, a line is something else, or there is no line.
    pub fn annotated(dir: &Path, list: &Path) -> Result<Self, ImageError> {
        let text = std::fs::read_to_string(list).map_err(ImageError::io(list))?;
        let mut dataset = Self::with_classes(0);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parsed = line.trim().rsplit_once(char::is_whitespace);
            let Some((file, label)) = parsed.and_then(|(file, label)| Some((file.trim_end(), label.parse().ok()?)))
            else {
                return Err(ImageError::List { path: list.into(), line: number + 1, text: line.into() });
            };
            dataset.items.push(Item::File(dir.join(file)));
            dataset.labels.push(Some(label));
        }
        if dataset.items.is_empty() {
            return Err(ImageError::NoImages { path: list.into() });
        }
        Ok(dataset)
    }

    /// A dataset of mosaics in memory: class names, each with the bytes of a PNG or WebP file, label 0 first.
    ///
    /// # Errors
    /// A mosaic's header cannot be decoded, or its size is no multiple of the tile's (height, width).
    pub fn from_mosaics(mosaics: &[(&str, &'static [u8])], tile: [u32; 2]) -> Result<Self, ImageError> {
        let source = |&(name, bytes): &(&str, _)| (name.to_owned(), Source::Memory { name: name.to_owned(), bytes });
        Self::tiled(mosaics.iter().map(source), tile)
    }

    fn tiled(sources: impl ExactSizeIterator<Item = (String, Source)>, tile: [u32; 2]) -> Result<Self, ImageError> {
        let mut dataset = Self::with_classes(sources.len());
        for (mosaic, (name, source)) in sources.enumerate() {
            let tiles = Mosaic::new(source, tile)?;
            dataset.push_class(name, (0..tiles.len()).map(|tile| Item::Tile { mosaic, tile }));
            dataset.mosaics.push(tiles);
        }
        Ok(dataset)
    }

    fn with_classes(capacity: usize) -> Self {
        Dataset { classes: Vec::with_capacity(capacity), labels: Vec::new(), items: Vec::new(), mosaics: Vec::new() }
    }

    fn push_class(&mut self, name: String, items: impl Iterator<Item = Item>) {
        self.items.extend(items);
        self.labels.resize(self.items.len(), Some(self.classes.len()));
        self.classes.push(name);
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no image. Never after [`Dataset::open`].
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Class names by label; empty if the images have no labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All labels, as [`spread`](super::spread) takes them.
    pub fn labels(&self) -> &[Option<usize>] {
        &self.labels
    }

    /// Class of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels[index]
    }

    /// Path of image `index`, or file name and number of a mosaic's tile: `3_cat.webp#17`.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn name(&self, index: usize) -> String {
        match &self.items[index] {
            Item::File(path) => path.display().to_string(),
            &Item::Tile { mosaic, tile } => format!("{}#{tile}", self.mosaics[mosaic].name()),
        }
    }

    /// Path of image `index`, if it is a file of its own and no mosaic's tile.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn file(&self, index: usize) -> Option<&Path> {
        match &self.items[index] {
            Item::File(path) => Some(path),
            Item::Tile { .. } => None,
        }
    }

    /// Decodes image `index`, upright. A mosaic is decoded with its first tile and then kept.
    ///
    /// # Errors
    /// The file cannot be read or decoded, or exceeds the limits of [`open`](super::open).
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn load(&self, index: usize) -> Result<DynamicImage, ImageError> {
        match &self.items[index] {
            Item::File(path) => decode::open(path),
            &Item::Tile { mosaic, tile } => self.mosaics[mosaic].tile(tile),
        }
    }

    /// Image `index` as a model's image tensor: [`Dataset::load`], then [`prepare`], with the name in every error.
    ///
    /// # Errors
    /// As those two.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn prepare(&self, index: usize, spec: &Preprocess, input: [u32; 2]) -> Result<Vec<u8>, ImageError> {
        let named = |cause| ImageError::Prepare { name: self.name(index), cause: Box::new(cause) };
        prepare(&self.load(index)?, spec, input).map_err(named)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("classes", &self.classes).field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::thread;

    use cardinal_format::{Colour, Filter, Resize};
    use image::{ImageFormat, RgbImage};

    use super::*;

    /// Two rows of three tiles, 4 high and 2 wide; tile t of class c is filled with (c, t, 0).
    fn mosaic(class: u8) -> Vec<u8> {
        let image = RgbImage::from_fn(6, 8, |x, y| [class, (x / 2 + 3 * (y / 4)) as u8, 0].into());
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::WebP).unwrap();
        bytes.into_inner()
    }

    fn check_tiles(dataset: &Dataset) {
        assert_eq!(dataset.len(), 12);
        assert_eq!(dataset.classes(), ["cat", "dog"]);
        // From several threads, as evaluation does.
        thread::scope(|scope| {
            for index in 0..12 {
                scope.spawn(move || {
                    let image = dataset.load(index).unwrap().to_rgb8();
                    assert_eq!(image.dimensions(), (2, 4));
                    assert_eq!(dataset.label(index), Some(index / 6));
                    assert!(image.pixels().all(|p| p.0 == [index as u8 / 6, index as u8 % 6, 0]), "{index}");
                });
            }
        });
    }

    #[test]
    fn mosaics_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1_dog.webp"), mosaic(1)).unwrap();
        fs::write(dir.path().join("0_cat.webp"), mosaic(0)).unwrap();
        let dataset = Dataset::open(dir.path(), [4, 2]).unwrap();
        check_tiles(&dataset);
        assert_eq!(dataset.name(8), "1_dog.webp#2");

        let error = Dataset::open(dir.path(), [4, 4]).unwrap_err().to_string();
        assert!(error.contains("0_cat.webp: 8×6 (height × width) is no whole number of 4×4 tiles"), "{error}");
        assert!(Dataset::open(dir.path(), [0, 2]).is_err());
        fs::write(dir.path().join("1_dog.webp"), "no image").unwrap();
        let error = Dataset::open(dir.path(), [4, 2]).unwrap_err().to_string();
        assert!(error.contains("1_dog.webp: cannot be decoded"), "{error}");
    }

    #[test]
    fn mosaics_in_memory() {
        let [cat, dog] = [0, 1].map(|class| &*mosaic(class).leak());
        let dataset = Dataset::from_mosaics(&[("cat", cat), ("dog", dog)], [4, 2]).unwrap();
        check_tiles(&dataset);
        assert_eq!(dataset.name(8), "dog#2");
        assert!(Dataset::from_mosaics(&[], [4, 2]).unwrap().is_empty());
    }

    #[test]
    fn damaged_mosaic_fails_every_time() {
        let cat: &'static [u8] = mosaic(0).leak();
        let dataset = Dataset::from_mosaics(&[("cat", &cat[..cat.len() - 8])], [4, 2]).unwrap();
        for index in [0, 5, 0] {
            let error = dataset.load(index).unwrap_err().to_string();
            assert!(error.starts_with("cat: cannot be decoded"), "{error}");
        }
    }

    #[test]
    fn class_folders() {
        let dir = tempfile::tempdir().unwrap();
        for (index, name) in ["ant/b.png", "ant/a.PNG", "Bee/sub/c.png"].iter().enumerate() {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(3, 2, [index as u8; 3].into()).save_with_format(path, ImageFormat::Png).unwrap();
        }
        let dataset = Dataset::open(dir.path(), [4, 2]).unwrap();
        assert_eq!(dataset.classes(), ["Bee", "ant"]);
        assert_eq!(dataset.labels(), [Some(0), Some(1), Some(1)]);
        let first = [0, 1, 2].map(|i| dataset.load(i).unwrap().as_bytes()[0]);
        assert_eq!(first, [2, 1, 0]);
        assert_eq!(dataset.name(1), dir.path().join("ant/a.PNG").display().to_string());
    }

    #[test]
    fn listed_images() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("val.txt");
        fs::write(&list, "sub/a b.JPEG 65\n\nc.png\t0\n").unwrap();
        let dataset = Dataset::annotated(dir.path(), &list).unwrap();
        assert_eq!(dataset.labels(), [Some(65), Some(0)]);
        assert_eq!(dataset.name(0), dir.path().join("sub/a b.JPEG").display().to_string());
        for text in ["a.png\n", "a.png x\n", "a.png -1\n"] {
            fs::write(&list, format!("b.png 1\n{text}")).unwrap();
            let error = Dataset::annotated(dir.path(), &list).unwrap_err().to_string();
            assert!(error.contains("val.txt: line 2: "), "{error}");
        }
        fs::write(&list, "\n").unwrap();
        assert!(Dataset::annotated(dir.path(), &list).is_err());
    }

    #[test]
    fn plain_images_have_no_labels() {
        let dir = tempfile::tempdir().unwrap();
        RgbImage::new(3, 2).save(dir.path().join("a.png")).unwrap();
        fs::write(dir.path().join("b.jpg"), "no image").unwrap();
        let dataset = Dataset::open(dir.path(), [4, 2]).unwrap();
        assert_eq!((dataset.len(), dataset.classes().len(), dataset.label(1)), (2, 0, None));

        let spec = Preprocess {
            colour: Colour::Rgb,
            resize: Resize::ShortEdge(2),
            filter: Filter::Bilinear,
            mean: [0.0; 4],
            std: [1.0; 4],
        };
        assert_eq!(dataset.prepare(0, &spec, [2, 2]).unwrap(), [0; 12]);
        for (index, input, message) in [(0, [4, 4], "a.png: the model's input is 4×4"), (1, [2, 2], "b.jpg: cannot be")]
        {
            let error = dataset.prepare(index, &spec, input).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
