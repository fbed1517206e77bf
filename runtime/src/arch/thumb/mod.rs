//! Cortex-M: the DSP extension (M4, M7, M33) and MVE (M55), without heap and with little stack.
//!
//! - `conv`: one loop for every convolution. It walks tiles of a few output positions; of each, it has the windows read once
//!   and then goes through the output channels. The weights are read in place, in flash.
//! - `window`: reads windows: pads them, and puts what each group of channels reads side by side.
//! - `pool`, `linear`: both pools, and the classifier, from the portable ones' loops.
//! - `dsp`, `mve`: a core's own instructions for all of them: products, requantization, sums.
//!
//! The compiler's target says which instructions there are: nobody else can be asked.

#![allow(unsafe_code, reason = "instructions that the compiler has no functions for")]
#![allow(clippy::indexing_slicing, reason = "arrays of constant size, by indices below it")]

mod conv;
mod dsp;
mod linear;
#[cfg(thumb_mve)]
mod mve;
mod pool;
mod window;

use conv::{Finish, Params, Sums, Weights};
use window::{Origin, Strip};

use crate::arch::all;
use crate::kernels::Kernels;

/// The best that the compiler's target can run. By itself, for a program that asks for no other is linked without the others.
pub(crate) const BEST: Kernels = {
    #[cfg(thumb_mve)]
    let best = mve::KERNELS;
    #[cfg(not(thumb_mve))]
    let best = dsp::KERNELS;
    best
};

/// The backends that the compiler's target can run, best first.
pub(crate) fn available() -> &'static [Kernels] {
    #[cfg(thumb_mve)]
    return &[BEST, dsp::KERNELS, all::KERNELS];
    #[cfg(not(thumb_mve))]
    &[BEST, all::KERNELS]
}

/// What the loops of `conv` need of a core.
///
/// # Safety
/// Implementations read and write exactly what the functions say. `POSITIONS` is at most `conv::MOST_POSITIONS`.
unsafe trait Core {
    /// Output positions of a tile.
    const POSITIONS: usize;
    /// Holds the windows of a tile's positions, [`QUADS`](conv::QUADS) of each.
    type Room;
    /// Where a tile's windows are.
    type Reading: Copy;

    /// An empty room.
    fn room() -> Self::Room;

    /// Writes quads of neighbouring positions into a room, with the bits of `flip` inverted.
    ///
    /// # Safety
    /// All positions are of a tile, their quads are among the room's, and as many bytes can be read: see [`Strip`], [`Origin`].
    /// There are positions, rows, runs, quads and groups.
    unsafe fn put(room: &mut Self::Room, to: &Strip, from: &Origin, flip: u32);

    /// The windows in a room from a quad on.
    fn reading(room: &Self::Room, place: usize) -> Self::Reading;

    /// Windows where they are stored, `next` bytes apart, of so many positions and quads, if it can read exactly these.
    fn in_place(first: *const u8, next: usize, positions: usize, quads: usize) -> Option<Self::Reading>;

    /// Multiplies windows by weights: sets the sums of so many positions, or of more of the tile's, starting with the biases if
    /// they are given, or else going on from what is in `sums`.
    ///
    /// # Safety
    /// `weights.quads` quads can be read of each window, and of the weights.
    unsafe fn dot(reading: Self::Reading, weights: Weights, start: Option<Params>, positions: usize, sums: &mut Sums);

    /// Requantizes a tile: equations (5), (6) and (6b).
    ///
    /// # Safety
    /// For each of the `finish.positions`, `finish.stride` bytes apart, `finish.channels` bytes can be written to `output`,
    /// and read from `Added::Codes`.
    unsafe fn finish(sums: &Sums, finish: &Finish<'_>, output: *mut u8);
}
