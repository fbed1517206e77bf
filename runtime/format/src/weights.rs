//! The weight layout `[N/16][K/4][16][4]`, as one index function for the packer and every kernel.

use core::num::NonZeroU32;

/// Output channels in a block.
pub const BLOCK: usize = 16;
/// Inputs in a quad.
pub const QUAD: usize = 4;
/// Bytes that one quad of inputs takes in a block.
pub const QUAD_BYTES: usize = BLOCK * QUAD;
/// Bytes of channel parameters per block: 16 × i32 bias, 16 × f32 multiplier.
pub const CHANNEL_BLOCK_BYTES: usize = BLOCK * 8;

/// Shape of one convolution's (or linear layer's) packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightLayout {
    channels_out: usize,
    out_per_group: NonZeroU32,
    in_per_group: usize,
    runs: usize,
    run_len: usize,
    quads: usize,
    byte_len: usize,
    row_runs: bool,
}

impl WeightLayout {
    /// `None` if a number is zero, the groups do not divide the channels, a group's channels are no multiple of 4 while
    /// there are several groups, or the size overflows.
    pub fn new(channels_in: u32, channels_out: u32, kernel: [u8; 2], groups: u32) -> Option<Self> {
        let out_per_group = NonZeroU32::new(channels_out.checked_div(groups)?)?;
        let in_per_group = channels_in.checked_div(groups)?;
        let divides = channels_in.checked_rem(groups)? == 0 && channels_out.checked_rem(groups)? == 0;
        if !divides || in_per_group == 0 || (groups > 1 && !in_per_group.is_multiple_of(4)) {
            return None;
        }
        let [rows, columns] = kernel.map(usize::from);
        let in_per_group = in_per_group as usize;
        let row_runs = !in_per_group.is_multiple_of(QUAD);
        let (runs, run_len) = if row_runs {
            (rows, columns.checked_mul(in_per_group)?)
        } else {
            (rows.checked_mul(columns)?, in_per_group)
        };
        let channels_out = channels_out as usize;
        let quads = runs.checked_mul(run_len.div_ceil(QUAD))?;
        let byte_len = channels_out.div_ceil(BLOCK).checked_mul(quads)?.checked_mul(QUAD_BYTES)?;
        if byte_len == 0 {
            return None;
        }
        Some(WeightLayout { channels_out, out_per_group, in_per_group, runs, run_len, quads, byte_len, row_runs })
    }

    /// Runs of input bytes that lie side by side: one per tap, or one per kernel row (see [`Self::row_runs`]).
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// Bytes of one run, before rounding up to 4.
    pub const fn run_len(&self) -> usize {
        self.run_len
    }

    /// Quads of one run.
    pub const fn run_quads(&self) -> usize {
        self.run_len.div_ceil(QUAD)
    }

    /// Quads of one output channel, over all runs.
    pub const fn quads(&self) -> usize {
        self.quads
    }

    /// Bytes of one block of sixteen output channels.
    pub const fn block_bytes(&self) -> usize {
        self.quads * QUAD_BYTES
    }

    /// Bytes of all blocks.
    pub const fn byte_len(&self) -> usize {
        self.byte_len
    }

    /// Blocks of sixteen output channels, the last one perhaps partly empty.
    pub const fn blocks(&self) -> usize {
        self.channels_out.div_ceil(BLOCK)
    }

    /// Output channels, without padding.
    pub const fn channels_out(&self) -> usize {
        self.channels_out
    }

    /// Bytes of all channel parameters.
    pub const fn channel_bytes(&self) -> usize {
        self.blocks() * CHANNEL_BLOCK_BYTES
    }

    /// Whether a run is a kernel row (columns × channels) instead of a tap (channels of a group).
    pub const fn row_runs(&self) -> bool {
        self.row_runs
    }

    /// Input channels of one group.
    pub const fn in_per_group(&self) -> usize {
        self.in_per_group
    }

    /// First input channel of the group that output channel `n` belongs to.
    pub fn first_input(&self, n: usize) -> usize {
        (n as u32 / self.out_per_group) as usize * self.in_per_group
    }

    /// Place of the weight of output channel `n` at byte `k` of run `run`.
    pub const fn index(&self, n: usize, run: usize, k: usize) -> usize {
        let quad = run * self.run_quads() + k / QUAD;
        (n / BLOCK) * self.block_bytes() + quad * QUAD_BYTES + (n % BLOCK) * QUAD + k % QUAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn index_is_injective_and_in_range() {
        for (cin, cout, kernel, groups) in
            [(3, 10, [3, 3], 1), (8, 24, [3, 3], 2), (64, 128, [1, 1], 1), (5, 7, [1, 1], 1), (128, 128, [3, 3], 32)]
        {
            let w = WeightLayout::new(cin, cout, kernel, groups).unwrap();
            let mut seen = BTreeSet::new();
            for n in 0..w.channels_out() {
                for run in 0..w.runs() {
                    for k in 0..w.run_len() {
                        let i = w.index(n, run, k);
                        assert!(i < w.byte_len() && seen.insert(i));
                    }
                }
            }
        }
    }

    #[test]
    fn bad_shapes_have_no_layout() {
        for (cin, cout, kernel, groups) in [
            (0, 4, [1, 1], 1),
            (4, 0, [1, 1], 1),
            (4, 4, [0, 1], 1),
            (4, 4, [1, 1], 0),
            (6, 6, [3, 3], 2),
            (8, 6, [3, 3], 4),
        ] {
            assert_eq!(WeightLayout::new(cin, cout, kernel, groups), None, "{cin} {cout} {kernel:?} {groups}");
        }
    }
}
