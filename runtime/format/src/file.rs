//! The reader: bytes are checked once, then every view is infallible.

use core::ops::Range;

use crate::bytes::{u16_at, u32_at};
use crate::layout::{
    ALIGN, CRC32, HEADER_LEN, MAGIC, MAJOR, MAX_RECORDS, MINOR, OP_LEN, PREPROCESS_LEN, TENSOR_LEN, TRAILER_LEN,
    align_up, header,
};
use crate::record::NAME_AT;
use crate::{FormatError, Op, Preprocess, Residual, Tensor, TensorId, check};

/// A verified `.cardinal` file, read in place.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) tensors: &'a [[u8; TENSOR_LEN]],
    pub(crate) ops: &'a [[u8; OP_LEN]],
    pub(crate) labels: &'a [[u8; 4]],
    pub(crate) strings: &'a [u8],
    provenance: &'a str,
    pub(crate) data: &'a [u8],
    preprocess: Preprocess,
    preprocess_record: &'a [u8],
}

/// Cuts sections off the front, in file order.
struct Cutter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cutter<'a> {
    /// The next `count` × `size` bytes; `field` is the header field that states the count.
    fn take(&mut self, count: usize, size: usize, field: usize) -> Result<&'a [u8], FormatError> {
        let end = count.checked_mul(size).and_then(|len| len.checked_add(self.at));
        let section = end.and_then(|end| Some((end, self.bytes.get(self.at..end)?)));
        let (end, section) = section.ok_or(FormatError::Header { at: field })?;
        self.at = end;
        Ok(section)
    }

    /// Skips zero bytes up to a multiple of `to`.
    fn pad(&mut self, to: usize, field: usize) -> Result<(), FormatError> {
        let len = align_up(self.at, to).map_or(0, |end| end - self.at);
        let at = self.at;
        let padding = self.take(len, 1, field)?;
        match padding.iter().position(|&b| b != 0) {
            Some(i) => Err(FormatError::Reserved { at: at + i }),
            None => Ok(()),
        }
    }
}

impl<'a> File<'a> {
    /// Verifies length, CRC-32, every record, every reference, and that no accumulator can overflow. One pass over the
    /// bytes for the CRC and one over the weights; no allocation; no panic on any input.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let too_short = FormatError::TooShort { len: bytes.len() };
        let Some((body, trailer)) = bytes.split_last_chunk::<TRAILER_LEN>().filter(|(b, _)| b.len() >= HEADER_LEN)
        else {
            // Name the kind of file first: someone may have given a small file of another kind.
            return Err(if bytes.len() >= MAGIC.len() && !bytes.starts_with(&MAGIC) {
                FormatError::Magic
            } else {
                too_short
            });
        };
        if !body.starts_with(&MAGIC) {
            return Err(FormatError::Magic);
        }
        let (major, minor) = (u16_at(body, header::MAJOR), u16_at(body, header::MINOR));
        if major != MAJOR || minor > MINOR {
            return Err(FormatError::Version { major, minor });
        }
        let stated = u32_at(body, header::FILE_LEN);
        if stated as usize != bytes.len() {
            return Err(FormatError::Length { stated, len: bytes.len() });
        }
        let (stated, computed) = (u32::from_le_bytes(*trailer), CRC32.checksum(body));
        if stated != computed {
            return Err(FormatError::Crc { stated, computed });
        }
        for at in header::RESERVED..HEADER_LEN {
            if body.get(at) != Some(&0) {
                return Err(FormatError::Reserved { at });
            }
        }

        let count = |at: usize| u32_at(body, at) as usize;
        let records = 1..=MAX_RECORDS as usize;
        for (at, good) in [
            (header::TENSOR_COUNT, records.contains(&count(header::TENSOR_COUNT))),
            (header::OP_COUNT, records.contains(&count(header::OP_COUNT))),
            (header::LABEL_COUNT, [0, count(header::CLASSES)].contains(&count(header::LABEL_COUNT))),
            (header::STRINGS_LEN, count(header::STRINGS_LEN).is_multiple_of(4)),
            (header::DATA_LEN, count(header::DATA_LEN).is_multiple_of(ALIGN)),
        ] {
            if !good {
                return Err(FormatError::Header { at });
            }
        }
        let mut cut = Cutter { bytes: body, at: HEADER_LEN };
        let (tensors, _) = cut.take(count(header::TENSOR_COUNT), TENSOR_LEN, header::TENSOR_COUNT)?.as_chunks();
        let (ops, _) = cut.take(count(header::OP_COUNT), OP_LEN, header::OP_COUNT)?.as_chunks();
        let preprocess_record = cut.take(1, PREPROCESS_LEN, header::FILE_LEN)?;
        let (labels, _) = cut.take(count(header::LABEL_COUNT), 4, header::LABEL_COUNT)?.as_chunks();
        let strings = cut.take(count(header::STRINGS_LEN), 1, header::STRINGS_LEN)?;
        let provenance = cut.take(count(header::PROVENANCE_LEN), 1, header::PROVENANCE_LEN)?;
        let provenance =
            core::str::from_utf8(provenance).map_err(|_| FormatError::Header { at: header::PROVENANCE_LEN })?;
        cut.pad(ALIGN, header::PROVENANCE_LEN)?;
        let data = cut.take(count(header::DATA_LEN), 1, header::DATA_LEN)?;
        if cut.at != body.len() {
            return Err(FormatError::Header { at: header::DATA_LEN });
        }
        let preprocess = Preprocess::parse(preprocess_record)?;
        let file = File { bytes, tensors, ops, labels, strings, provenance, data, preprocess, preprocess_record };
        check::check(&file)?;
        Ok(file)
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The sections that decide what the model computes: sizes and counts, tensors, ops, preprocessing, data. Two files
    /// that have them in common differ in labels or provenance at most.
    pub fn content(&self) -> [&'a [u8]; 5] {
        let sizes = self.bytes.get(header::ARENA_LEN..header::LABEL_COUNT).unwrap_or_default();
        [sizes, self.tensors.as_flattened(), self.ops.as_flattened(), self.preprocess_record, self.data]
    }

    /// The exact size of the buffer that a session needs, in bytes.
    pub fn arena_len(&self) -> usize {
        u32_at(self.bytes, header::ARENA_LEN) as usize
    }

    /// Where in the arena the logits lie: `classes` × f32.
    pub fn logits_range(&self) -> Range<usize> {
        let start = u32_at(self.bytes, header::LOGITS_OFFSET) as usize;
        start..start.saturating_add(self.classes().saturating_mul(4))
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        u32_at(self.bytes, header::CLASSES) as usize
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// A tensor, or `None` beyond the table.
    pub fn tensor(&self, id: TensorId) -> Option<Tensor> {
        self.tensors.get(usize::from(id.0)).map(|record| Tensor::parse(record))
    }

    /// The image's shape: what the caller fills with pixels.
    pub fn image(&self) -> crate::Shape {
        self.tensor(TensorId::IMAGE).map_or(crate::Shape { height: 0, width: 0, channels: 0 }, |t| t.shape)
    }

    /// The operations in running order, each with its name.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = (&'a str, Op<'a>)> + use<'a> {
        let file = *self;
        self.ops.iter().enumerate().map(move |(number, record)| {
            let name = file.string(u32_at(record, NAME_AT)).unwrap_or("");
            // A checked file has no op that fails to parse; the fallback is unreachable and harmless.
            let nothing = Op::MaxPool(crate::MaxPool {
                input: TensorId::IMAGE,
                output: TensorId::IMAGE,
                window: crate::Window::POINT,
            });
            (name, file.op(number as u16, record).unwrap_or(nothing))
        })
    }

    /// Multiply-adds of one of the file's ops, a projection's included; pools have none.
    pub fn multiply_adds(&self, op: &Op<'_>) -> u64 {
        let channels = |id| self.tensor(id).map_or(0, |tensor| u64::from(tensor.shape.channels));
        match op {
            Op::Conv(conv) => {
                let output = self.tensor(conv.output).map_or(0, |tensor| tensor.shape.volume() as u64);
                let [rows, columns] = conv.window.kernel.map(u64::from);
                let projected = match conv.residual {
                    Some(Residual::Projection(projection)) => channels(projection.input),
                    _ => 0,
                };
                let terms = channels(conv.input) / u64::from(conv.cardinality.max(1)) * rows * columns;
                output.saturating_mul(terms + projected)
            }
            Op::Linear(linear) => channels(linear.input) * self.classes() as u64,
            Op::MaxPool(_) | Op::GlobalAvgPool(_) => 0,
        }
    }

    /// How a photograph becomes the image tensor.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// A class's label; `None` if the file has no labels or the class does not exist.
    pub fn label(&self, class: usize) -> Option<&'a str> {
        self.labels.get(class).and_then(|at| self.string(u32::from_le_bytes(*at)))
    }

    /// All labels, class 0 first; empty if the file has none.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let file = *self;
        self.labels.iter().map(move |at| file.string(u32::from_le_bytes(*at)).unwrap_or(""))
    }

    /// A JSON object that says what was converted and how.
    pub fn provenance(&self) -> &'a str {
        self.provenance
    }

    pub(crate) fn op(&self, number: u16, record: &[u8; OP_LEN]) -> Result<Op<'a>, FormatError> {
        let data = self.data;
        Op::parse(record, number, |id| self.tensor(id), |at, len| data.get(at as usize..)?.get(..len))
    }

    pub(crate) fn string(&self, at: u32) -> Option<&'a str> {
        let rest = self.strings.get(at as usize..)?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        core::str::from_utf8(rest.get(..usize::from(u16::from_le_bytes(*len)))?).ok()
    }
}
