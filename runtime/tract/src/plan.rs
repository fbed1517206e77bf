use crate::InputShape;
use std::sync::Arc;
use tract_core::internal::{IntoRunnable as _, Tensor, TractResult, TypedModel, tvec};
use tract_core::model::TypedSimplePlan;

/// A graph that tract has optimized, ready to run one image at a time from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    shape: InputShape,
    plan: Arc<TypedSimplePlan>,
}

impl Plan {
    /// Optimizes `graph`, whose only input is one image of `shape`.
    pub fn new(shape: InputShape, graph: TypedModel) -> TractResult<Self> {
        Ok(Self { shape, plan: graph.into_optimized()?.into_runnable()? })
    }

    /// Runs one image and shows every output, with its index among the graph's outputs.
    ///
    /// Every call has its own state: threads share nothing but weights.
    pub fn run(&self, image: &[f32], mut show: impl FnMut(usize, &[f32])) -> TractResult<()> {
        let InputShape { channels, height, width } = self.shape;
        let image = Tensor::from_shape(&[1, channels, height, width], image)?;
        for (index, output) in self.plan.run(tvec![image.into()])?.iter().enumerate() {
            show(index, output.try_as_plain_ram()?.as_slice()?);
        }
        Ok(())
    }
}
