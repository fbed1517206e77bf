//! Two networks on the same images: a paired sample, of which only the images count that one recognises and the other
//! does not.

use serde::Serialize;

/// How many images were recognised by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paired {
    /// By both.
    pub both: usize,
    /// By the float network only.
    pub only_float: usize,
    /// By the int8 network only.
    pub only_int8: usize,
    /// By neither.
    pub neither: usize,
}

impl Paired {
    /// Counts an image.
    pub fn add(&mut self, float: bool, int8: bool) {
        *match (float, int8) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.only_float,
            (false, true) => &mut self.only_int8,
            (false, false) => &mut self.neither,
        } += 1;
    }

    /// All images.
    pub fn images(&self) -> usize {
        self.both + self.only_float + self.only_int8 + self.neither
    }

    /// Float's share less int8's, percentage points; 0 without images.
    ///
    /// One division of whole numbers, so that a limit of 0.5 is met by exactly 0.5.
    pub fn drop_points(&self) -> f64 {
        100.0 * (self.only_float as f64 - self.only_int8 as f64) / self.images().max(1) as f64
    }
}

/// The 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// 95 % interval of the drop (float's share less int8's), percentage points: the Wald interval after 0.5 was added to each
/// cell of the table.
///
/// A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
/// 24 (2005), pages 729–740. Unlike the plain Wald interval it holds its level when few images differ, and has a width when
/// none does.
pub fn adjusted_wald_95(counts: &Paired) -> [f64; 2] {
    let n = counts.images() as f64 + 2.0;
    let (b, c) = (counts.only_float as f64 + 0.5, counts.only_int8 as f64 + 0.5);
    let drop = (b - c) / n;
    let error = Z * ((b + c) - (b - c) * (b - c) / n).max(0.0).sqrt() / n;
    [-1.0, 1.0].map(|side: f64| 100.0 * (drop + side * error).clamp(-1.0, 1.0))
}

/// Two-sided exact p-value of McNemar's test, 0…1: if both networks are equally accurate, an image that only one of them
/// recognises is as likely to be the one's as the other's, so the counts are binomial with ½.
///
/// Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika
/// 12 (1947), pages 153–157.
pub fn mcnemar_exact(counts: &Paired) -> f64 {
    let n = counts.only_float + counts.only_int8;
    let fewer = counts.only_float.min(counts.only_int8);
    // In logarithms, as 2^-n is no number for large n.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += term.exp();
        term += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(both: usize, only_float: usize, only_int8: usize, neither: usize) -> Paired {
        Paired { both, only_float, only_int8, neither }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1e-3)
    }

    #[test]
    fn intervals() {
        // Expected: the paper's formula in Python's decimal arithmetic; the fifth table is Agresti's, of approval ratings.
        for (table, low, high) in [
            (counts(1883, 1, 3, 113), -0.31876808034438214, 0.11896788054418235),
            (counts(0, 0, 0, 0), -97.99819922700271, 97.99819922700271),
            (counts(100, 0, 0, 0), -1.9215333181765237, 1.9215333181765237),
            (counts(8800, 120, 86, 994), 0.05807740707343856, 0.6217866201211225),
            (counts(794, 150, 86, 570), 2.121718911797262, 5.868293572597245),
            (counts(0, 5, 0, 0), 27.79452477060862, 100.0),
        ] {
            let [a, b] = adjusted_wald_95(&table);
            assert!(close(a, low) && close(b, high), "{table:?}: {a} to {b}");
        }
    }

    #[test]
    fn p_values() {
        // Expected: binomial sums in Python's fractions.
        for (only_float, only_int8, p) in [
            (0, 0, 1.0),
            (1, 3, 0.625),
            (3, 1, 0.625),
            (5, 5, 1.0),
            (0, 10, 0.001953125),
            (120, 86, 0.021265381126011437),
            (150, 86, 3.715936139571442e-05),
            (1200, 900, 6.337277315775436e-11),
            (2000, 2001, 1.0),
        ] {
            let ours = mcnemar_exact(&counts(7, only_float, only_int8, 9));
            assert!((ours - p).abs() <= 1e-9 * p, "{only_float} and {only_int8}: {ours}");
        }
    }

    #[test]
    fn counting() {
        let mut counted = Paired::default();
        for (float, int8) in [(true, true), (true, false), (true, false), (false, true), (false, false)] {
            counted.add(float, int8);
        }
        assert_eq!(counted, counts(1, 2, 1, 1));
        assert_eq!((counted.images(), counted.drop_points()), (5, 20.0));
        assert_eq!(Paired::default().drop_points(), 0.0);
        // Meets a limit of 0.3 exactly.
        assert!(counts(990, 5, 2, 3).drop_points() <= 0.3);
    }
}
