//! Files that lie and have a right checksum: each with the error that it gets.

mod frame;
mod ops;
mod sample;
