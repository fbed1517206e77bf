//! The writer. It ends by reading back what it wrote, so it never hands out a file that a device refuses.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::put;
use crate::layout::{
    ALIGN, CRC32, HEADER_LEN, MAGIC, MAJOR, MAX_RECORDS, MINOR, OP_LEN, PREPROCESS_LEN, TENSOR_LEN, align_up, header,
};
use crate::record::NAME_AT;
use crate::weights::{BLOCK, WeightLayout};
use crate::{ChannelBlock, File, FormatError, Op, Preprocess, Tensor};

/// Everything in a file, before it has offsets.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Bytes of the arena.
    pub arena_len: u32,
    /// Arena offset of the logits.
    pub logits_offset: u32,
    /// Number of classes.
    pub classes: u32,
    /// Activations; 0 is the image.
    pub tensors: &'a [Tensor],
    /// Operations with their names, in running order. Their blobs are copied into the file.
    pub ops: &'a [(&'a str, Op<'a>)],
    /// How a photograph becomes the image.
    pub preprocess: Preprocess,
    /// Class labels, or none.
    pub labels: &'a [&'a str],
    /// A JSON object.
    pub provenance: &'a str,
}

/// Writes a file and checks it.
///
/// # Errors
/// What [`File::new_checked`] says of the result, or [`FormatError::Header`] for a section beyond its limit.
pub fn to_bytes(contents: &Contents<'_>) -> Result<Vec<u8>, FormatError> {
    let mut strings = Vec::new();
    let mut string = |text: &str, at: usize| -> Result<u32, FormatError> {
        let start = strings.len() as u32;
        let len = u16::try_from(text.len()).map_err(|_| FormatError::Header { at })?;
        strings.extend_from_slice(&len.to_le_bytes());
        strings.extend_from_slice(text.as_bytes());
        Ok(start)
    };
    let mut data = Vec::new();
    let mut blob = |bytes: &[u8]| {
        let start = data.len();
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(ALIGN), 0);
        start as u32
    };

    let mut records = vec![0; contents.ops.len() * OP_LEN];
    for ((name, op), record) in contents.ops.iter().zip(records.chunks_exact_mut(OP_LEN)) {
        let at = op.blobs().map(&mut blob);
        op.emit(record, at);
        put(record, NAME_AT, string(name, header::STRINGS_LEN)?.to_le_bytes());
    }
    let mut labels = Vec::new();
    for label in contents.labels {
        labels.extend_from_slice(&string(label, header::LABEL_COUNT)?.to_le_bytes());
    }
    strings.resize(strings.len().next_multiple_of(4), 0);

    let mut bytes = vec![0; HEADER_LEN];
    for tensor in contents.tensors {
        let mut record = [0; TENSOR_LEN];
        tensor.emit(&mut record);
        bytes.extend_from_slice(&record);
    }
    bytes.extend_from_slice(&records);
    let mut preprocess = [0; PREPROCESS_LEN];
    contents.preprocess.emit(&mut preprocess);
    bytes.extend_from_slice(&preprocess);
    bytes.extend_from_slice(&labels);
    bytes.extend_from_slice(&strings);
    bytes.extend_from_slice(contents.provenance.as_bytes());
    bytes.resize(align_up(bytes.len(), ALIGN).ok_or(FormatError::Header { at: header::FILE_LEN })?, 0);
    bytes.extend_from_slice(&data);

    let count = |n: usize, limit: u32, at: usize| {
        u32::try_from(n).ok().filter(|&n| n <= limit).ok_or(FormatError::Header { at })
    };
    let fields = [
        (header::FILE_LEN, count(bytes.len() + crate::layout::TRAILER_LEN, u32::MAX, header::FILE_LEN)?),
        (header::ARENA_LEN, contents.arena_len),
        (header::LOGITS_OFFSET, contents.logits_offset),
        (header::CLASSES, contents.classes),
        (header::TENSOR_COUNT, count(contents.tensors.len(), MAX_RECORDS, header::TENSOR_COUNT)?),
        (header::OP_COUNT, count(contents.ops.len(), MAX_RECORDS, header::OP_COUNT)?),
        (header::LABEL_COUNT, count(contents.labels.len(), contents.classes, header::LABEL_COUNT)?),
        (header::STRINGS_LEN, count(strings.len(), u32::MAX, header::STRINGS_LEN)?),
        (header::PROVENANCE_LEN, count(contents.provenance.len(), u32::MAX, header::PROVENANCE_LEN)?),
        (header::DATA_LEN, count(data.len(), u32::MAX, header::DATA_LEN)?),
    ];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, header::MAJOR, MAJOR.to_le_bytes());
    put(&mut bytes, header::MINOR, MINOR.to_le_bytes());
    for (at, value) in fields {
        put(&mut bytes, at, value.to_le_bytes());
    }
    let crc = CRC32.checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    File::new_checked(&bytes)?;
    Ok(bytes)
}

/// Packs int8 weights `[out][in per group][kernel height][kernel width]` (PyTorch's order). Missing weights are zero.
pub fn pack_weights(layout: &WeightLayout, kernel: [u8; 2], weights: &[i8]) -> Vec<u8> {
    let mut packed = vec![0; layout.byte_len()];
    let [rows, columns] = kernel.map(usize::from);
    let depth = layout.in_per_group();
    for (n, channel) in weights.chunks_exact(depth * rows * columns).enumerate() {
        for (i, &weight) in channel.iter().enumerate() {
            let (c, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
            let (run, k) = if layout.row_runs() { (row, column * depth + c) } else { (row * columns + column, c) };
            if let Some(to) = packed.get_mut(layout.index(n, run, k)) {
                *to = weight as u8;
            }
        }
    }
    packed
}

/// Packs one bias and one multiplier per output channel.
pub fn pack_channels(bias: &[i32], multiplier: &[f32]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (bias, multiplier) in bias.chunks(BLOCK).zip(multiplier.chunks(BLOCK)) {
        let mut block = ChannelBlock { bias: [0; BLOCK], multiplier: [0.0; BLOCK] };
        block.bias.iter_mut().zip(bias).for_each(|(to, from)| *to = *from);
        block.multiplier.iter_mut().zip(multiplier).for_each(|(to, from)| *to = *from);
        packed.extend_from_slice(&block.to_bytes());
    }
    packed
}
