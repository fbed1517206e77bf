//! Helpers of the tests across crates.

#![forbid(unsafe_code)]

pub mod data;
