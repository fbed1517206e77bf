//! Images that a command is given: files, folders, standard input.

use std::io::Read;
use std::path::PathBuf;

use cardinal_converter::Error;
use cardinal_converter::engine::Network;
use cardinal_converter::images::{self, Dataset, prepare};

/// Where images come from, as they were given.
pub(super) enum Source {
    Images(Dataset),
    StandardInput(Vec<u8>),
}

/// Images as an argument.
#[derive(clap::Args)]
pub(super) struct ImageArgs {
    /// Images (jpg, png, webp, bmp, ppm, pgm), folders of them, or - for one image on standard input
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

impl ImageArgs {
    /// Opens folders and reads standard input; files are opened when their turn comes.
    pub(super) fn open(&self, input: [u32; 2]) -> Result<Vec<Source>, Error> {
        let open = |path: &PathBuf| {
            if path.as_os_str() == "-" {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_to_end(&mut bytes).map_err(Error::io("standard input"))?;
                Ok(Source::StandardInput(bytes))
            } else if path.is_dir() {
                Ok(Source::Images(Dataset::open(path, input)?))
            } else {
                Ok(Source::Images(Dataset::files(vec![path.clone()])))
            }
        };
        self.images.iter().map(open).collect()
    }
}

impl Source {
    pub(super) fn len(&self) -> usize {
        match self {
            Source::Images(images) => images.len(),
            Source::StandardInput(_) => 1,
        }
    }

    pub(super) fn name(&self, index: usize) -> String {
        match self {
            Source::Images(images) => images.name(index),
            Source::StandardInput(_) => "-".into(),
        }
    }

    pub(super) fn prepare(&self, index: usize, network: &Network<'_>) -> Result<Vec<u8>, Error> {
        let (spec, input) = (&network.preprocess, network.input());
        match self {
            Source::Images(images) => Ok(images.prepare(index, spec, input)?),
            Source::StandardInput(bytes) => {
                let named = |cause| images::ImageError::Prepare { name: self.name(index), cause: Box::new(cause) };
                Ok(prepare(&images::decode(bytes, "standard input")?, spec, input).map_err(named)?)
            }
        }
    }
}
