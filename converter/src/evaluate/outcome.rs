//! What one image showed, and the sum over any set of images.

use cardinal_calib::Sqnr;
use serde::{Deserialize, Serialize};

use crate::engine::Arithmetic;
use crate::host::ranking;

/// int8 logits beside the float network's, image by image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    images: usize,
    agreeing: usize,
    sqnr: Sqnr,
    /// Sum of the images' own ratios, decibels.
    decibels: f64,
}

impl Comparison {
    /// Adds an image: both networks' logits.
    pub fn add(&mut self, float: &[f32], int8: &[f32]) {
        self.count(ranking(float).first() == ranking(int8).first());
        let mut image = Sqnr::default();
        image.observe(float, int8);
        self.add_sqnr(&image);
    }

    /// Adds an image by what is known of it.
    fn add_outcome(&mut self, float: &Beside, int8: &Guess) {
        self.count(float.guess.best == int8.best);
        self.add_sqnr(&Sqnr { signal: float.signal, noise: float.noise });
    }

    fn add_sqnr(&mut self, image: &Sqnr) {
        /// What an image without noise counts.
        const MOST: f64 = 100.0;
        self.sqnr.merge(image);
        self.decibels += image.db().clamp(-MOST, MOST);
    }

    fn count(&mut self, agrees: bool) {
        self.images += 1;
        self.agreeing += usize::from(agrees);
    }

    /// Mean over the images of each one's ratio, dB: hardly moved by a few images with large errors, as
    /// [`sqnr_db`](Self::sqnr_db) is.
    pub fn mean_sqnr_db(&self) -> f64 {
        self.decibels / self.images.max(1) as f64
    }

    /// Share of images with the same best class.
    pub fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.images.max(1) as f64
    }

    /// Signal-to-quantization-noise ratio of the int8 logits, dB.
    pub fn sqnr_db(&self) -> f64 {
        self.sqnr.db()
    }
}

/// How one network judged an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    /// The class with the greatest logit.
    pub best: usize,
    /// How many classes have a greater logit than the true one.
    pub place: usize,
    /// Wall time of the network, one thread, seconds.
    pub seconds: f64,
}

impl Guess {
    /// From the logits; a class that the network does not have is in no place.
    pub fn new(logits: &[f32], class: usize, seconds: f64) -> Self {
        let ranking = ranking(logits);
        let place = ranking.iter().position(|&c| c == class).unwrap_or(usize::MAX);
        Guess { best: ranking.first().copied().unwrap_or(0), place, seconds }
    }
}

/// The float network beside, and how far the int8 logits are from its.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Its judgement.
    #[serde(flatten)]
    pub guess: Guess,
    /// Sum of squares of its logits.
    pub signal: f64,
    /// Sum of squares of the differences.
    pub noise: f64,
}

/// What one image showed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its number in the data set.
    pub index: usize,
    /// The class that it is labelled with, as the model counts.
    pub class: usize,
    /// What the network said.
    pub guess: Guess,
    /// The float network, if it ran beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<Beside>,
}

/// How many images were recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Share whose class is the best guess.
    pub top1: f64,
    /// Share whose class is among the five best guesses.
    pub top5: f64,
}

impl Score {
    fn new(guesses: impl Iterator<Item = Guess>) -> Self {
        let (mut n, mut top1, mut top5) = (0, 0, 0);
        for guess in guesses {
            n += 1;
            top1 += usize::from(guess.place == 0);
            top5 += usize::from(guess.place < 5);
        }
        let share = |hits: usize| hits as f64 / n.max(1) as f64;
        Score { top1: share(top1), top5: share(top5) }
    }
}

/// One class's share of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Its number.
    pub class: usize,
    /// Its label, if there are labels.
    pub label: Option<String>,
    /// Images of it.
    pub images: usize,
    /// Share of them that the network recognised.
    pub top1: f64,
    /// Share of them that the float network recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float_top1: Option<f64>,
}

/// The float network on the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FloatComparison {
    /// Its accuracy.
    #[serde(flatten)]
    pub score: Score,
    /// Share of images with the same best class.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the network's logits, dB.
    pub logit_sqnr_db: f64,
    /// Wall time of one image in tract, one thread, milliseconds.
    pub ms: f64,
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: usize,
    /// What the network computed with.
    pub arithmetic: Arithmetic,
    /// Its accuracy.
    #[serde(flatten)]
    pub score: Score,
    /// Wall time of one image, one thread, milliseconds.
    pub ms: f64,
    /// The float network, if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatComparison>,
    /// Every class that has images.
    pub per_class: Vec<ClassScore>,
    /// Of at most 64 classes: images by labelled class (row) and by the network's best guess (column).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<usize>>>,
}

/// Most classes that a confusion matrix is made of.
const MAX_CONFUSION: usize = 64;

/// Sums up outcomes; they are taken in order of their indices, so the same images give the same bits however they were
/// divided.
pub fn summarise(outcomes: &[Outcome], arithmetic: Arithmetic, classes: usize, labels: &[String]) -> Evaluation {
    let mut outcomes = outcomes.to_vec();
    outcomes.sort_unstable_by_key(|outcome| outcome.index);
    let n = outcomes.len().max(1) as f64;
    let beside: Option<Vec<Beside>> = outcomes.iter().map(|outcome| outcome.float).collect();
    let float = beside.filter(|beside| !beside.is_empty()).map(|beside| {
        let mut comparison = Comparison::default();
        outcomes.iter().zip(&beside).for_each(|(outcome, float)| comparison.add_outcome(float, &outcome.guess));
        FloatComparison {
            score: Score::new(beside.iter().map(|float| float.guess)),
            agreement: comparison.agreement(),
            logit_sqnr_db: comparison.sqnr_db(),
            ms: 1e3 * beside.iter().map(|float| float.guess.seconds).sum::<f64>() / n,
        }
    });
    let per_class = (0..classes).filter_map(|class| {
        let of_class: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.class == class).collect();
        let hits = |place: &dyn Fn(&Outcome) -> Option<usize>| {
            of_class.iter().filter(|outcome| place(outcome) == Some(0)).count() as f64 / of_class.len() as f64
        };
        (!of_class.is_empty()).then(|| ClassScore {
            class,
            label: labels.get(class).cloned(),
            images: of_class.len(),
            top1: hits(&|outcome| Some(outcome.guess.place)),
            float_top1: float.as_ref().map(|_| hits(&|outcome| outcome.float.map(|float| float.guess.place))),
        })
    });
    let confusion = (classes <= MAX_CONFUSION).then(|| {
        let mut matrix = vec![vec![0; classes]; classes];
        for outcome in &outcomes {
            matrix[outcome.class][outcome.guess.best] += 1;
        }
        matrix
    });
    Evaluation {
        images: outcomes.len(),
        arithmetic,
        score: Score::new(outcomes.iter().map(|outcome| outcome.guess)),
        ms: 1e3 * outcomes.iter().map(|outcome| outcome.guess.seconds).sum::<f64>() / n,
        per_class: per_class.collect(),
        float,
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(index: usize) -> Outcome {
        let seconds = 1e-3 / (index + 3) as f64;
        let network = Guess { best: index % 3, place: index % 7, seconds };
        let (signal, noise) = (1.0 / (index + 1) as f64, 1e-3 / (index + 7) as f64);
        let guess = Guess { best: index % 2, ..network };
        Outcome { index, class: index % 4, guess: network, float: Some(Beside { guess, signal, noise }) }
    }

    #[test]
    fn order_does_not_matter() {
        let outcomes: Vec<Outcome> = (0..100).map(outcome).collect();
        let mut mixed: Vec<Outcome> = (0..100).map(|i| outcome(i * 37 % 100)).collect();
        let whole = summarise(&outcomes, Arithmetic::Int8, 4, &[]);
        assert_eq!(summarise(&mixed, Arithmetic::Int8, 4, &[]), whole);
        mixed.pop();
        assert_ne!(summarise(&mixed, Arithmetic::Int8, 4, &[]), whole);
    }

    #[test]
    fn counts() {
        let outcomes: Vec<Outcome> = (0..28).map(outcome).collect();
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let sum = summarise(&outcomes, Arithmetic::Int8, 4, &labels);
        assert_eq!((sum.images, sum.score.top1, sum.score.top5), (28, 1.0 / 7.0, 5.0 / 7.0));
        let first = &sum.per_class[0];
        assert_eq!((first.class, first.label.as_deref(), first.images), (0, Some("a"), 7));
        let confusion = sum.confusion.expect("four classes");
        assert_eq!(confusion.iter().flatten().sum::<usize>(), 28);
        assert_eq!(confusion[0], [3, 2, 2, 0]);
    }
}
