//! Classes as logs show them.

use cardinal_runtime::{Model, Prediction, top_k};
use defmt::Formatter;
use heapless::Vec;

/// A class with its label and its softmax probability: `cat 93.1 %`.
pub struct Class<'m> {
    label: Option<&'m str>,
    prediction: Prediction,
}

/// The three likeliest classes of an image, best first.
pub fn top3<'m>(model: &Model<'m>, logits: &[f32]) -> Vec<Class<'m>, 3> {
    let class = |prediction: Prediction| Class { label: model.label(prediction.class), prediction };
    top_k::<3>(logits).into_iter().map(class).collect()
}

impl defmt::Format for Class<'_> {
    fn format(&self, to: Formatter<'_>) {
        let Prediction { class, score } = self.prediction;
        let permille = (score * 1000.0 + 0.5) as u32;
        let (whole, tenths) = (permille / 10, permille % 10);
        match self.label {
            Some(label) => defmt::write!(to, "{=str} {=u32}.{=u32} %", label, whole, tenths),
            None => defmt::write!(to, "class {=u32} {=u32}.{=u32} %", class, whole, tenths),
        }
    }
}
