//! How large the values of each channel are.

/// Bins of one channel: a quarter of an octave each, of magnitudes from 2^-16 to 2^16.
const BINS: usize = 128;
/// Exponent and first two fraction bits of 2^-16.
const FIRST: u32 = (127 - 16) << 2;

/// Counts of magnitudes by channel, in bins of a fixed size: what is gathered depends on the set of values, not on their
/// order. 512 bytes a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelPeaks {
    counts: Vec<[u32; BINS]>,
    /// Values seen of each channel.
    total: u64,
}

impl ChannelPeaks {
    /// For this many channels.
    pub fn new(channels: usize) -> Self {
        ChannelPeaks { counts: vec![[0; BINS]; channels], total: 0 }
    }

    /// Adds one image's activation, `[channels][positions]`.
    pub fn observe(&mut self, values: &[f32]) {
        let positions = values.len() / self.counts.len().max(1);
        self.total += positions as u64;
        for (counts, values) in self.counts.iter_mut().zip(values.chunks_exact(positions.max(1))) {
            for value in values {
                let bin = (value.abs().to_bits() >> 21).saturating_sub(FIRST).min(BINS as u32 - 1);
                counts[bin as usize] += 1;
            }
        }
    }

    /// Adds what another saw of the same channels.
    pub fn merge(&mut self, other: &Self) {
        self.total += other.total;
        for (to, from) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *to += from;
        }
    }

    /// For each channel a magnitude that all values but this share stay below, at most a quarter of an octave too large; 0
    /// for a channel of values below 2^-16.
    pub fn peaks(&self, beyond: f64) -> Vec<f32> {
        let allowed = (self.total as f64 * beyond) as u64;
        let peak = |counts: &[u32; BINS]| {
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
        self.counts.iter().map(peak).collect()
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
