use crate::plan::Plan;
use crate::{InputShape, TractError};
use std::sync::OnceLock;
use tract_core::internal::TypedModel;

/// A plan that is prepared on first use.
type Cell = OnceLock<Result<Plan, TractError>>;

/// A float32 network made by [`Builder`](crate::Builder).
///
/// The graph is prepared on first use, once for [`run`](Self::run) and once for
/// [`run_observed`](Self::run_observed): activations that nobody watches are fused away, and cost nothing.
#[derive(Debug)]
pub struct FloatModel {
    shape: InputShape,
    /// Outputs: the logits, then what is observed.
    graph: TypedModel,
    plain: Cell,
    observed: Cell,
}

impl FloatModel {
    /// Keeps a graph whose outputs are the logits and then the observed activations.
    pub(crate) fn new(shape: InputShape, graph: TypedModel) -> Self {
        Self { shape, graph, plain: OnceLock::new(), observed: OnceLock::new() }
    }

    /// The image that the model reads.
    pub fn input_shape(&self) -> InputShape {
        self.shape
    }

    /// Logits of one image, `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// If the image does not have [`input_shape`](Self::input_shape)'s number of values, or tract fails.
    pub fn run(&self, image: &[f32]) -> Result<Vec<f32>, TractError> {
        self.shape.check(image)?;
        let mut logits = Vec::new();
        let plan = self.plan(&self.plain, 1)?;
        plan.run(image, |_, values| logits = values.to_vec()).map_err(TractError::tract("network"))?;
        Ok(logits)
    }

    /// Logits of one image, like [`run`](Self::run); shows the observed activations on the way.
    ///
    /// `show` gets the index of the activation, in order of [`Builder::observe`](crate::Builder::observe), and its
    /// values as `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run); then nothing has been shown.
    pub fn run_observed(&self, image: &[f32], mut show: impl FnMut(usize, &[f32])) -> Result<Vec<f32>, TractError> {
        self.shape.check(image)?;
        let mut logits = Vec::new();
        let plan = self.plan(&self.observed, self.graph.outputs.len())?;
        plan.run(image, |output, values| match output.checked_sub(1) {
            None => logits = values.to_vec(),
            Some(index) => show(index, values),
        })
        .map_err(TractError::tract("network"))?;
        Ok(logits)
    }

    /// The plan that `cell` keeps: the graph with its first `outputs` outputs.
    fn plan<'a>(&self, cell: &'a Cell, outputs: usize) -> Result<&'a Plan, TractError> {
        cell.get_or_init(|| {
            let mut graph = self.graph.clone();
            graph.outputs.truncate(outputs);
            Plan::new(self.shape, graph).map_err(TractError::tract("network"))
        })
        .as_ref()
        .map_err(Clone::clone)
    }
}
