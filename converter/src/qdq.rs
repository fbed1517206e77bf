//! A `.cardinal` file's network as a float32 graph: weights dequantized, every activation rounded to its codes' grid.
//!
//! It computes what the int8 kernels compute, with other means (tract's float kernels), so it can vouch for them. The two
//! differ where float32 sums round, by one code here and there.

use cardinal_format::quant::Mean;
use cardinal_format::weights::WeightLayout;
use cardinal_format::{ChannelBlock, Op, Preprocess, Projection, Residual, Shape, Tensor, TensorId, Window};
use cardinal_runtime::Model;
use cardinal_tract::{self as tract, Builder, FloatModel, InputShape, Pool, TractError};

use crate::Error;
use crate::float::pool;

/// A graph with what is needed to run it.
pub struct Qdq {
    /// Reads `(pixel − mean) / std` of [`Qdq::input`]; observes every layer but the classifier.
    pub model: FloatModel,
    /// Zero padding has to stand for the image's pad codes, so these are its means.
    pub input: Preprocess,
    /// Name and extent of each observed layer.
    pub layers: Vec<(String, Shape)>,
}

/// Builds the graph.
///
/// # Errors
/// A file whose image is read by anything else than one padded convolution (the converter writes none), or what tract
/// says.
pub fn qdq(model: &Model<'_>) -> Result<Qdq, Error> {
    let file = model.file();
    let pads = file.ops().find_map(|(_, op)| match op {
        Op::Conv(conv) if conv.input == TensorId::IMAGE => Some(conv.pad_codes.map(|code| f32::from(code) + 128.0)),
        _ => None,
    });
    let Shape { height, width, channels } = model.image();
    let [channels, height, width] = [channels, height, width].map(|side| side as usize);
    let mut b = Builder::new(InputShape { channels, height, width });
    // By tensor; each is written before it is read.
    let mut values = vec![b.input(); file.tensor_count()];
    let mut logits = b.input();
    let mut layers = Vec::new();
    for (name, op) in file.ops() {
        let wrong = |why: &str| Error::Usage(format!("{name}: {why}: --engine tract cannot run this file"));
        let tensor = |id: TensorId| file.tensor(id).ok_or_else(|| wrong("reads no tensor"));
        let image = op.input() == TensorId::IMAGE;
        if image && !matches!(op, Op::Conv(_)) {
            return Err(wrong("reads the image and is no convolution"));
        }
        let (from, input) = (tensor(op.input())?, values[usize::from(op.input().0)]);
        let x = match op {
            Op::Conv(conv) => {
                let to = tensor(conv.output)?;
                let layout = conv.layout(&from, &to).ok_or_else(|| wrong("has no layout"))?;
                let offset = if image { pads } else { None };
                let codes_of_zero = [from.qparams.zero_point; 4];
                if offset.is_none() && conv.window.padding != [0; 4] && conv.pad_codes != codes_of_zero {
                    return Err(wrong("pads with other codes than zero's"));
                }
                let offset = offset.unwrap_or_default();
                let read = Dequantize { layout, window: conv.window, input: &from, output_scale: to.qparams.scale };
                let mut x = read.conv(&mut b, &format!("{name}.sum"), input, [conv.weights, conv.channels], offset)?;
                if let Some(residual) = conv.residual {
                    let mut shortcut = values[usize::from(residual.tensor().0)];
                    if let Residual::Projection(projection) = residual {
                        let from = tensor(projection.input)?;
                        let layout = Projection::layout(&from, &to).ok_or_else(|| wrong("has no layout"))?;
                        let read = Dequantize { layout, window: projection.window(), input: &from, ..read };
                        let blobs = [projection.weights, projection.channels];
                        shortcut = read.conv(&mut b, &format!("{name}.projection"), shortcut, blobs, [0.0; 4])?;
                    }
                    x = b.add(&format!("{name}.add"), x, shortcut)?;
                }
                round(&mut b, name, x, &to, [conv.q_min, conv.q_max].map(i16::from))?
            }
            Op::MaxPool(max) => b.max_pool(name, input, &pool(&max.window))?,
            Op::GlobalAvgPool(mean) => {
                let x = b.global_avg_pool(&format!("{name}.mean"), input)?;
                round(&mut b, name, x, &tensor(mean.output)?, [-Mean::LARGEST, Mean::LARGEST])?
            }
            Op::Linear(linear) => {
                let (inputs, classes) = (from.shape.channels, model.classes() as u32);
                let layout = WeightLayout::new(inputs, classes, [1, 1], 1).ok_or_else(|| wrong("has no layout"))?;
                let read = Dequantize { layout, window: Window::POINT, input: &from, output_scale: 1.0 };
                let (weights, bias) = read.layer([linear.weights, linear.channels], [0.0; 4]);
                logits = b.linear(name, input, &weights, &bias)?;
                continue;
            }
        };
        if let Some(id) = op.output() {
            values[usize::from(id.0)] = x;
            layers.push((name.to_owned(), tensor(id)?.shape));
            b.observe(x);
        }
    }
    let mean = pads.unwrap_or_default();
    Ok(Qdq { model: b.finish(logits)?, input: Preprocess { mean, std: [1.0; 4], ..*model.preprocess() }, layers })
}

/// Codes `low` to `high`, as multiples of the scale.
fn round(
    b: &mut Builder,
    name: &str,
    x: tract::Tensor,
    to: &Tensor,
    codes: [i16; 2],
) -> Result<tract::Tensor, TractError> {
    let zero_point = f32::from(to.qparams.zero_point);
    b.fake_quantize(name, x, to.qparams.scale, codes.map(|code| f32::from(code) - zero_point))
}

/// Packed int8 weights → real ones.
struct Dequantize<'a> {
    layout: WeightLayout,
    window: Window,
    input: &'a Tensor,
    /// `s_y`; 1 where the sums are written as they are.
    output_scale: f32,
}

impl Dequantize<'_> {
    /// The convolution, not rounded; as [`Self::layer`].
    fn conv(
        &self,
        b: &mut Builder,
        name: &str,
        input: tract::Tensor,
        blobs: [&[u8]; 2],
        offset: [f32; 4],
    ) -> Result<tract::Tensor, TractError> {
        let (weights, bias) = self.layer(blobs, offset);
        let Pool { kernel, stride, padding } = pool(&self.window);
        let in_channels_per_group = self.layout.in_per_group();
        let spec = tract::Conv {
            weights: &weights,
            bias: &bias,
            out_channels: bias.len(),
            in_channels_per_group,
            kernel,
            stride,
            padding,
            groups: self.input.shape.channels as usize / in_channels_per_group,
        };
        b.conv(name, input, &spec)
    }

    /// Weights `[out][in per group][kernel height][kernel width]` and biases of packed weights and channel parameters, for an input that has `offset` (one number
    /// a channel) taken off. Equations (2) and (3) of the quantization page backwards, with
    /// `s_w[n] = m[n] · s_y / s_x`.
    fn layer(&self, [packed, channels]: [&[u8]; 2], offset: [f32; 4]) -> (Vec<f32>, Vec<f32>) {
        let layout = &self.layout;
        let [rows, columns] = self.window.kernel.map(usize::from);
        let (input_scale, zero_point) = (f64::from(self.input.qparams.scale), f64::from(self.input.qparams.zero_point));
        let blocks = channels.as_chunks().0.iter().map(ChannelBlock::read);
        let channels = blocks.flat_map(|block| block.bias.into_iter().zip(block.multiplier));
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (n, (bias, multiplier)) in channels.take(layout.channels_out()).enumerate() {
            let step = f64::from(multiplier) * f64::from(self.output_scale);
            let mut bias = f64::from(bias);
            for i in 0..layout.in_per_group() * rows * columns {
                let (c, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
                let (run, k) =
                    if layout.row_runs() { (y, x * layout.in_per_group() + c) } else { (y * columns + x, c) };
                let code = f64::from(packed[layout.index(n, run, k)] as i8);
                let offset = offset.get(c).map_or(0.0, |&offset| f64::from(offset));
                bias += code * (zero_point + offset / input_scale);
                weights.push((code * step / input_scale) as f32);
            }
            biases.push((bias * step) as f32);
        }
        (weights, biases)
    }
}
