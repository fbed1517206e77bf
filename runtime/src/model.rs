//! A verified model.

use cardinal_format::{File, FormatError, Preprocess, Shape};

/// A verified `.cardinal` file. Copying it copies a few pointers; the weights stay where they are.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    file: File<'a>,
}

impl<'a> Model<'a> {
    /// Verifies the bytes: CRC-32, every record, every reference, no accumulator overflow. One pass, no allocation.
    ///
    /// # Errors
    /// What is wrong and where, if the file is cut off, damaged, hostile or of another version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FormatError> {
        File::new_checked(bytes).map(|file| Model { file })
    }

    /// The file's tables.
    pub fn file(&self) -> &File<'a> {
        &self.file
    }

    /// The exact size of the buffer that a [`crate::Session`] needs, in bytes.
    pub fn arena_len(&self) -> usize {
        self.file.arena_len()
    }

    /// The image to fill in: height × width × channels.
    pub fn image(&self) -> Shape {
        self.file.image()
    }

    /// Number of logits.
    pub fn classes(&self) -> usize {
        self.file.classes()
    }

    /// A class's label, if the file has labels.
    pub fn label(&self, class: u32) -> Option<&'a str> {
        self.file.label(class as usize)
    }

    /// How a photograph becomes the image.
    pub fn preprocess(&self) -> &Preprocess {
        self.file.preprocess()
    }
}
