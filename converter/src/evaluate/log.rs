//! Outcomes in a file: an evaluation that is cut goes on, and shards of one are merged exactly.
//!
//! JSON lines: a [`Header`], then one [`Outcome`] each. The last line of a run that was cut may be half a line; it is
//! dropped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::outcome::{Evaluation, Outcome, summarise};
use crate::Error;
use crate::engine::Arithmetic;

/// What outcomes belong to: only those of equal headers are summed up together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `cardinal.eval-log/1`.
    pub schema: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// What it was run with.
    pub arithmetic: Arithmetic,
    /// SHA-256 of the float checkpoint, if it runs beside.
    pub float_sha256: Option<String>,
    /// SHA-256 of the images' names and labels, in order.
    pub images_sha256: String,
    /// Images in the whole data set.
    pub images: usize,
    /// Classes of the model.
    pub classes: usize,
    /// Their labels; none or all.
    pub labels: Vec<String>,
    /// Bytes of the model file.
    pub file_bytes: usize,
}

/// A file that outcomes are added to.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Starts a file, or takes up one of the same evaluation; gives what it holds already.
    ///
    /// # Errors
    /// The file cannot be read or written, or is of another evaluation.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<Outcome>), Error> {
        let fail = |cause| Error::io(path)(cause);
        let (kept, outcomes) = match std::fs::read_to_string(path) {
            Ok(text) => {
                let (theirs, outcomes, kept) = parse(path, &text)?;
                if theirs != *header {
                    return Err(Error::Usage(format!(
                        "{}: holds the evaluation of another {}; choose another --log",
                        path.display(),
                        theirs.differs_in(header)
                    )));
                }
                (Some(kept as u64), outcomes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(fail)?;
        match kept {
            Some(kept) => file.set_len(kept).map_err(fail)?,
            None => file.write_all(line(header)?.as_bytes()).map_err(fail)?,
        }
        Ok((Log { path: path.into(), file }, outcomes))
    }

    /// Adds outcomes; on return they are with the system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, outcomes: &[Outcome]) -> Result<(), Error> {
        let text = outcomes.iter().map(line).collect::<Result<String, _>>()?;
        self.file.write_all(text.as_bytes()).map_err(Error::io(&self.path))
    }
}

/// Sums up the logs of one evaluation's shards.
///
/// # Errors
/// A file that is no log, logs of different evaluations, or images that no log has.
pub fn merge(paths: &[PathBuf]) -> Result<(Header, Evaluation), Error> {
    let mut first: Option<Header> = None;
    let mut outcomes = BTreeMap::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let (header, more, _) = parse(path, &text)?;
        let expected = first.get_or_insert_with(|| header.clone());
        if header != *expected {
            return Err(Error::Usage(format!(
                "{}: is of another {} than {}",
                path.display(),
                header.differs_in(expected),
                paths[0].display()
            )));
        }
        outcomes.extend(more.into_iter().map(|outcome| (outcome.index, outcome)));
    }
    let header = first.ok_or_else(|| Error::Usage("no log was given".into()))?;
    if let Some(missing) = (0..header.images).find(|index| !outcomes.contains_key(index)) {
        return Err(Error::Usage(format!(
            "{} of {} images are in no log, the first of them image {missing}: is a shard missing, or was one cut? The \
             same command goes on with it",
            header.images - outcomes.len(),
            header.images
        )));
    }
    let outcomes: Vec<Outcome> = outcomes.into_values().collect();
    let evaluation = summarise(&outcomes, header.arithmetic, header.classes, &header.labels);
    Ok((header, evaluation))
}

impl Header {
    fn differs_in(&self, other: &Header) -> &'static str {
        match () {
            () if self.model_sha256 != other.model_sha256 => "model",
            () if self.arithmetic != other.arithmetic => "--engine",
            () if self.float_sha256 != other.float_sha256 => "--float",
            () => "data set",
        }
    }
}

fn line(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| Error::Usage(error.to_string()))
}

/// Header, outcomes, and the bytes of the complete lines.
fn parse(path: &Path, text: &str) -> Result<(Header, Vec<Outcome>, usize), Error> {
    let wrong = |number: usize, why: String| Error::Usage(format!("{}: line {number}: {why}", path.display()));
    let complete = text.rfind('\n').map_or(0, |end| end + 1);
    let mut lines = text[..complete].lines().enumerate();
    let (_, first) = lines.next().ok_or_else(|| wrong(1, "no header: this is no log of cardinal eval".into()))?;
    let header: Header = serde_json::from_str(first).map_err(|error| wrong(1, error.to_string()))?;
    let outcomes = lines.map(|(i, line)| {
        let outcome: Outcome = serde_json::from_str(line).map_err(|error| wrong(i + 1, error.to_string()))?;
        if outcome.index >= header.images || outcome.class >= header.classes || outcome.guess.best >= header.classes {
            return Err(wrong(i + 1, "an image or a class beyond those that the header states".into()));
        }
        Ok(outcome)
    });
    let outcomes = outcomes.collect::<Result<_, _>>()?;
    Ok((header, outcomes, complete))
}
