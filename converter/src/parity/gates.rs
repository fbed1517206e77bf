//! Limits that a build may fail by.

use serde::Serialize;

use super::Findings;

/// The limits that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gates {
    /// Largest drop of top-1, percentage points.
    pub max_drop: Option<f64>,
    /// Least agreement, percent.
    pub min_agreement: Option<f64>,
    /// Least logit SQNR, dB.
    pub min_sqnr: Option<f64>,
}

/// A limit, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// The flag, without its dashes.
    pub name: &'static str,
    /// The limit.
    pub limit: f64,
    /// What it is held against; in JSON null if infinite.
    pub measured: f64,
    /// Unit of both.
    pub unit: &'static str,
    /// Whether the limit is kept.
    pub passed: bool,
}

impl Gates {
    /// Holds the findings against each limit that was given.
    pub fn check(&self, findings: &Findings) -> Vec<Gate> {
        // Written so that what is no number fails.
        let most = |name, unit, limit: Option<f64>, measured: f64| {
            limit.map(|limit| Gate { name, limit, measured, unit, passed: measured <= limit })
        };
        let least = |name, unit, limit: Option<f64>, measured: f64| {
            limit.map(|limit| Gate { name, limit, measured, unit, passed: measured >= limit })
        };
        // Of counts, not of the share: 100 × 0.998 is a little less than 99.8.
        let images = findings.images.max(1) as f64;
        let agreement = 100.0 * (findings.images - findings.changed.len()) as f64 / images;
        let gates = [
            most("max-drop", "points", self.max_drop, findings.top1.drop_points),
            least("min-agreement", "%", self.min_agreement, agreement),
            least("min-sqnr", "dB", self.min_sqnr, findings.logit_sqnr_db),
        ];
        gates.into_iter().flatten().collect()
    }
}

impl Gate {
    /// What was measured, the limit, and whether it was kept; one line.
    pub fn sentence(&self) -> String {
        let Gate { name, limit, measured, unit, passed } = self;
        let what = match *name {
            "max-drop" => "top-1 drop",
            "min-agreement" => "agreement",
            _ => "logit SQNR",
        };
        let verdict = if *passed { "within" } else { "crosses" };
        format!("{what} {measured:.3} {unit} {verdict} --{name} {limit} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{Changed, Layers, Opinion, Paired, ProbabilityChange, Top1};

    /// 1,000 images, a drop of 0.3 points, an agreement of 99.8 %, and 30 dB.
    fn findings() -> Findings {
        let opinion = Opinion { class: 0, label: None, score: 0.5 };
        let changed =
            Changed { image: "a".into(), index: 0, class: 0, label: None, float: opinion.clone(), int8: opinion };
        let counts = Paired { both: 900, only_float: 5, only_int8: 2, neither: 93 };
        let top1 = Top1 {
            float: 0.905,
            int8: 0.902,
            drop_points: counts.drop_points(),
            interval_points: [-0.2, 0.8],
            interval_method: "",
            mcnemar_p: 0.45,
            counts,
        };
        Findings {
            images: 1000,
            top1,
            agreement: 0.998,
            logit_sqnr_db: 30.0,
            largest_probability_change: ProbabilityChange::default(),
            layers: Layers::default(),
            changed: vec![changed; 2],
        }
    }

    #[test]
    fn a_limit_that_is_just_met_is_kept() {
        let met = Gates { max_drop: Some(0.3), min_agreement: Some(99.8), min_sqnr: Some(30.0) };
        assert!(met.check(&findings()).iter().all(|gate| gate.passed));
        let missed = Gates { max_drop: Some(0.299), min_agreement: Some(99.801), min_sqnr: Some(30.001) };
        let gates = missed.check(&findings());
        assert_eq!(gates.len(), 3);
        assert!(gates.iter().all(|gate| !gate.passed));
        assert_eq!(gates[0].sentence(), "top-1 drop 0.300 points crosses --max-drop 0.299 points");
        assert!(Gates::default().check(&findings()).is_empty());
    }

    #[test]
    fn what_is_no_number_fails() {
        let with = |logit_sqnr_db| Findings { logit_sqnr_db, ..findings() };
        let gate = Gates { min_sqnr: Some(20.0), ..Gates::default() };
        assert!(!gate.check(&with(f64::NAN))[0].passed);
        assert!(gate.check(&with(f64::INFINITY))[0].passed);
    }
}
