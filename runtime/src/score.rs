//! From logits to what people read.

use heapless::Vec;

/// One class and how sure the network is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Prediction {
    /// Class number, 0-based.
    pub class: u32,
    /// Softmax probability, 0…1.
    pub score: f32,
}

/// The largest logit, and Σ exp(x − largest). Kept apart: one number for both, the logarithm of Σ exp(x), would round
/// away the small differences of large logits.
fn norm(logits: &[f32]) -> (f32, f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (max, logits.iter().map(|&x| libm::expf(x - max)).sum())
}

/// The probabilities of the first `N` classes, in class order. Choose `N` ≥ the number of classes to get them all.
pub fn softmax<const N: usize>(logits: &[f32]) -> Vec<f32, N> {
    let (max, sum) = norm(logits);
    logits.iter().take(N).map(|&x| libm::expf(x - max) / sum).collect()
}

/// The softmax probability of one class; 0 beyond the classes.
pub fn probability(logits: &[f32], class: usize) -> f32 {
    let (max, sum) = norm(logits);
    logits.get(class).map_or(0.0, |&x| libm::expf(x - max) / sum)
}

/// The `K` largest logits with their softmax probabilities, best first; equal logits by class number. Gives all classes
/// if there are fewer than `K`.
pub fn top_k<const K: usize>(logits: &[f32]) -> Vec<Prediction, K> {
    // `score` holds the logit until the order is known.
    let mut best: Vec<Prediction, K> = Vec::new();
    for (class, &logit) in logits.iter().enumerate() {
        let at = best.iter().position(|p| logit > p.score).unwrap_or(best.len());
        if at >= K {
            continue;
        }
        if best.is_full() {
            best.pop();
        }
        // Cannot fail: there is room, and `at` is at most the length.
        let _ = best.insert(at, Prediction { class: class as u32, score: logit });
    }
    let (max, sum) = norm(logits);
    for p in &mut best {
        p.score = libm::expf(p.score - max) / sum;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_and_ties_by_class() {
        let top = top_k::<3>(&[1.0, 3.0, 2.0, 3.0]);
        let classes: Vec<u32, 3> = top.iter().map(|p| p.class).collect();
        assert_eq!(classes, [1, 3, 2]);
        assert_eq!(top[0].score, top[1].score);
    }

    #[test]
    fn probabilities_sum_to_one_without_overflow() {
        let p = softmax::<4>(&[1000.0, 999.0, -1000.0, 0.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] - 0.731_058_6).abs() < 1e-5);
        assert_eq!(probability(&[1000.0, 999.0, -1000.0, 0.0], 1), p[1]);
    }

    #[test]
    fn fewer_classes_than_k() {
        assert_eq!(top_k::<5>(&[0.5]).len(), 1);
        assert!(top_k::<5>(&[]).is_empty());
    }
}
