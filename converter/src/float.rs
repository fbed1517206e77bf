//! The float graph in tract: for calibration, and as the reference that int8 is compared with.

use cardinal_format::Window;
use cardinal_format::quant::QParams;
use cardinal_tract::{Builder, Conv, FloatModel, InputShape, Pool, Tensor, TractError};

use crate::graph::{Graph, Op, Source};

pub(crate) fn pool(window: &Window) -> Pool {
    let wide = |n: u8| usize::from(n);
    Pool { kernel: window.kernel.map(wide), stride: window.stride.map(wide), padding: window.padding.map(wide) }
}

impl Graph {
    /// Layers whose outputs are rounded, in the order in which [`FloatModel::run_observed`] shows them. A max-pool keeps its
    /// input's codes, the classifier writes floats, and what is fused into another layer is never rounded.
    pub fn observed(&self) -> Vec<usize> {
        let fused_into = self.fused_into();
        let rounds = |op: &Op| matches!(op, Op::Conv(_) | Op::GlobalAvgPool);
        (0..self.layers.len()).filter(|&i| rounds(&self.layers[i].op) && fused_into[i].is_none()).collect()
    }

    /// Those of [`Self::observed`] whose scale is chosen from what images show. A mean's follows from its input's.
    pub fn calibrated(&self) -> Vec<usize> {
        self.observed().into_iter().filter(|&i| matches!(self.layers[i].op, Op::Conv(_))).collect()
    }

    /// The graph as an executable float32 model; its input is the normalised image, channels × height × width.
    pub fn float_model(&self) -> Result<FloatModel, TractError> {
        self.float_model_observing(&self.observed())
    }

    /// The same, with other layers to observe.
    pub fn float_model_observing(&self, layers: &[usize]) -> Result<FloatModel, TractError> {
        self.build(layers, None)
    }

    /// The same, with one layer's output rounded to codes.
    pub fn float_model_rounding(&self, layer: usize, qparams: QParams) -> Result<FloatModel, TractError> {
        self.build(&[], Some((layer, qparams)))
    }

    fn build(&self, layers: &[usize], rounded: Option<(usize, QParams)>) -> Result<FloatModel, TractError> {
        let [channels, height, width] = [self.image.channels, self.image.height, self.image.width].map(|n| n as usize);
        let mut b = Builder::new(InputShape { channels, height, width });
        let mut outputs: Vec<Tensor> = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let name = &layer.name;
            let find = |source| match source {
                Source::Image => b.input(),
                Source::Layer(i) => outputs[i],
            };
            let input = find(layer.input);
            let output = match &layer.op {
                Op::Conv(conv) => {
                    let residual = conv.residual.map(find);
                    let Pool { kernel, stride, padding } = pool(&conv.window);
                    let spec = Conv {
                        weights: &conv.weights,
                        bias: &conv.bias,
                        out_channels: conv.bias.len(),
                        in_channels_per_group: conv.in_per_group as usize,
                        kernel,
                        stride,
                        padding,
                        groups: conv.groups as usize,
                    };
                    let mut x = b.conv(name, input, &spec)?;
                    if let Some(residual) = residual {
                        x = b.add(&format!("{name}.add"), x, residual)?;
                    }
                    if conv.relu { b.relu(&format!("{name}.relu"), x)? } else { x }
                }
                Op::MaxPool(window) => b.max_pool(name, input, &pool(window))?,
                Op::GlobalAvgPool => b.global_avg_pool(name, input)?,
                Op::Linear(linear) => b.linear(name, input, &linear.weights, &linear.bias)?,
            };
            outputs.push(match rounded {
                Some((layer, qparams)) if layer == number => {
                    let steps = [i8::MIN, i8::MAX].map(|code| f32::from(code) - f32::from(qparams.zero_point));
                    b.fake_quantize(&format!("{name}.codes"), output, qparams.scale, steps)?
                }
                _ => output,
            });
        }
        for &i in layers {
            b.observe(outputs[i]);
        }
        let logits = outputs.last().copied().unwrap_or(b.input());
        b.finish(logits)
    }
}
