//! The contract between the converter and every device: what a `.cardinal` file holds, byte by byte, and what its
//! numbers mean, bit by bit.
//!
//! - [`File::new_checked`] verifies a file once; every accessor after that is infallible. `no_std`, no allocation, no
//!   `unsafe`, and no panic on any input.
//! - [`quant`] is the arithmetic, [`weights`] the weight layout: each is one small module, shared by the packer and by
//!   all kernels.
//! - With feature `write`, [`write::to_bytes`] makes the file.
//!
#![doc = include_str!("../FORMAT.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

#[cfg(any(feature = "write", test))]
extern crate alloc;

mod bytes;
mod check;
mod error;
mod file;
pub mod golden;
pub mod layout;
mod op;
mod preprocess;
pub mod quant;
mod record;
mod tensor;
pub mod weights;
#[cfg(feature = "write")]
pub mod write;

pub use error::FormatError;
pub use file::File;
pub use op::{ChannelBlock, Conv, GlobalAvgPool, Linear, MaxPool, Op, Projection, Residual, Window};
pub use preprocess::{Colour, Filter, Preprocess, Resize};
pub use tensor::{CodeType, Shape, Tensor, TensorId};
