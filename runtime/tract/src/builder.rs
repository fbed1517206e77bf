use crate::{FloatModel, InputShape, Pool, TractError};
use tract_core::internal::{DatumExt as _, OutletId, SpecialOps as _, Tensor as Values, TypedModel, TypedOp, tvec};
use tract_core::ops::cnn::MaxPool;
use tract_core::ops::cnn::conv::{Conv as TractConv, KernelFormat};
use tract_core::ops::math;
use tract_core::ops::nn::{Reduce, Reducer};

/// An activation of the network under construction: what one layer gives and others read.
///
/// Its layout is NCHW with batch 1. It is valid only in the [`Builder`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tensor(OutletId);

/// A convolution, padded with zeros and not dilated; batch norm is folded into it beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// `[out_channels][in_channels_per_group][kernel rows][kernel columns]` (PyTorch's OIHW).
    pub weights: &'a [f32],
    /// One value per output channel.
    pub bias: &'a [f32],
    /// A multiple of `groups`.
    pub out_channels: usize,
    /// The input's channels divided by `groups`.
    pub in_channels_per_group: usize,
    /// `[rows, columns]`.
    pub kernel: [usize; 2],
    /// `[rows, columns]`.
    pub stride: [usize; 2],
    /// `[top, left, bottom, right]`, each smaller than the kernel on its axis.
    pub padding: [usize; 4],
    /// ResNeXt's cardinality; 1 for a dense convolution.
    pub groups: usize,
}

/// Builds a [`FloatModel`] one layer at a time, in order of execution.
///
/// Layers keep the names that they have in the checkpoint, errors cite them, and two layers cannot share one.
#[derive(Debug)]
pub struct Builder {
    shape: InputShape,
    graph: TypedModel,
    input: OutletId,
    observed: Vec<OutletId>,
}

impl Builder {
    /// Starts a network that reads images of `shape`.
    pub fn new(shape: InputShape) -> Self {
        let mut graph = TypedModel::default();
        let fact = f32::fact([1, shape.channels, shape.height, shape.width]);
        let input = graph.add_source("input", fact).expect("an empty graph takes any source");
        Self { shape, graph, input, observed: Vec::new() }
    }

    /// The image, `[1, channels, height, width]`.
    pub fn input(&self) -> Tensor {
        Tensor(self.input)
    }

    /// Adds a convolution, grouped or dense.
    ///
    /// # Errors
    ///
    /// If the slices do not have the sizes that the other fields give, the groups do not divide the channels, or the
    /// window does not fit the input.
    pub fn conv(&mut self, name: &str, input: Tensor, conv: &Conv) -> Result<Tensor, TractError> {
        let [_, channels, height, width] = self.dims(name, input)?;
        let Conv { out_channels, in_channels_per_group, kernel, groups, .. } = *conv;
        if groups == 0 || out_channels == 0 || !out_channels.is_multiple_of(groups) {
            return Err(TractError::layer(name, format!("{groups} groups over {out_channels} output channels")));
        }
        if channels == 0 || in_channels_per_group.checked_mul(groups) != Some(channels) {
            let reason = format!("reads {groups} groups of {in_channels_per_group} channels, its input has {channels}");
            return Err(TractError::layer(name, reason));
        }
        let window = Pool { kernel, stride: conv.stride, padding: conv.padding };
        let pool_spec = window.spec(name, [height, width], channels, out_channels)?;
        let weights =
            self.constant(name, "weights", &[out_channels, in_channels_per_group, kernel[0], kernel[1]], conv.weights)?;
        let bias = self.constant(name, "bias", &[out_channels], conv.bias)?;
        let op = TractConv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: groups, q_params: None };
        self.wire(name, op, &[input.0, weights, bias])
    }

    /// Adds `max(input, 0)`.
    ///
    /// # Errors
    ///
    /// If `name` is taken.
    pub fn relu(&mut self, name: &str, input: Tensor) -> Result<Tensor, TractError> {
        let zero = self.constant(name, "zero", &[1, 1, 1, 1], &[0.0])?;
        self.wire(name, math::max(), &[input.0, zero])
    }

    /// Adds the sum of two activations of one shape: the end of a residual block.
    ///
    /// # Errors
    ///
    /// If the shapes differ: nothing is broadcast.
    pub fn add(&mut self, name: &str, a: Tensor, b: Tensor) -> Result<Tensor, TractError> {
        let (left, right) = (self.dims(name, a)?, self.dims(name, b)?);
        if left != right {
            return Err(TractError::layer(name, format!("adds {left:?} to {right:?}")));
        }
        self.wire(name, math::add(), &[a.0, b.0])
    }

    /// Adds the rounding to a grid of `scale`, as a quantized network has between its layers (a QuantizeLinear and a
    /// DequantizeLinear in one): `scale · clamp(round(input / scale), low, high)`, ties to even.
    ///
    /// # Errors
    ///
    /// If `name` is taken.
    pub fn fake_quantize(
        &mut self,
        name: &str,
        input: Tensor,
        scale: f32,
        [low, high]: [f32; 2],
    ) -> Result<Tensor, TractError> {
        let mut constant = |role, value| self.constant(name, role, &[1, 1, 1, 1], &[value]);
        let scale = constant("scale", scale)?;
        let (low, high) = (constant("low", low)?, constant("high", high)?);
        let steps = self.wire(&format!("{name}.steps"), math::div(), &[input.0, scale])?;
        let code = self.wire(&format!("{name}.round"), math::round_half_to_even(), &[steps.0])?;
        let code = self.wire(&format!("{name}.max"), math::max(), &[code.0, low])?;
        let code = self.wire(&format!("{name}.min"), math::min(), &[code.0, high])?;
        self.wire(name, math::mul(), &[code.0, scale])
    }

    /// Adds max pooling; padding never wins, as if it were -inf.
    ///
    /// # Errors
    ///
    /// If the window does not fit the input.
    pub fn max_pool(&mut self, name: &str, input: Tensor, pool: &Pool) -> Result<Tensor, TractError> {
        let [_, channels, height, width] = self.dims(name, input)?;
        let pool_spec = pool.spec(name, [height, width], channels, channels)?;
        self.wire(name, MaxPool { pool_spec, with_index_outputs: None }, &[input.0])
    }

    /// Adds the mean of every channel, `[1, channels, 1, 1]`.
    ///
    /// # Errors
    ///
    /// If `name` is taken.
    pub fn global_avg_pool(&mut self, name: &str, input: Tensor) -> Result<Tensor, TractError> {
        let [_, _, height, width] = self.dims(name, input)?;
        let sum = self.wire(&format!("{name}.sum"), Reduce::new(tvec![2, 3], Reducer::Sum), &[input.0])?;
        let pixels = self.constant(name, "pixels", &[1, 1, 1, 1], &[(height * width) as f32])?;
        self.wire(name, math::div(), &[sum.0, pixels])
    }

    /// Adds the classifier: one output per row of `weights`, `[outputs][input channels]`.
    ///
    /// # Errors
    ///
    /// If the input is not `[1, channels, 1, 1]`, or `weights` is not `bias.len()` rows of that many channels.
    pub fn linear(&mut self, name: &str, input: Tensor, weights: &[f32], bias: &[f32]) -> Result<Tensor, TractError> {
        let [_, channels, height, width] = self.dims(name, input)?;
        if [height, width] != [1, 1] {
            return Err(TractError::layer(name, format!("reads one vector, its input is {height}x{width} pixels")));
        }
        let conv = Conv {
            weights,
            bias,
            out_channels: bias.len(),
            in_channels_per_group: channels,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0; 4],
            groups: 1,
        };
        self.conv(name, input, &conv)
    }

    /// Marks an activation for [`FloatModel::run_observed`]; its index there counts the calls of `observe`.
    pub fn observe(&mut self, tensor: Tensor) {
        self.observed.push(tensor.0);
    }

    /// Ends the network with `logits`, whose values the model returns.
    ///
    /// # Errors
    ///
    /// If tract refuses the graph.
    pub fn finish(mut self, logits: Tensor) -> Result<FloatModel, TractError> {
        self.dims("logits", logits)?;
        let outputs: Vec<_> = std::iter::once(logits.0).chain(self.observed).collect();
        self.graph.select_output_outlets(&outputs).map_err(TractError::tract("logits"))?;
        Ok(FloatModel::new(self.shape, self.graph))
    }

    fn wire(&mut self, name: &str, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> Result<Tensor, TractError> {
        let outlets = self.graph.wire_node(name, op, inputs).map_err(TractError::tract(name))?;
        Ok(Tensor(outlets[0]))
    }

    fn constant(&mut self, layer: &str, role: &str, shape: &[usize], values: &[f32]) -> Result<OutletId, TractError> {
        let expected = shape.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim));
        if expected != Some(values.len()) {
            return Err(TractError::layer(layer, format!("{} {role} given for {shape:?}", values.len())));
        }
        let values = Values::from_shape(shape, values).map_err(TractError::tract(layer))?;
        self.graph.add_const(format!("{layer}.{role}"), values).map_err(TractError::tract(layer))
    }

    /// The shape of an activation, NCHW; `layer` is who asks.
    fn dims(&self, layer: &str, tensor: Tensor) -> Result<[usize; 4], TractError> {
        let fact = self.graph.outlet_fact(tensor.0).map_err(TractError::tract(layer))?;
        fact.shape
            .as_concrete()
            .and_then(|dims| dims.try_into().ok())
            .ok_or_else(|| TractError::layer(layer, format!("input of shape {:?}", fact.shape)))
    }
}
