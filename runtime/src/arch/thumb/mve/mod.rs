//! MVE (Helium): `vmladava`, sixteen products of int8 and their sum in one instruction, into a general register.
//!
//! Four positions and two output channels at a time: a vector of each position meets a vector of each channel. 1×1 convolutions
//! read the input in place. A channel's weights, four bytes of every quad, are gathered from the file's layout; predication
//! cuts the last vector off.

mod codes;
mod dot;
mod linear;
mod pool;
mod put;

use core::mem::MaybeUninit;

use cardinal_format::weights::BLOCK;

use codes::{
    codes_of_blocks, codes_of_blocks_and_codes, codes_of_sums, codes_of_sums_and_codes, codes_of_two_blocks,
    codes_of_two_sums,
};

use dot::{LANES, POSITIONS_TOGETHER, Windows};

use super::Core;
use super::conv::{Added, Finish, Params, QUADS, Sums, Weights, conv};
use super::linear::linear;
use super::pool::{global_avg_pool, max_pool};
use super::window::{Origin, Strip};
use crate::arch::all;
use crate::kernels::{ConvArgs, Kernels, Storage};

pub(super) const KERNELS: Kernels = Kernels {
    name: "mve",
    storage: Storage::Signed,
    conv: either,
    max_pool: max_pool::<Mve>,
    global_avg_pool: global_avg_pool::<Mve>,
    linear: linear::<Mve>,
    spin: None,
};

/// Channels go in pairs; a group of an odd number of them, which no ResNeXt has, is left to the portable kernels.
fn either(args: &ConvArgs<'_>, output: &mut [u8]) {
    let groups = args.input_shape.channels as usize / args.layout.in_per_group().max(1);
    let odd = args.layout.channels_out() / groups.max(1) % 2 == 1;
    if groups > 1 && odd { (all::KERNELS.conv)(args, output) } else { conv::<Mve>(args, output) }
}

/// Cortex-M55 and its like.
struct Mve;

const POSITIONS: usize = 16;

/// Quads of a position's windows in a room. A vector that starts among the `QUADS` ends in the row.
const ROW_QUADS: usize = QUADS + LANES;
const ROW: usize = ROW_QUADS * size_of::<u32>();

/// A tile's windows, one row a position.
#[repr(C, align(16))]
struct Room(MaybeUninit<[[u32; ROW_QUADS]; POSITIONS]>);

// SAFETY: the functions below keep to the trait's words; see each.
unsafe impl Core for Mve {
    const POSITIONS: usize = POSITIONS;
    type Room = Room;
    type Reading = Windows;

    fn room() -> Room {
        Room(MaybeUninit::uninit())
    }

    unsafe fn put(room: &mut Room, to: &Strip, from: &Origin, flip: u32) {
        // SAFETY: the caller's.
        unsafe { put::put(room.0.as_mut_ptr().cast(), to, from, flip) };
    }

    fn reading(room: &Room, place: usize) -> Windows {
        Windows { first: room.0.as_ptr().cast::<u32>().wrapping_add(place).cast(), next: ROW }
    }

    fn in_place(first: *const u8, next: usize, positions: usize, quads: usize) -> Option<Windows> {
        let whole = positions.is_multiple_of(POSITIONS_TOGETHER) && quads.is_multiple_of(LANES);
        whole.then_some(Windows { first, next })
    }

    #[inline(always)]
    unsafe fn dot(windows: Windows, weights: Weights, start: Option<Params>, positions: usize, sums: &mut Sums) {
        // SAFETY: the caller's. Rooms and windows in place end with whole vectors; spans of channels start at even ones.
        unsafe { dot::dot(windows, weights, start, positions, sums) };
    }

    #[inline(always)]
    unsafe fn finish(sums: &Sums, finish: &Finish<'_>, output: *mut u8) {
        if finish.channels == BLOCK {
            // SAFETY: the caller's; there is a position.
            unsafe {
                match finish.added {
                    Added::Nothing => codes_of_blocks(sums, finish, output),
                    Added::Codes { at, zero_point, multiplier } => {
                        codes_of_blocks_and_codes(sums, finish, output, at, zero_point, multiplier);
                    }
                    Added::Sums(added, multiplier) => codes_of_two_blocks(sums, finish, output, added, multiplier),
                }
                if !finish.bounds.are_widest() {
                    finish.clamp(output);
                }
            }
            return;
        }
        for position in 0..finish.positions {
            let row = |sums: &Sums| sums.as_ptr().wrapping_add(position * BLOCK);
            let (own, offset) = (row(sums), position * finish.stride);
            let output = output.wrapping_add(offset);
            // SAFETY: the caller's: a position's channels. Sums and multipliers have as many.
            unsafe {
                match finish.added {
                    Added::Nothing => codes_of_sums(own, finish, output),
                    Added::Codes { at, zero_point, multiplier } => {
                        codes_of_sums_and_codes(own, finish, output, at.wrapping_add(offset), zero_point, multiplier);
                    }
                    Added::Sums(sums, multiplier) => codes_of_two_sums(own, finish, output, row(sums), multiplier),
                }
            }
        }
    }
}
