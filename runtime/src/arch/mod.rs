//! Kernels by architecture. `all` is portable and is the oracle; `unsafe` is allowed under the others only.

pub(crate) mod all;
