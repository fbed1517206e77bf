use crate::plan::Plan;
use crate::screen::{MAX_VALUES, screen};
use crate::{InputShape, TractError, pb};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tract_core::internal::{
    Datum as _, Framework as _, TractErrorContext as _, TractResult, TypedModel, ensure, format_err,
};
use tract_onnx::tract_hir::infer::InferenceModelExt as _;

/// A float or QDQ network that tract has read from ONNX.
#[derive(Debug)]
pub struct OnnxModel {
    name: String,
    shape: InputShape,
    plan: Plan,
}

impl OnnxModel {
    /// Reads `bytes`, a whole `.onnx` file that errors call `name`.
    ///
    /// The network has one input, a float32 image in NCHW, and its first output is the logits. The batch must be 1 or
    /// open. `open` gives the channels, height and width that the file leaves open; it does not override those that the
    /// file fixes.
    ///
    /// # Errors
    ///
    /// [`TractError::Onnx`] if the file is damaged, keeps weights in another file (external data), has an operator that
    /// ResNeXt does not need, or leaves a size open that `open` does not give; [`TractError::Tract`] if tract cannot
    /// run what is left. A hostile file gets one of these too.
    pub fn read(bytes: &[u8], name: &str, open: Option<InputShape>) -> Result<Self, TractError> {
        let refused = |reason: String| TractError::Onnx { name: name.to_owned(), reason };
        let mut proto = parse(bytes).map_err(|error| refused(format!("not an ONNX file: {error:#}")))?;
        let graph = proto.graph.as_mut().ok_or_else(|| refused("not an ONNX file: it has no graph".to_owned()))?;
        let shape = screen(graph, open).map_err(refused)?;
        let plan = guard(name, || typed(&proto).and_then(|graph| Plan::new(shape, graph)))?;
        Ok(Self { name: name.to_owned(), shape, plan })
    }

    /// The image that the network reads.
    pub fn input_shape(&self) -> InputShape {
        self.shape
    }

    /// First output for one image, `[channels, height, width]`; for a classifier its logits.
    ///
    /// # Errors
    ///
    /// If the image does not have [`input_shape`](Self::input_shape)'s number of values, or tract fails.
    pub fn run(&self, image: &[f32]) -> Result<Vec<f32>, TractError> {
        self.shape.check(image)?;
        let mut logits = Vec::new();
        guard(&self.name, || self.plan.run(image, |_, values| logits = values.to_vec()))?;
        Ok(logits)
    }
}

/// Decodes an ONNX file for a reader of its own; [`pb`] has the types.
///
/// Nothing but the encoding is checked: every field may be missing, out of range or contradict another. An empty slice is
/// a valid encoding, of a model without a graph.
///
/// # Errors
///
/// [`TractError::Encoding`] if `bytes` are no ONNX protobuf.
pub fn decode(bytes: &[u8]) -> Result<pb::ModelProto, TractError> {
    parse(bytes).map_err(|error| TractError::Encoding { reason: format!("{error:#}") })
}

fn parse(mut bytes: &[u8]) -> TractResult<pb::ModelProto> {
    tract_onnx::Onnx::default().proto_model_for_read(&mut bytes)
}

/// Has tract read a screened graph, and bounds what the result would allocate before anything is computed.
fn typed(proto: &pb::ModelProto) -> TractResult<TypedModel> {
    let graph = tract_onnx::onnx().model_for_proto_model(proto)?.into_typed()?;
    let mut values = 0usize;
    for node in graph.nodes() {
        for output in &node.outputs {
            let dims = output.fact.shape.as_concrete().with_context(|| format!("{node}: its shape is not fixed"))?;
            values = dims.iter().fold(1usize, |product, &dim| product.saturating_mul(dim)).saturating_add(values);
            ensure!(values <= MAX_VALUES, "{node}: the activations have more than {MAX_VALUES} values");
        }
    }
    let logits = graph.output_fact(0)?;
    ensure!(logits.datum_type == f32::datum_type(), "the output is {:?}, expected float32", logits.datum_type);
    Ok(graph)
}

/// Turns a panic of tract into an error: on graphs that contradict themselves it indexes, divides and unwraps.
///
/// Whatever a panic leaves half done belongs to the closure's own call and is dropped with it; its message still goes to
/// the process's panic hook.
fn guard<T>(name: &str, work: impl FnOnce() -> TractResult<T>) -> Result<T, TractError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format_err!("panicked: {}", text.unwrap_or("without a message")))
        })
        .map_err(TractError::tract(name))
}
