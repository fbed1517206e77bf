//! What is done to a network on its way to int8, as people write it.

use std::fmt;
use std::str::FromStr;

use cardinal_calib::Method;

/// Steps that lead to int8: `mse+rounding+equalize=0.5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// How the ranges of activations are chosen.
    pub thresholds: Method,
    /// Layers whose ranges are chosen otherwise, by name.
    pub exceptions: Vec<(String, Method)>,
    /// Whether weights are rounded together ([`Rounding`](cardinal_calib::Rounding)) and biases corrected.
    pub rounding: bool,
    /// Whether the scales of weights are searched for ([`clipped_scale`](cardinal_calib::clipped_scale)).
    pub clipping: bool,
    /// How strongly channels are equalized ([`equalize`](crate::equalize)): 0 not at all, 1 wholly.
    pub equalize: f32,
}

impl Recipe {
    /// Thresholds, and nothing else.
    pub fn plain(thresholds: Method) -> Self {
        Recipe { thresholds, exceptions: Vec::new(), rounding: false, clipping: false, equalize: 0.0 }
    }

    /// How a layer's range is chosen.
    pub fn thresholds_of(&self, layer: &str) -> Method {
        let exception = self.exceptions.iter().find(|(name, _)| name == layer);
        exception.map_or(self.thresholds, |(_, method)| *method)
    }

    /// Whether the layers' inputs have to be known.
    pub fn needs_inputs(&self) -> bool {
        self.rounding || self.clipping
    }

    /// Whether any range is chosen so.
    pub fn uses(&self, method: Method) -> bool {
        self.thresholds == method || self.exceptions.iter().any(|(_, other)| *other == method)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.thresholds)?;
        if self.rounding {
            write!(f, "+rounding")?;
        }
        if self.clipping {
            write!(f, "+clipping")?;
        }
        if self.equalize > 0.0 {
            write!(f, "+equalize={}", self.equalize)?;
        }
        self.exceptions.iter().try_for_each(|(layer, method)| write!(f, "+{layer}:{method}"))
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = text.split('+');
        let mut recipe = Recipe::plain(method(steps.next().unwrap_or_default())?);
        for step in steps {
            match step.split_once(['=', ':']) {
                None if step == "rounding" => recipe.rounding = true,
                None if step == "clipping" => recipe.clipping = true,
                Some(("equalize", strength)) => {
                    let strength = strength.parse().ok().filter(|s| (0.0..=1.0).contains(s));
                    recipe.equalize = strength.ok_or_else(|| format!("{step}: expected a strength of 0 to 1"))?;
                }
                Some((layer, name)) if !layer.is_empty() && step.contains(':') => {
                    recipe.exceptions.push((layer.to_owned(), method(name)?));
                }
                _ => {
                    return Err(format!(
                        "{step:?}: expected rounding, clipping, equalize=STRENGTH or LAYER:THRESHOLDS"
                    ));
                }
            }
        }
        Ok(recipe)
    }
}

fn method(name: &str) -> Result<Method, String> {
    name.parse().map_err(|_| {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        format!("{name:?}: expected {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for text in [
            "mse",
            "min-max+rounding",
            "entropy+clipping",
            "sensitivity+rounding+clipping+equalize=0.75+conv1:percentile+layer1.0.conv2:min-max",
        ] {
            assert_eq!(text.parse::<Recipe>().expect("a recipe").to_string(), text);
        }
        let recipe: Recipe = "mse+conv1:entropy".parse().expect("a recipe");
        assert_eq!((recipe.thresholds_of("conv1"), recipe.thresholds_of("conv2")), (Method::Entropy, Method::Mse));
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (text, says) in [
            ("", "expected min-max, moving-average, percentile, entropy, mse, sensitivity"),
            ("auto+rounding", "\"auto\": expected min-max"),
            ("mse+equalize", "\"equalize\": expected rounding"),
            ("mse+equalize=2", "equalize=2: expected a strength of 0 to 1"),
            ("mse+equalize=nan", "expected a strength"),
            ("mse+conv1:best", "\"best\": expected min-max"),
            ("mse+:mse", "expected rounding"),
            ("mse+", "expected rounding"),
        ] {
            let error = text.parse::<Recipe>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
