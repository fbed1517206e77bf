//! Which images to use when all would be too many.

use std::collections::BTreeMap;

/// `count` of `len` places (all if there are no more), evenly spread.
pub fn spread_over(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}

/// `count` distinct indices into `labels` (all if there are no more), ascending, spread evenly over the classes.
///
/// The draw is the same for ever, on every machine. Index `i` has the key that is output `i` of SplitMix64 started with
/// `seed`. Each class lists its indices by key, and the place in that list is the index's round. The indices of the
/// lowest rounds are drawn; of a round that does not fit as a whole, those with the lowest keys. So classes differ by
/// at most one, but where a class has no more images. Images without a label count as one class.
pub fn spread(labels: &[Option<usize>], count: usize, seed: u64) -> Vec<usize> {
    let mut classes = BTreeMap::<Option<usize>, Vec<(u64, usize)>>::new();
    for (index, (&label, key)) in labels.iter().zip(split_mix_64(seed)).enumerate() {
        classes.entry(label).or_default().push((key, index));
    }
    let mut draw = Vec::with_capacity(labels.len());
    for mut class in classes.into_values() {
        class.sort_unstable();
        draw.extend(class.into_iter().enumerate().map(|(round, (key, index))| (round, key, index)));
    }
    draw.sort_unstable();
    let mut indices: Vec<usize> = draw.into_iter().take(count).map(|(.., index)| index).collect();
    indices.sort_unstable();
    indices
}

/// The outputs of Steele, Lea and Flood's SplitMix64. Their first 2^64 are distinct, so keys never tie.
fn split_mix_64(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |step: u64| {
        let z = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sizes[c]` images of each class c, one class after the other.
    fn labels(sizes: &[usize]) -> Vec<Option<usize>> {
        sizes.iter().enumerate().flat_map(|(class, &size)| vec![Some(class); size]).collect()
    }

    #[test]
    fn generator_is_split_mix_64() {
        // The published outputs for seed 1234567.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert!(split_mix_64(1_234_567).take(5).eq(expected));
    }

    #[test]
    fn classes_share_evenly() {
        let table: [(&[usize], usize, &[usize]); 7] = [
            (&[10, 10, 10], 6, &[2, 2, 2]),
            (&[10, 1, 10], 9, &[4, 1, 4]),
            (&[3, 2], 5, &[3, 2]),
            (&[3, 2], 99, &[3, 2]),
            (&[3, 2], 0, &[0, 0]),
            (&[0, 4], 3, &[0, 3]),
            (&[], 3, &[]),
        ];
        for (sizes, count, shares) in table {
            let labels = labels(sizes);
            for seed in 0..20 {
                let drawn = spread(&labels, count, seed);
                assert!(drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
                for (class, &share) in shares.iter().enumerate() {
                    assert_eq!(drawn.iter().filter(|&&i| labels[i] == Some(class)).count(), share, "{sizes:?} {count}");
                }
            }
        }
    }

    #[test]
    fn incomplete_round_favours_no_class() {
        let labels = labels(&[5; 8]);
        let mut shares = [0; 8];
        for seed in 0..400 {
            let drawn = spread(&labels, 12, seed);
            assert_eq!(drawn.len(), 12);
            drawn.iter().for_each(|&i| shares[labels[i].unwrap()] += 1);
        }
        // 600 each are expected.
        assert!(shares.iter().all(|share| (540..660).contains(share)), "{shares:?}");
    }

    #[test]
    fn draw_never_changes() {
        // Computed by a second implementation, in Python.
        let three = labels(&[6, 6, 6]);
        assert_eq!(spread(&three, 7, 0), [2, 4, 5, 6, 8, 15, 16]);
        assert_eq!(spread(&three, 7, 1), [3, 4, 8, 10, 12, 14, 15]);
        assert_eq!(spread(&three, 7, u64::MAX), [2, 3, 9, 10, 12, 14, 17]);
        assert_eq!(spread(&[None; 20], 5, 0), [2, 4, 6, 8, 18]);
    }
}
