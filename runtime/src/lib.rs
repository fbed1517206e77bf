//! Runs a `.cardinal` model: an int8 ResNeXt, one image at a time, in one buffer that the caller owns.
//!
//! `no_std`, no allocation. [`Model::new`] verifies the bytes once; nothing after it can fail or panic.
//!
//! ```
//! # use cardinal_runtime::{Model, Session, RuntimeError};
//! # fn classify(bytes: &[u8], pixels: &[u8], arena: &mut [u8]) -> Result<(), RuntimeError> {
//! let model = Model::new(bytes)?;                  // verified once; weights are read in place
//! let mut session = Session::new(model, arena)?;   // exactly `model.arena_len()` bytes, 64-aligned
//! session.image_mut().copy_from_slice(pixels);     // height × width × channels bytes, 0…255
//! let logits: &[f32] = session.run();
//! for p in cardinal_runtime::top_k::<5>(logits) {
//!     let _ = (p.class, p.score, model.label(p.class));
//! }
//! # Ok(()) }
//! ```
//!
//! Kernels come in backends, listed in [`kernels`]; the portable one in `arch::all` is the oracle that every other one
//! equals bit for bit.

#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

#[cfg(feature = "std")]
extern crate std;

mod arch;
mod arena;
mod include;
pub mod kernels;
mod model;
mod score;
mod session;
#[cfg(feature = "threads")]
mod split;

#[cfg(feature = "mmap")]
pub use arch::mapped::Mapped;
pub use arena::Arena;
pub use cardinal_format as format;
pub use kernels::Kernels;
pub use model::Model;
pub use score::{Prediction, probability, softmax, top_k};
pub use session::{Codes, RuntimeError, Session, Step};
