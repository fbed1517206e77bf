use crate::TractError;
use tract_core::internal::tvec;
use tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_core::ops::nn::DataFormat;

/// A sliding window, as max pooling uses it: kernel, stride and padding in pixels, no dilation.
///
/// The output has `(size + padding - kernel) / stride + 1` rows and columns, rounded down (PyTorch's
/// `ceil_mode=False`): a last partial window is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool {
    /// `[rows, columns]`, both at least 1.
    pub kernel: [usize; 2],
    /// `[rows, columns]`, both at least 1.
    pub stride: [usize; 2],
    /// `[top, left, bottom, right]`, each smaller than the kernel on its axis.
    pub padding: [usize; 4],
}

impl Pool {
    /// The window of layer `node` in tract's terms, once it is known to fit an input of `size` `[rows, columns]`:
    /// tract divides and subtracts without looking.
    pub(crate) fn spec(
        &self,
        node: &str,
        size: [usize; 2],
        input_channels: usize,
        output_channels: usize,
    ) -> Result<PoolSpec, TractError> {
        let [top, left, bottom, right] = self.padding;
        for (axis, before, after) in [(0, top, bottom), (1, left, right)] {
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            if kernel == 0 || stride == 0 {
                return Err(TractError::layer(node, format!("kernel {kernel} with stride {stride}")));
            }
            if before >= kernel || after >= kernel {
                let reason = format!("padding {before} and {after} must be smaller than the kernel, {kernel}");
                return Err(TractError::layer(node, reason));
            }
            if size[axis].saturating_add(before).saturating_add(after) < kernel {
                return Err(TractError::layer(
                    node,
                    format!("a kernel of {kernel} does not fit {} pixels padded by {before} and {after}", size[axis]),
                ));
            }
        }
        Ok(PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: self.kernel.into_iter().collect(),
            padding: PaddingSpec::Explicit(tvec![top, left], tvec![bottom, right]),
            dilations: None,
            strides: Some(self.stride.into_iter().collect()),
            input_channels,
            output_channels,
        })
    }
}
