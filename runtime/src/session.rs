//! The run loop: operations over one buffer.

use cardinal_format::quant::Requantize;
use cardinal_format::weights::WeightLayout;
use cardinal_format::{CodeType, FormatError, Op, Projection, Residual, Tensor, TensorId};

use crate::kernels::{
    self, ConvArgs, GlobalAvgPoolArgs, Kernels, LinearArgs, MaxPoolArgs, ProjectionArgs, ResidualArgs, Storage,
};
use crate::model::Model;

/// Why a session cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RuntimeError {
    /// The model's bytes are not a model.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The buffer is too small.
    #[error("the arena has {given} bytes, this model needs {needed}")]
    ArenaTooSmall {
        /// Bytes given.
        given: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The buffer does not start at a multiple of 64.
    #[error("the arena is not 64-aligned: use cardinal_runtime::Arena, or align it")]
    ArenaAlignment,
}

/// One model, one buffer; runs one image at a time.
pub struct Session<'m, 'b> {
    model: Model<'m>,
    arena: &'b mut [u8],
    kernels: Kernels,
    #[cfg(feature = "threads")]
    threads: usize,
}

/// What [`Session::run_observed`] shows after each op.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The op's name.
    pub name: &'a str,
    /// The op.
    pub op: Op<'a>,
    /// The tensor that it wrote, with its codes; `None` for the classifier.
    pub output: Option<(Tensor, Codes<'a>)>,
}

/// A tensor's codes, in the order height, width, channels.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    bytes: &'a [u8],
    code_type: CodeType,
    storage: Storage,
}

impl Codes<'_> {
    /// The code at a place.
    pub fn get(&self, index: usize) -> Option<i32> {
        match self.code_type {
            CodeType::I8 => self.bytes.get(index).map(|&byte| i32::from(self.storage.code(byte))),
            CodeType::I16 => {
                let (codes, _) = self.bytes.as_chunks();
                codes.get(index).map(|&code| i32::from(i16::from_ne_bytes(code)))
            }
        }
    }
}

impl<'m, 'b> Session<'m, 'b> {
    /// A session with the fastest backend for this CPU. Bytes of `arena` beyond [`Model::arena_len`] are not touched.
    pub fn new(model: Model<'m>, arena: &'b mut [u8]) -> Result<Self, RuntimeError> {
        Self::with_kernels(model, arena, kernels::best())
    }

    /// A session with a chosen backend.
    pub fn with_kernels(model: Model<'m>, arena: &'b mut [u8], kernels: Kernels) -> Result<Self, RuntimeError> {
        let (given, needed) = (arena.len(), model.arena_len());
        let arena = arena.get_mut(..needed).ok_or(RuntimeError::ArenaTooSmall { given, needed })?;
        if !arena.as_ptr().addr().is_multiple_of(cardinal_format::layout::ALIGN) {
            return Err(RuntimeError::ArenaAlignment);
        }
        Ok(Session {
            model,
            arena,
            kernels,
            #[cfg(feature = "threads")]
            threads: 1,
        })
    }

    /// Divides large layers between up to so many threads of rayon's current pool; 1 until it is set. Results do not
    /// depend on it.
    #[cfg(feature = "threads")]
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// The model.
    pub fn model(&self) -> Model<'m> {
        self.model
    }

    /// The image, height × width × channels bytes. Fill it before every run: a run reuses its memory.
    pub fn image_mut(&mut self) -> &mut [u8] {
        let range = self.model.file().tensor(TensorId::IMAGE).map_or(0..0, |t| t.range());
        self.arena.get_mut(range).unwrap_or_default()
    }

    /// Classifies the image: one logit per class.
    pub fn run(&mut self) -> &[f32] {
        self.run_observed(|_| ())
    }

    /// Like [`Self::run`], and shows every op's output while it is there.
    ///
    /// The converter may have multiplied channels of an output by factors of its own, which the file's provenance lists as
    /// `channel_factors`: in quarter octaves, one digit of base 36 per channel.
    pub fn run_observed(&mut self, mut show: impl FnMut(Step<'_>)) -> &[f32] {
        let file = *self.model.file();
        for (name, op) in file.ops() {
            let done = self.step(&op);
            debug_assert!(done.is_some(), "a checked file has no op that cannot run: {name}");
            let output = op.output().and_then(|id| {
                let tensor = file.tensor(id)?;
                let (code_type, storage) = (tensor.code_type, self.kernels.storage);
                Some((tensor, Codes { bytes: self.arena.get(tensor.range())?, code_type, storage }))
            });
            show(Step { name, op, output });
        }
        let logits = self.arena.get(file.logits_range()).unwrap_or_default();
        bytemuck::try_cast_slice(logits).unwrap_or_default()
    }

    /// `None` never happens on a checked file: every number below was verified.
    fn step(&mut self, op: &Op<'m>) -> Option<()> {
        let file = self.model.file();
        let input = file.tensor(op.input())?;
        let pixels = op.input() == TensorId::IMAGE;
        match op {
            Op::Conv(conv) => {
                let kernels = self.kernels;
                #[cfg(not(feature = "threads"))]
                let conv_into = kernels.conv;
                #[cfg(feature = "threads")]
                let threads = self.threads;
                #[cfg(feature = "threads")]
                let conv_into = |args: &ConvArgs<'_>, to: &mut [u8]| crate::split::conv(&kernels, args, to, threads);
                let output = file.tensor(conv.output)?;
                let mut args = ConvArgs {
                    input: &[],
                    input_shape: input.shape,
                    output_shape: output.shape,
                    first: 0,
                    pixels,
                    window: conv.window,
                    pad_codes: conv.pad_codes,
                    layout: conv.layout(&input, &output)?,
                    weights: conv.weights,
                    channels: conv.channels,
                    requantize: Requantize::new(output.qparams.zero_point, conv.q_min, conv.q_max),
                    residual: ResidualArgs::None,
                };
                let residual = match conv.residual {
                    Some(residual) => Some((residual, file.tensor(residual.tensor())?)),
                    None => None,
                };
                match residual {
                    Some((residual, tensor)) if tensor.offset != output.offset => {
                        let ranges = [output.range(), input.range(), tensor.range()];
                        let [to, from, codes] = self.arena.get_disjoint_mut(ranges).ok()?;
                        args.input = from;
                        args.residual = match residual {
                            Residual::Identity { multiplier, .. } => {
                                ResidualArgs::Separate { codes, zero_point: tensor.qparams.zero_point, multiplier }
                            }
                            Residual::Projection(Projection { stride, weights, channels, .. }) => {
                                ResidualArgs::Projection(ProjectionArgs {
                                    input: codes,
                                    input_shape: tensor.shape,
                                    stride,
                                    layout: Projection::layout(&tensor, &output)?,
                                    weights,
                                    channels,
                                })
                            }
                        };
                        conv_into(&args, to);
                    }
                    residual => {
                        let [to, from] = self.arena.get_disjoint_mut([output.range(), input.range()]).ok()?;
                        args.input = from;
                        // What a projection reads never lies where the output goes.
                        if let Some((Residual::Identity { multiplier, .. }, tensor)) = residual {
                            args.residual = ResidualArgs::InPlace { zero_point: tensor.qparams.zero_point, multiplier };
                        }
                        conv_into(&args, to);
                    }
                }
            }
            Op::MaxPool(pool) => {
                let output = file.tensor(pool.output)?;
                let [to, from] = self.arena.get_disjoint_mut([output.range(), input.range()]).ok()?;
                let args = MaxPoolArgs {
                    input: from,
                    input_shape: input.shape,
                    output_shape: output.shape,
                    window: pool.window,
                };
                (self.kernels.max_pool)(&args, to);
            }
            Op::GlobalAvgPool(pool) => {
                let output = file.tensor(pool.output)?;
                let [to, from] = self.arena.get_disjoint_mut([output.range(), input.range()]).ok()?;
                let args =
                    GlobalAvgPoolArgs { input: from, input_shape: input.shape, zero_point: input.qparams.zero_point };
                (self.kernels.global_avg_pool)(&args, bytemuck::try_cast_slice_mut(to).ok()?);
            }
            Op::Linear(linear) => {
                let [to, from] = self.arena.get_disjoint_mut([file.logits_range(), input.range()]).ok()?;
                let classes = u32::try_from(file.classes()).ok()?;
                let args = LinearArgs {
                    input: bytemuck::try_cast_slice(from).ok()?,
                    layout: WeightLayout::new(input.shape.channels, classes, [1, 1], 1)?,
                    weights: linear.weights,
                    channels: linear.channels,
                };
                (self.kernels.linear)(&args, bytemuck::try_cast_slice_mut(to).ok()?);
            }
        }
        Some(())
    }
}
