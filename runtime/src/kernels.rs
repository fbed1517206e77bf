//! The kernels table: what a backend implements, and which one runs.
//!
//! A backend is a [`Kernels`] value. All of them compute the arithmetic of [`cardinal_format::quant`] on the layout of
//! [`cardinal_format::weights`], so their results are equal bit for bit.

use cardinal_format::quant::Requantize;
use cardinal_format::weights::WeightLayout;
use cardinal_format::{Shape, Window};

use crate::arch;

/// How a backend keeps int8 codes in the arena's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// As they are.
    Signed,
    /// The code + 128, as pixels come: one factor of x86's dot products is unsigned.
    Biased,
}

impl Storage {
    /// A code's bits that are inverted in its byte.
    pub const fn flip(self) -> u8 {
        match self {
            Storage::Signed => 0,
            Storage::Biased => 0x80,
        }
    }

    /// The byte of a code.
    pub const fn byte(self, code: i8) -> u8 {
        code as u8 ^ self.flip()
    }

    /// The code of a byte.
    pub const fn code(self, byte: u8) -> i8 {
        (byte ^ self.flip()) as i8
    }
}

/// A part of a convolution between two tensors. Slices have the lengths that shapes and layout imply; their bytes are codes
/// as the backend's [`Storage`] has them.
#[derive(Clone, Copy, Debug)]
pub struct ConvArgs<'a> {
    /// Height × width × channels; pixels if `pixels`.
    pub input: &'a [u8],
    /// Extent of the input.
    pub input_shape: Shape,
    /// Extent of the whole output.
    pub output_shape: Shape,
    /// The first output position, row by row, that is computed; the output slice ends the part.
    pub first: usize,
    /// The input holds bytes 0…255; their code is the byte − 128.
    pub pixels: bool,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Code of a padded position, by channel mod 4.
    pub pad_codes: [i8; 4],
    /// Shape of the packed weights.
    pub layout: WeightLayout,
    /// Packed weights.
    pub weights: &'a [u8],
    /// Packed channel parameters.
    pub channels: &'a [u8],
    /// Rounding and bounds of the output.
    pub requantize: Requantize,
    /// What is added before rounding.
    pub residual: ResidualArgs<'a>,
}

/// The shortcut of a residual block.
#[derive(Clone, Copy, Debug)]
pub enum ResidualArgs<'a> {
    /// Nothing is added.
    None,
    /// Codes of the output's shape.
    Separate {
        /// The codes of the whole output's positions.
        codes: &'a [u8],
        /// Their zero point.
        zero_point: i8,
        /// m_r.
        multiplier: f32,
    },
    /// The output buffer holds the codes; each is read before its place is written.
    InPlace {
        /// Their zero point.
        zero_point: i8,
        /// m_r.
        multiplier: f32,
    },
    /// A convolution of its own.
    Projection(ProjectionArgs<'a>),
}

/// A 1×1 convolution without padding, in one group, whose accumulators are added.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionArgs<'a> {
    /// Height × width × channels.
    pub input: &'a [u8],
    /// Extent of the input.
    pub input_shape: Shape,
    /// Down, across.
    pub stride: [u8; 2],
    /// Shape of the packed weights.
    pub layout: WeightLayout,
    /// Packed weights.
    pub weights: &'a [u8],
    /// Packed channel parameters.
    pub channels: &'a [u8],
}

/// A max-pool.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolArgs<'a> {
    /// Height × width × channels.
    pub input: &'a [u8],
    /// Extent of the input.
    pub input_shape: Shape,
    /// Extent of the output.
    pub output_shape: Shape,
    /// Kernel, stride, padding.
    pub window: Window,
}

/// A global average pool.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPoolArgs<'a> {
    /// Height × width × channels.
    pub input: &'a [u8],
    /// Extent of the input.
    pub input_shape: Shape,
    /// The input's zero point.
    pub zero_point: i8,
}

/// A classifier.
#[derive(Clone, Copy, Debug)]
pub struct LinearArgs<'a> {
    /// A mean's codes.
    pub input: &'a [i16],
    /// Shape of the packed weights.
    pub layout: WeightLayout,
    /// Packed weights.
    pub weights: &'a [u8],
    /// Packed channel parameters.
    pub channels: &'a [u8],
}

/// A backend: one function per kind of op.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// Name, as `cardinal bench --backend` takes it.
    pub name: &'static str,
    /// How it keeps codes.
    pub storage: Storage,
    /// Convolution; writes all of `output`.
    pub conv: fn(&ConvArgs<'_>, output: &mut [u8]),
    /// Max-pool; writes all of `output`.
    pub max_pool: fn(&MaxPoolArgs<'_>, output: &mut [u8]),
    /// Global average pool; writes one code per channel.
    pub global_avg_pool: fn(&GlobalAvgPoolArgs<'_>, output: &mut [i16]),
    /// Classifier; writes one logit per class.
    pub linear: fn(&LinearArgs<'_>, logits: &mut [f32]),
    /// Does so many rounds of multiply-adds on registers alone, and says how many multiply-adds that were; for backends
    /// with register tiles.
    pub spin: Option<fn(rounds: u32) -> u64>,
}

#[cfg(feature = "std")]
impl Kernels {
    /// Multiply-adds a second that this core does on registers alone with the backend's instructions: the best of some
    /// short measurements.
    pub fn peak(&self) -> Option<f64> {
        let spin = self.spin?;
        let once = |_| {
            let start = std::time::Instant::now();
            let multiply_adds = spin(200_000) as f64;
            multiply_adds / start.elapsed().as_secs_f64()
        };
        (0..20).map(once).max_by(f64::total_cmp)
    }
}

/// Portable Rust: the reference that every backend equals.
pub const PORTABLE: Kernels = arch::all::KERNELS;

/// The backends that this build has and this CPU can run, best first.
pub fn available() -> &'static [Kernels] {
    arch::available()
}

/// The fastest backend for this CPU.
pub fn best() -> Kernels {
    arch::best()
}
