//! From a camera's frame to a model's input bytes.
//!
//! A camera driver implements [`FrameSource`]; [`fit()`] turns what it delivers into the bytes of a model's image tensor.
//! [`StillSource`] stands in for a camera that is not there, [`Paced`] slows one down.
//!
//! `no_std`, integers only, no allocation, no `unsafe`, and no panic on any input.
//!
//! ```
//! use cardinal_camera::{Frame, FrameSource, PixelFormat, StillSource, fit};
//!
//! let picture = [0xF8, 0x00].repeat(8 * 6); // Red.
//! let mut camera = StillSource::new(Frame::new(8, 6, PixelFormat::Rgb565, &picture).unwrap());
//! let mut input = [0; 4 * 4 * 3];
//! fit(&camera.frame().unwrap(), &mut input, 4, 4, 3).unwrap();
//! assert_eq!(input[..3], [255, 0, 0]);
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

#[cfg(test)]
extern crate std;

mod convert;
mod fit;
mod frame;
mod paced;
mod row_fit;
mod rows;
mod spans;
mod still;

pub use fit::{FitError, fit};
pub use frame::{Frame, FrameError, FrameShape, PixelFormat};
pub use paced::Paced;
pub use row_fit::{RowError, RowFit};
pub use rows::{CaptureError, RowSource};
pub use still::StillSource;

/// Whatever delivers frames: a camera driver, a file, a test.
pub trait FrameSource {
    /// Why there is no frame.
    type Error;

    /// The next frame. It borrows the source, whose buffer it usually is, so it must be used before the next call.
    ///
    /// # Errors
    /// As the source defines them; a later call may succeed.
    fn frame(&mut self) -> Result<Frame<'_>, Self::Error>;
}
