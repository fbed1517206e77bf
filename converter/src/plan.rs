//! The memory plan: a place in one arena for every buffer.
//!
//! - Every buffer is alive from the step that writes it to the last step that reads it.
//! - Buffers are placed one by one, largest first (Pisarchyk & Lee 2020, "greedy by size", arXiv:2001.03288).
//! - Each goes to the lowest offset where it touches no placed buffer that is alive at the same time.
//! - A convolution writes over the shortcut that it adds as it is, if nothing reads that later: the two share a buffer.

use cardinal_format::TensorId;
use cardinal_format::layout::ALIGN;

use crate::quantize::QuantizedLayer;

/// A buffer's size and the steps (inclusive) in which it must keep its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes.
    pub len: usize,
    /// The step that writes it.
    pub first: usize,
    /// The last step that reads it.
    pub last: usize,
}

/// Offsets for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the arena.
    pub arena_len: usize,
    /// One offset per tensor: the image, then every op's output but the classifier's.
    pub tensors: Vec<usize>,
    /// Offset of the logits.
    pub logits: usize,
}

/// Plans the memory of a model.
pub fn plan(image_len: usize, layers: &[QuantizedLayer]) -> Plan {
    // Tensor 0 is the image, tensor i + 1 what op i writes; the last one is the logits.
    let mut buffers = vec![Buffer { len: image_len, first: 0, last: 0 }];
    for (step, layer) in layers.iter().enumerate() {
        let logits = layer.shape.volume() * size_of::<f32>();
        let len = layer.tensor(0).map_or(logits, |tensor| tensor.byte_len());
        buffers.push(Buffer { len, first: step, last: step });
        for TensorId(read) in std::iter::once(layer.input).chain(layer.residual()) {
            let buffer = &mut buffers[usize::from(read)];
            buffer.last = buffer.last.max(step);
        }
    }
    let mut shared: Vec<usize> = (0..buffers.len()).collect();
    for (step, layer) in layers.iter().enumerate() {
        if let Some(TensorId(residual)) = layer.overwritable()
            && buffers[usize::from(residual)].last == step
            && buffers[usize::from(residual)].len == buffers[step + 1].len
        {
            shared[step + 1] = shared[usize::from(residual)];
        }
    }
    // The first tensor of a shared buffer stands for all of them.
    for tensor in 0..buffers.len() {
        let last = buffers[tensor].last;
        let owner = &mut buffers[shared[tensor]];
        owner.last = owner.last.max(last);
    }
    let owners: Vec<usize> = (0..buffers.len()).filter(|&t| shared[t] == t).collect();
    let (placed, arena_len) = place(&owners.iter().map(|&t| buffers[t]).collect::<Vec<_>>());
    let mut offsets = vec![0; buffers.len()];
    for (&owner, offset) in owners.iter().zip(placed) {
        offsets[owner] = offset;
    }
    let mut tensors: Vec<usize> = shared.iter().map(|&owner| offsets[owner]).collect();
    let logits = tensors.pop().unwrap_or(0);
    Plan { arena_len, tensors, logits }
}

/// Offsets of the buffers, multiples of 64, and the arena's length.
pub fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].len), buffers[i].first));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut arena_len = 0;
    for i in order {
        let Buffer { len, first, last } = buffers[i];
        let mut offset = 0;
        // `placed` is sorted by offset, so the first gap that is wide enough is the lowest.
        for &other in placed.iter().filter(|&&o| buffers[o].first <= last && first <= buffers[o].last) {
            if offset + len <= offsets[other] {
                break;
            }
            offset = offset.max((offsets[other] + buffers[other].len).next_multiple_of(ALIGN));
        }
        offsets[i] = offset;
        arena_len = arena_len.max(offset + len);
        let at = placed.partition_point(|&o| offsets[o] <= offset);
        placed.insert(at, i);
    }
    (offsets, arena_len.next_multiple_of(ALIGN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_alive_together_do_not_overlap() {
        let buffers: Vec<Buffer> =
            (0..40).map(|i| Buffer { len: 1 + (i * 7919) % 977, first: i, last: i + (i * 31) % 5 }).collect();
        let (offsets, len) = place(&buffers);
        for (i, a) in buffers.iter().enumerate() {
            assert!(offsets[i] % ALIGN == 0 && offsets[i] + a.len <= len);
            for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                assert!(apart || !together, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let chain: Vec<Buffer> =
            [640, 128, 1280, 64].iter().enumerate().map(|(i, &len)| Buffer { len, first: i, last: i + 1 }).collect();
        assert_eq!(place(&chain).1, 1280 + 128);
    }
}
