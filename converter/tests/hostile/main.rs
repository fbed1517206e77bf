//! Hostile files, and what the command says of each.
//!
//! One table per reader. A row is a file that somebody could have made on purpose: it lies about sizes, asks for programs to
//! be run, reaches out of its folder, or is built so that reading it takes for ever. The command has to refuse every one
//! with exit code 1 and an error that names the file and what is wrong in it, in bounded time and bounded memory, and may
//! leave nothing behind. [`harness`] has the bounds.

mod cardinal;
mod harness;
mod images;
mod network;
mod onnx;
mod pickle;
mod safetensors;
mod torch_legacy;
mod torch_zip;
