//! What `File::new_checked` verifies beyond the frame: every number is in range, every reference resolves, shapes
//! agree, no accumulator overflows, and no op reads bytes that are not there.

use core::ops::Range;

use crate::bytes::{u8_at, u16_at};
use crate::layout::{ALIGN, NO_TENSOR, align_up, header};
use crate::quant::{Mean, QParams};
use crate::record::NAME_AT;
use crate::tensor::{CODE_TYPE_AT, I16};
use crate::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES, WeightLayout};
use crate::{ChannelBlock, CodeType, File, FormatError, Op, Projection, Residual, Resize, Shape, Tensor, TensorId};

/// Multipliers above this are no quantization; the bound keeps equations (6) and (6b) free of infinities.
const MAX_MULTIPLIER: f32 = 1_048_576.0;
/// The largest magnitude of an int8 code.
const LARGEST_CODE: u64 = 128;

pub(crate) fn check(file: &File<'_>) -> Result<(), FormatError> {
    check_image(file)?;
    for (number, record) in file.tensors.iter().enumerate() {
        check_tensor(file, number as u16, record)?;
    }
    let logits = file.logits_range();
    if file.classes() == 0 || !logits.start.is_multiple_of(ALIGN) || logits.end > file.arena_len() {
        return Err(FormatError::Header { at: header::LOGITS_OFFSET });
    }
    for at in file.labels {
        string(file, u32::from_le_bytes(*at))?;
    }
    let mut blobs = Blobs { at: 0 };
    for (number, record) in file.ops.iter().enumerate() {
        let op = number as u16;
        string(file, crate::bytes::u32_at(record, NAME_AT))?;
        let parsed = file.op(op, record)?;
        if !unused_is_zero(record, &parsed) {
            return Err(FormatError::Op { op, field: "a reserved or unused byte" });
        }
        check_op(file, number, &parsed, &mut blobs)?;
    }
    // Nothing but blobs, and each once: what is verified is never more than the file.
    if blobs.at != file.data.len() {
        return Err(FormatError::Header { at: header::DATA_LEN });
    }
    Ok(())
}

/// Follows the data section: blobs lie one after the other, in the order of their ops.
struct Blobs {
    at: usize,
}

impl Blobs {
    /// Whether `blob` is the next one.
    fn next(&mut self, file: &File<'_>, blob: &[u8]) -> bool {
        let at = (blob.as_ptr() as usize).wrapping_sub(file.data.as_ptr() as usize);
        let fits = at == self.at;
        self.at = align_up(at.wrapping_add(blob.len()), ALIGN).unwrap_or(usize::MAX);
        fits
    }
}

fn string(file: &File<'_>, at: u32) -> Result<(), FormatError> {
    file.string(at).map(|_| ()).ok_or(FormatError::String { at })
}

fn zeros(record: &[u8], mut at: impl Iterator<Item = usize>) -> Result<(), ()> {
    if at.any(|i| record.get(i).is_some_and(|&b| b != 0)) { Err(()) } else { Ok(()) }
}

/// Whether the fields that the op's kind does not use, and the reserved bytes, hold nothing.
fn unused_is_zero(record: &[u8], op: &Op<'_>) -> bool {
    let residual = match op {
        Op::Conv(conv) => conv.residual,
        _ => None,
    };
    let unused = |at: &usize| match (op, *at) {
        (_, 1) => true,
        (_, 26..28 | 52..) => !matches!(residual, Some(Residual::Projection(_))),
        (Op::Conv(_), 44..48) => !matches!(residual, Some(Residual::Identity { .. })),
        (Op::MaxPool(_), 16..48) => true,
        (Op::GlobalAvgPool(_), 8..48) => true,
        (Op::Linear(_), 8..32 | 44..48) => true,
        _ => false,
    };
    let no_tensors: &[usize] = match op {
        Op::Conv(_) => &[],
        Op::MaxPool(_) | Op::GlobalAvgPool(_) => &[6],
        Op::Linear(_) => &[4, 6],
    };
    zeros(record, (0..record.len()).filter(unused)).is_ok()
        && no_tensors.iter().all(|&at| u16_at(record, at) == NO_TENSOR)
}

fn check_image(file: &File<'_>) -> Result<(), FormatError> {
    let bad = |field| Err(FormatError::Preprocess { field });
    let (spec, shape) = (file.preprocess(), file.image());
    if shape.channels != spec.colour.channels() {
        return bad("colour (not the image's channels)");
    }
    if let Resize::ShortEdge(edge) | Resize::Square(edge) = spec.resize
        && edge < shape.height.max(shape.width)
    {
        return bad("edge (smaller than the input)");
    }
    for (i, (mean, std)) in spec.mean.iter().zip(&spec.std).enumerate() {
        let used = i < shape.channels as usize;
        if !mean.is_finite() || !std.is_finite() || (used && *std <= 0.0) || (!used && (*mean != 0.0 || *std != 0.0)) {
            return bad("mean or deviation");
        }
    }
    let bad = |field| Err(FormatError::Tensor { tensor: 0, field });
    match file.tensor(TensorId::IMAGE) {
        Some(image) if image.qparams != QParams::IMAGE => bad("scale or zero point (the image's are 1 and -128)"),
        Some(image) if image.code_type != CodeType::I8 => bad("type of codes (the image's are bytes)"),
        _ => Ok(()),
    }
}

fn check_tensor(file: &File<'_>, number: u16, record: &[u8]) -> Result<(), FormatError> {
    let bad = |field| Err(FormatError::Tensor { tensor: number, field });
    let tensor = Tensor::parse(record);
    let Shape { height, width, channels } = tensor.shape;
    let volume = height.checked_mul(width).and_then(|n| n.checked_mul(channels)).filter(|&n| n > 0);
    let len = volume.and_then(|n| n.checked_mul(tensor.code_type.byte_len() as u32));
    let end = len.and_then(|len| len.checked_add(tensor.offset));
    if end.is_none_or(|end| end as usize > file.arena_len()) {
        return bad("shape or arena offset");
    }
    if !(tensor.offset as usize).is_multiple_of(ALIGN) {
        return bad("arena offset (no multiple of 64)");
    }
    if !(tensor.qparams.scale.is_finite() && tensor.qparams.scale > 0.0) {
        return bad("scale");
    }
    if u8_at(record, CODE_TYPE_AT) > I16 {
        return bad("type of codes");
    }
    zeros(record, CODE_TYPE_AT + 1..record.len()).or(bad("a reserved byte"))
}

fn check_op(file: &File<'_>, number: usize, op: &Op<'_>, blobs: &mut Blobs) -> Result<(), FormatError> {
    let bad = |field| Err(FormatError::Op { op: number as u16, field });
    let find = |id, field| file.tensor(id).ok_or(FormatError::Op { op: number as u16, field });
    let input = find(op.input(), "input")?;
    let output = op.output().map(|id| find(id, "output")).transpose()?;
    let residual = op.residual().map(|id| find(id, "residual")).transpose()?;
    if op.output() == Some(TensorId::IMAGE) {
        return bad("output (the image is not written)");
    }
    let is_mean = matches!(op, Op::GlobalAvgPool(_));
    let is = |tensor: &Tensor, wide: bool| (tensor.code_type == CodeType::I16) == wide;
    if !is(&input, matches!(op, Op::Linear(_))) {
        return bad("input (another type of codes)");
    }
    if output.is_some_and(|output| !is(&output, is_mean)) {
        return bad("output (another type of codes)");
    }
    if residual.is_some_and(|residual| !is(&residual, false)) {
        return bad("residual (another type of codes)");
    }
    let written = output.map_or(file.logits_range(), |t| t.range());
    if overlap(&input.range(), &written) {
        return bad("output (overlaps the input)");
    }

    let in_order = |blobs: &mut Blobs, weights: &[u8], channels: &[u8]| match blobs.next(file, weights)
        && blobs.next(file, channels)
    {
        true => Ok(()),
        false => bad("weights (not behind those of the op before)"),
    };
    let shape = output.map_or(input.shape, |t| t.shape);
    match op {
        Op::Conv(conv) => {
            if conv.window.output(input.shape.height, input.shape.width) != Some([shape.height, shape.width]) {
                return bad("window (does not give the output's shape)");
            }
            if conv.cardinality.checked_rem(conv.groups.get()) != Some(0) || conv.cardinality == 0 {
                return bad("cardinality");
            }
            let output = output.ok_or(FormatError::Op { op: number as u16, field: "output" })?;
            in_order(blobs, conv.weights, conv.channels)?;
            check_weights(number, conv.weights, conv.channels, conv.layout(&input, &output), LARGEST_CODE)?;
            if let (Some(added), Some(from)) = (conv.residual, residual) {
                check_residual(&added, [&from, &input, &output]).or_else(bad)?;
                if let Residual::Projection(projection) = added {
                    in_order(blobs, projection.weights, projection.channels)?;
                    let layout = Projection::layout(&from, &output);
                    check_weights(number, projection.weights, projection.channels, layout, LARGEST_CODE)?;
                }
            }
        }
        Op::MaxPool(pool) => {
            let [height, width] = pool.window.output(input.shape.height, input.shape.width).unwrap_or([0, 0]);
            if shape != (Shape { height, width, ..input.shape }) {
                return bad("window (does not give the output's shape)");
            }
            if output.map(|t| t.qparams) != Some(input.qparams) || op.input() == TensorId::IMAGE {
                return bad("output (scale and zero point must be the input's)");
            }
        }
        Op::GlobalAvgPool(_) => {
            if shape != (Shape { height: 1, width: 1, ..input.shape }) || op.input() == TensorId::IMAGE {
                return bad("output (must be 1×1 with the input's channels)");
            }
            // The sum of H·W codes must fit an i32.
            if input.shape.height.saturating_mul(input.shape.width) > 1 << 23 {
                return bad("input (too many positions)");
            }
            if output.map(|t| t.qparams) != Some(Mean::qparams(input.qparams)) {
                return bad("output (scale must be the input's by 16, zero point 0)");
            }
        }
        Op::Linear(linear) => {
            if number + 1 != file.ops.len() {
                return bad("kind (a linear layer is the last op)");
            }
            let blocks = linear.channels.len() / CHANNEL_BLOCK_BYTES;
            if file.classes().div_ceil(BLOCK) != blocks {
                return bad("weights (not the header's classes)");
            }
            let layout = WeightLayout::new(input.shape.channels, file.classes() as u32, [1, 1], 1);
            in_order(blobs, linear.weights, linear.channels)?;
            check_weights(number, linear.weights, linear.channels, layout, Mean::LARGEST as u64)?;
        }
    }
    if number + 1 == file.ops.len() && op.output().is_some() {
        return bad("kind (the last op must write the logits)");
    }
    check_alive(file, number, op.input())?;
    op.residual().map_or(Ok(()), |id| check_alive(file, number, id))
}

/// Whether a convolution from `input` to `output` can add its residual, which reads `tensor`; says why not.
fn check_residual(residual: &Residual<'_>, [tensor, input, output]: [&Tensor; 3]) -> Result<(), &'static str> {
    if residual.tensor() == TensorId::IMAGE {
        return Err("residual (the image has no codes)");
    }
    let (shape, in_place) = match residual {
        Residual::Identity { .. } => (Some(tensor.shape), tensor.offset == output.offset),
        Residual::Projection(projection) => {
            let size = projection.window().output(tensor.shape.height, tensor.shape.width);
            (size.map(|[height, width]| Shape { height, width, ..output.shape }), false)
        }
    };
    if shape != Some(output.shape) || overlap(&tensor.range(), &input.range()) {
        return Err("residual (shape or place)");
    }
    if !in_place && overlap(&tensor.range(), &output.range()) {
        return Err("residual (overlaps the output)");
    }
    match residual {
        Residual::Identity { multiplier, .. } if !is_multiplier(*multiplier) => Err("residual multiplier"),
        _ => Ok(()),
    }
}

fn is_multiplier(m: f32) -> bool {
    (0.0..=MAX_MULTIPLIER).contains(&m)
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Range of the weights and multipliers, and inequality (4) of the quantization page for inputs of this magnitude.
fn check_weights(
    number: usize,
    weights: &[u8],
    channels: &[u8],
    layout: Option<WeightLayout>,
    largest_code: u64,
) -> Result<(), FormatError> {
    let bad = |field| Err(FormatError::Op { op: number as u16, field });
    let (params, _) = channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let layout = layout.ok_or(FormatError::Op { op: number as u16, field: "weights" })?;
    // Then the sums below fit a u32.
    if layout.quads() == 0 || layout.quads() > (1 << 24) / QUAD {
        return bad("weights (no inputs, or too many)");
    }
    for (block, (packed, params)) in weights.chunks_exact(layout.block_bytes()).zip(params).enumerate() {
        if !ends_are_zero(packed, &layout) {
            return bad("weights (padding is not zero)");
        }
        let sums = magnitudes(packed).ok_or(FormatError::Op { op: number as u16, field: "weights (one is -128)" })?;
        let params = ChannelBlock::read(params);
        for (i, ((sum, bias), multiplier)) in sums.iter().zip(params.bias).zip(params.multiplier).enumerate() {
            if u64::from(bias.unsigned_abs()) + largest_code * u64::from(*sum) > i32::MAX as u64 {
                return bad("bias (an accumulator could overflow)");
            }
            if !is_multiplier(multiplier) {
                return bad("multiplier");
            }
            if block * BLOCK + i >= layout.channels_out() && (*sum != 0 || bias != 0 || multiplier != 0.0) {
                return bad("weights (padding is not zero)");
            }
        }
    }
    Ok(())
}

/// Σ|w| of each channel in a block; `None` if a weight is −128.
fn magnitudes(packed: &[u8]) -> Option<[u32; BLOCK]> {
    let mut sums = [0u32; BLOCK];
    let mut least = 0i8;
    let (quads, _) = packed.as_chunks::<QUAD_BYTES>();
    for quad in quads {
        let (rows, _) = quad.as_chunks::<QUAD>();
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum += row.iter().map(|&w| u32::from((w as i8).unsigned_abs())).sum::<u32>();
        }
        least = quad.iter().fold(least, |least, &w| least.min(w as i8));
    }
    (least > i8::MIN).then_some(sums)
}

/// Whether every run of one block's weights is filled up to whole quads with zeros: kernels may read any input there.
fn ends_are_zero(packed: &[u8], layout: &WeightLayout) -> bool {
    let used = layout.run_len() % QUAD;
    let mut last_quads =
        packed.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1)).filter_map(|run| run.last_chunk());
    let zero = |quad: &[u8; QUAD_BYTES]| quad.chunks_exact(QUAD).all(|w| w.iter().skip(used).all(|&w| w == 0));
    used == 0 || last_quads.all(zero)
}

/// The bytes of `id` are still there when op `number` reads them: going back from it, the first op that writes to them
/// is the one that wrote `id`.
fn check_alive(file: &File<'_>, number: usize, id: TensorId) -> Result<(), FormatError> {
    let gone = FormatError::Liveness { op: number as u16, tensor: id.0 };
    let range = file.tensor(id).ok_or(gone)?.range();
    for record in file.ops.get(..number).unwrap_or(&[]).iter().rev() {
        let written = u16_at(record, 4);
        if written == id.0 {
            return Ok(());
        }
        let other = file.tensor(TensorId(written)).map(|t| t.range());
        if written != NO_TENSOR && other.is_none_or(|other| overlap(&other, &range)) {
            return Err(gone);
        }
    }
    if id == TensorId::IMAGE { Ok(()) } else { Err(gone) }
}
