//! Oracles and helpers of the tests of what runs on a device: the format and the runtime.
//!
//! What checks the product here is written from FORMAT.md and QUANTIZATION.md alone and shares no code with it: exact
//! integers instead of floats ([`binary32`]), plain loops instead of kernels ([`naive`]), owners of bytes instead of
//! ranges ([`plan`]). The product's types are used where they only name things.

#![forbid(unsafe_code)]

pub mod binary32;
pub mod buffer;
pub mod fill;
pub mod model;
pub mod naive;
pub mod network;
pub mod plan;
pub mod random;
pub mod seal;
pub mod strategy;
