//! The state of a histogram is a function of the multiset of values.

use cardinal_calib::{BINS, Histogram};
use proptest::{collection::vec, num, prelude::*};

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1e3f32..1e3,
        2 => num::f32::NORMAL,
        1 => num::f32::ZERO | num::f32::SUBNORMAL | num::f32::POSITIVE | num::f32::NEGATIVE,
        1 => num::f32::INFINITE | num::f32::QUIET_NAN,
        2 => (-150i32..128, any::<bool>()).prop_map(|(e, s)| 2f32.powi(e) * if s { -1.0 } else { 1.0 }),
    ]
}

fn of(values: &[f32]) -> Histogram {
    let mut h = Histogram::new();
    h.observe(values);
    h
}

/// Equality of the extrema's bits, too, which `==` does not ask for.
fn assert_identical(a: &Histogram, b: &Histogram) {
    assert_eq!(a, b);
    let bits = |h: &Histogram| h.range().map(|(min, max)| (min.to_bits(), max.to_bits()));
    assert_eq!(bits(a), bits(b));
}

proptest! {
    #[test]
    fn order_does_not_matter(values in vec(any_value(), 0..300).prop_shuffle(), seed in any::<usize>()) {
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        assert_identical(&of(&values), &of(&sorted));
        sorted.reverse();
        sorted.rotate_left(seed % values.len().max(1));
        assert_identical(&of(&values), &of(&sorted));
    }

    #[test]
    fn partition_does_not_matter(values in vec(any_value(), 0..300), owners in vec(0usize..4, 300)) {
        let whole = of(&values);
        let mut parts = vec![Histogram::new(); 4];
        for (&x, &owner) in values.iter().zip(&owners) {
            parts[owner].observe(&[x]);
        }
        for reverse in [false, true] {
            let mut merged = Histogram::new();
            if reverse {
                parts.reverse();
            }
            for part in &parts {
                merged.merge(part);
            }
            assert_identical(&whole, &merged);
        }
        let [a, b, c, d] = &mut parts[..] else { unreachable!() };
        a.merge(b);
        c.merge(d);
        c.merge(a);
        assert_identical(&whole, c);
    }

    #[test]
    fn every_value_lies_in_its_bin(values in vec(any_value(), 1..100)) {
        let h = of(&values);
        let mut expected = (vec![0u64; BINS], vec![0u64; BINS]);
        for &x in values.iter().filter(|x| x.is_finite()) {
            let bin = (f64::from(x.abs()) / h.width()).floor() as usize;
            let half = if x < 0.0 { &mut expected.1 } else { &mut expected.0 };
            half[bin] += 1;
        }
        for (half, expected) in [(h.non_negative(), expected.0), (h.negative(), expected.1)] {
            if half.is_empty() {
                prop_assert_eq!(expected.iter().sum::<u64>(), 0);
            } else {
                prop_assert_eq!(half, &expected[..]);
            }
        }
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        prop_assert_eq!(h.count(), finite().count() as u64);
        prop_assert_eq!(h.count() + h.non_finite(), values.len() as u64);
        prop_assert_eq!(h.zeros(), finite().filter(|&x| x == 0.0).count() as u64);
        let range = finite().fold(None, |r: Option<(f32, f32)>, x| {
            Some(r.map_or((x, x), |(min, max)| (min.min(x), max.max(x))))
        });
        prop_assert_eq!(h.range(), range);
    }
}

#[test]
fn blocks_of_any_length_count_every_value() {
    let values: Vec<f32> = (0..10_000).map(|i| (i - 3000) as f32).collect();
    for n in [1, 15, 16, 17, 4095, 4096, 4097, 10_000] {
        let h = of(&values[..n]);
        let binned: u64 = h.non_negative().iter().chain(h.negative()).sum();
        assert_eq!((h.count(), binned), (n as u64, n as u64));
    }
}
