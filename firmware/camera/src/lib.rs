//! From a camera's pixels to a model's input bytes.
//!
//! | whole frames | row by row | |
//! | --- | --- | --- |
//! | [`FrameSource`] | [`RowSource`] | what a camera driver implements |
//! | [`fit()`] | [`RowFit`] | pixels to input bytes, the same ones |
//!
//! A frame of 320 × 240 takes 150 KB, too many beside a model in a small machine's memory; a row takes 640 bytes.
//! [`arducam`] is a camera that delivers such rows, [`ov2640`] the sensor on it. [`StillSource`] stands in for a camera
//! that is not there, [`Paced`] slows one down, [`FaultInjector`] lets one go wrong.
//!
//! `no_std`, integers only, no allocation, no `unsafe`, and no panic on any input.
//!
//! ```
//! use cardinal_camera::{Frame, PixelFormat, RowSource, StillSource};
//!
//! // On a board: arducam::ArduCam::new(i2c, spi, delay), then its init.
//! let picture = [0xF8, 0x00].repeat(320 * 240); // Red.
//! let mut camera = StillSource::new(Frame::new(320, 240, PixelFormat::Rgb565, &picture).unwrap());
//!
//! let mut input = [0; 96 * 96 * 3]; // The model's image tensor.
//! let mut sums = [0; 96 * 3];
//! camera.capture_into(&mut input, 96, 96, 3, &mut sums).unwrap();
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

pub mod arducam;
pub mod ov2640;

#[cfg(test)]
mod board;
mod convert;
mod faults;
mod fit;
mod frame;
mod paced;
mod row_fit;
mod rows;
mod spans;
mod still;

pub use faults::{Fault, FaultInjector, InjectedError};
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
