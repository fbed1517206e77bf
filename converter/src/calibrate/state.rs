//! A calibration that can be cut and goes on: what has been seen and tried so far, in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Drawn, Observed, observe};
use crate::graph::Graph;
use crate::{Error, output};

/// At most so much work is lost.
const PAUSE: Duration = Duration::from_secs(10);
const MAGIC: &[u8] = b"cardinal calibration 1\n";

/// Keeps what was seen and tried, if it has a file.
pub struct State {
    file: Option<PathBuf>,
    content: Content,
    saved: Instant,
    pause: Duration,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// What is calibrated, with what: a digest of all that decides the result.
    of: String,
    observed: BTreeMap<String, Observed>,
    measured: BTreeMap<String, f64>,
}

impl State {
    /// Keeps nothing.
    pub fn none() -> Self {
        State { file: None, content: Content::default(), saved: Instant::now(), pause: PAUSE }
    }

    /// Goes on from a file, or starts it; `of` tells one calibration from another.
    ///
    /// # Errors
    /// The file is of another calibration, or damaged; nothing is overwritten then.
    pub fn open(path: &Path, of: String) -> Result<Self, Error> {
        let fresh = Content { of, ..Content::default() };
        let refuse = |why: &str| {
            Error::Usage(format!("{}: {why}; delete it, or name another file for --resume", path.display()))
        };
        let content = match std::fs::read(path) {
            Ok(bytes) => {
                let bytes = bytes.strip_prefix(MAGIC).ok_or_else(|| refuse("is no state of a calibration"))?;
                let content: Content = postcard::from_bytes(bytes).map_err(|_| refuse("is damaged"))?;
                if content.of != fresh.of {
                    return Err(refuse("belongs to another conversion: its checkpoint, images or options differ"));
                }
                content
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => fresh,
            Err(cause) => return Err(Error::io(path)(cause)),
        };
        let mut state = State { file: Some(path.to_owned()), content, saved: Instant::now(), pause: PAUSE };
        // Not after an hour's work.
        state.save()?;
        Ok(state)
    }

    /// Writes the file whenever so much time has passed, not every ten seconds.
    pub fn every(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// As [`observe()`], from where it got to; `name` tells what is seen from what else is.
    ///
    /// # Errors
    /// As [`observe()`], or the file cannot be written.
    pub fn observe(
        &mut self,
        name: &str,
        graph: &Graph,
        drawn: &Drawn<'_>,
        sensitive: bool,
    ) -> Result<Observed, Error> {
        let so_far = self.observed(name);
        observe(graph, drawn, sensitive, so_far, |observed| self.keep(name, observed))
    }

    /// What was seen of a network, as far as it got.
    pub fn observed(&self, network: &str) -> Option<Observed> {
        self.content.observed.get(network).cloned()
    }

    /// Keeps what was seen of a network so far.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, network: &str, observed: &Observed) -> Result<(), Error> {
        if self.file.is_none() || self.saved.elapsed() < self.pause {
            return Ok(());
        }
        self.content.observed.insert(network.to_owned(), observed.clone());
        self.save()
    }

    /// A figure by its name: as it was measured before, or now.
    ///
    /// # Errors
    /// What `measure` says, or the file cannot be written.
    pub fn measured(&mut self, name: String, measure: impl FnOnce() -> Result<f64, Error>) -> Result<f64, Error> {
        if let Some(&value) = self.content.measured.get(&name) {
            return Ok(value);
        }
        let value = measure()?;
        self.content.measured.insert(name, value);
        if self.file.is_some() && self.saved.elapsed() >= self.pause {
            self.save()?;
        }
        Ok(value)
    }

    /// Removes the file: all is done.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn done(self) -> Result<(), Error> {
        self.file.map_or(Ok(()), |path| std::fs::remove_file(&path).map_err(Error::io(path)))
    }

    fn save(&mut self) -> Result<(), Error> {
        if let Some(path) = &self.file {
            let bytes = postcard::to_extend(&self.content, MAGIC.to_vec())
                .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
            output::write(path, &bytes)?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}
