//! How large the values of each channel are.

use serde::{Deserialize, Serialize};

/// Bins of one channel: a quarter of an octave each, of magnitudes from 2^-16 to 2^16.
const BINS: usize = 128;
/// Exponent and first two fraction bits of 2^-16.
const FIRST: u32 = (127 - 16) << 2;

/// Counts of magnitudes by channel, in bins of a fixed size: what is gathered depends on the set of values, not on their
/// order. 512 bytes a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelPeaks {
    /// [`BINS`] of each channel.
    counts: Vec<u32>,
    /// Values seen of each channel.
    total: u64,
}

impl ChannelPeaks {
    /// For this many channels.
    pub fn new(channels: usize) -> Self {
        ChannelPeaks { counts: vec![0; channels * BINS], total: 0 }
    }

    /// Adds one image's activation, `[channels][positions]`.
    pub fn observe(&mut self, values: &[f32]) {
        let positions = values.len() / (self.counts.len() / BINS).max(1);
        self.total += positions as u64;
        for (counts, values) in self.counts.chunks_exact_mut(BINS).zip(values.chunks_exact(positions.max(1))) {
            for value in values {
                let bin = (value.abs().to_bits() >> 21).saturating_sub(FIRST).min(BINS as u32 - 1);
                counts[bin as usize] += 1;
            }
        }
    }

    /// Adds what another saw of the same channels.
    pub fn merge(&mut self, other: &Self) {
        self.total += other.total;
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
    }

    /// For each channel the mean magnitude of its values, within an eighth of an octave; 0 without values.
    pub fn means(&self) -> Vec<f64> {
        let middle = |bin: usize| f64::from(f32::from_bits((FIRST + bin as u32) << 21)) * 1.125;
        let sum = |counts: &[u32]| -> f64 {
            counts.iter().enumerate().skip(1).map(|(bin, &count)| f64::from(count) * middle(bin)).sum()
        };
        self.counts.chunks_exact(BINS).map(|counts| sum(counts) / self.total.max(1) as f64).collect()
    }

    /// For each channel a magnitude that all values but this share stay below, at most a quarter of an octave too large; 0
    /// for a channel of values below 2^-16.
    pub fn peaks(&self, beyond: f64) -> Vec<f32> {
        let allowed = (self.total as f64 * beyond) as u64;
        let peak = |counts: &[u32]| {
            let mut above = 0;
            let top = counts.iter().enumerate().rev().find(|(_, count)| {
                above += u64::from(**count);
                above > allowed
            });
            match top {
                Some((bin, _)) if bin > 0 => f32::from_bits((FIRST + bin as u32 + 1) << 21),
                _ => 0.0,
            }
        };
        self.counts.chunks_exact(BINS).map(peak).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_above_all_but_a_share() {
        let mut peaks = ChannelPeaks::new(3);
        let mut values = vec![0.9f32; 100];
        values[50] = -30.0;
        values.extend([0.0; 100]);
        values.extend([1e-9; 100]);
        peaks.observe(&values);
        assert_eq!(peaks.peaks(0.0), [32.0, 0.0, 0.0]);
        assert_eq!(peaks.peaks(0.01), [1.0, 0.0, 0.0]);
        let mut twice = peaks.clone();
        twice.merge(&peaks);
        assert_eq!(twice.peaks(0.005), [32.0, 0.0, 0.0]);
        assert_eq!(twice.peaks(0.01), [1.0, 0.0, 0.0]);
    }
}
