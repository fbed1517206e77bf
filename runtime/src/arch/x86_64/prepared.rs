//! AVX2's dense tiles for weights that have been looked at: `vpmaddubsw` adds two products of an unsigned byte by a weight
//! in 16 bits, which saturates for some weights, and never for others.
//!
//! A byte is at most 255, so a sum of products stays within ±32,640 if neither its positive nor its negative weights add up
//! to more than 128. A block's quads are sorted by that: two neighbours whose four products may be added in 16 bits, for all
//! channels; single ones whose two may; and the others, which are widened first. Integer sums do not depend on the order.

use core::arch::x86_64::*;

use cardinal_format::weights::{QUAD, QUAD_BYTES};

use super::avx2::{Pairs, dot, inputs, weights};
use super::ymm::{bytes4, lanes, put};
use crate::arch::generic::{MOST_BLOCKS, MOST_PIXELS, Params, Positions, Tile, Weights};

/// Of a byte by weights that sum to no more than this, the products fit 16 bits: 255 · 128 < 2¹⁵.
const BOUND: i16 = 128;

/// What prepared weights start with.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Head {
    /// Pairs of quads whose products may be added in 16 bits, and single ones; the rest are widened.
    pairs: usize,
    single: usize,
}

/// Bytes of a quad whose weights are widened: for eight channels and the other eight, inputs 0 and 2, then 1 and 3.
const WIDE_BYTES: usize = 2 * QUAD_BYTES;

/// Where the parts of a prepared block lie: the head, which quad each place has (its offset in bytes, a u16), the weights of
/// pairs and single quads, those of wide ones.
const PLACES: usize = size_of::<Head>();

const fn weights_at(quads: usize) -> usize {
    PLACES + (quads * size_of::<u16>()).next_multiple_of(QUAD_BYTES)
}

/// Quads of a block at most.
const MOST_QUADS: usize = 1024;

/// See [`Isa::prepared_len`](crate::arch::generic::Isa::prepared_len).
pub(super) fn len(quads: usize) -> usize {
    if quads <= MOST_QUADS { weights_at(quads) + quads * WIDE_BYTES } else { 0 }
}

/// What the weights of each channel's halves of a quad add up to: positive and negative ones, of eight channels and of the
/// other eight.
type Magnitudes = [__m256i; 4];

/// # Safety
/// 64 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn magnitudes(quad: *const u8) -> Magnitudes {
    let (zero, ones) = (_mm256_setzero_si256(), _mm256_set1_epi8(1));
    // SAFETY: the caller's.
    let [v, w] = unsafe { [_mm256_loadu_si256(quad.cast()), _mm256_loadu_si256(quad.wrapping_add(32).cast())] };
    let [minus_v, minus_w] = [_mm256_sub_epi8(zero, v), _mm256_sub_epi8(zero, w)];
    [
        _mm256_maddubs_epi16(_mm256_max_epi8(v, zero), ones),
        _mm256_maddubs_epi16(_mm256_max_epi8(minus_v, zero), ones),
        _mm256_maddubs_epi16(_mm256_max_epi8(w, zero), ones),
        _mm256_maddubs_epi16(_mm256_max_epi8(minus_w, zero), ones),
    ]
}

/// Whether none of the magnitudes exceeds [`BOUND`].
#[inline]
#[target_feature(enable = "avx2")]
fn fits(of: Magnitudes) -> bool {
    let most = _mm256_max_epi16(_mm256_max_epi16(of[0], of[1]), _mm256_max_epi16(of[2], of[3]));
    let above = _mm256_cmpgt_epi16(most, _mm256_set1_epi16(BOUND));
    _mm256_testz_si256(above, above) == 1
}

/// A quad's class, where its products may be added: 0 with its neighbour's in 16 bits, 1 alone in 16 bits, 2 in 32 bits
/// only.
const WIDE: u8 = 2;

/// See [`Isa::prepare`](crate::arch::generic::Isa::prepare).
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn prepare(block: *const u8, quads: usize, to: *mut u8) {
    let (mut classes, mut counts) = ([WIDE; MOST_QUADS], [0; 3]);
    for first in (0..quads).step_by(2) {
        // SAFETY: the quad is there.
        let a = unsafe { magnitudes(block.wrapping_add(first * QUAD_BYTES)) };
        let alone = WIDE - u8::from(fits(a));
        if first + 1 == quads {
            classes[first] = alone;
            counts[usize::from(alone)] += 1;
            break;
        }
        // SAFETY: the quad is there.
        let b = unsafe { magnitudes(block.wrapping_add((first + 1) * QUAD_BYTES)) };
        let both = [
            _mm256_add_epi16(a[0], b[0]),
            _mm256_add_epi16(a[1], b[1]),
            _mm256_add_epi16(a[2], b[2]),
            _mm256_add_epi16(a[3], b[3]),
        ];
        // Without branches, which nobody could foresee.
        let alone = [alone, WIDE - u8::from(fits(b))].map(|class| class * u8::from(!fits(both)));
        classes[first..first + 2].copy_from_slice(&alone);
        alone.iter().for_each(|&class| counts[usize::from(class)] += 1);
    }
    let narrow = counts[0] + counts[1];
    let mut next = [0, counts[0], narrow];
    let (places, at) = (to.wrapping_add(PLACES).cast::<u16>(), to.wrapping_add(weights_at(quads)));
    for (quad, &class) in classes[..quads].iter().enumerate() {
        let (from, place) = (block.wrapping_add(quad * QUAD_BYTES), &mut next[usize::from(class)]);
        // SAFETY: the quad is there; there are as many places of its class as quads.
        unsafe {
            places.add(*place).write((quad * QUAD) as u16);
            if class == WIDE {
                let to = at.wrapping_add(narrow * QUAD_BYTES + (*place - narrow) * WIDE_BYTES).cast::<Pairs>();
                to.write(weights(from));
                to.wrapping_add(1).write(weights(from.wrapping_add(32)));
            } else {
                at.add(*place * QUAD_BYTES).copy_from_nonoverlapping(from, QUAD_BYTES);
            }
        }
        *place += 1;
    }
    // SAFETY: the head's place is there.
    unsafe { to.cast::<Head>().write(Head { pairs: counts[0] / 2, single: counts[1] }) };
}

/// Defines a tile of these positions.
macro_rules! dense {
    ($name:ident, [$($position:tt)*]) => {
        /// # Safety
        /// As [`Isa::dense`](crate::arch::generic::Isa::dense), of one prepared block.
        #[target_feature(enable = "avx2")]
        unsafe fn $name(at: &[*const u8; MOST_PIXELS], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let (quads, ones) = (block.quads, _mm256_set1_epi16(1));
            let bias = [lanes(&params[0].bias, 0), lanes(&params[0].bias, 1)];
            let mut sums = [$({ let _ = $position; bias }),*];
            // SAFETY: `prepare` has written a head.
            let head = unsafe { block.first.cast::<Head>().read() };
            let mut places = block.first.wrapping_add(PLACES).cast::<u16>();
            let mut quad = block.first.wrapping_add(weights_at(quads));
            for _ in 0..head.pairs {
                // SAFETY: `prepare` has written as many places and quads, each of a quad that every position has.
                unsafe {
                    let (k, l) = (usize::from(places.read()), usize::from(places.add(1).read()));
                    let w = |i: usize| _mm256_load_si256(quad.wrapping_add(32 * i).cast());
                    $(
                        let x = bytes4(at[$position].wrapping_add(k));
                        let y = bytes4(at[$position].wrapping_add(l));
                        let low = _mm256_add_epi16(_mm256_maddubs_epi16(x, w(0)), _mm256_maddubs_epi16(y, w(2)));
                        let high = _mm256_add_epi16(_mm256_maddubs_epi16(x, w(1)), _mm256_maddubs_epi16(y, w(3)));
                        let [a, b] = sums[$position];
                        sums[$position] = [
                            _mm256_add_epi32(a, _mm256_madd_epi16(low, ones)),
                            _mm256_add_epi32(b, _mm256_madd_epi16(high, ones)),
                        ];
                    )*
                }
                (places, quad) = (places.wrapping_add(2), quad.wrapping_add(2 * QUAD_BYTES));
            }
            for _ in 0..head.single {
                // SAFETY: as above.
                unsafe {
                    let k = usize::from(places.read());
                    let w = |i: usize| _mm256_load_si256(quad.wrapping_add(32 * i).cast());
                    $(
                        let x = bytes4(at[$position].wrapping_add(k));
                        let [a, b] = sums[$position];
                        sums[$position] = [
                            _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w(0)), ones)),
                            _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w(1)), ones)),
                        ];
                    )*
                }
                (places, quad) = (places.wrapping_add(1), quad.wrapping_add(QUAD_BYTES));
            }
            for _ in 2 * head.pairs + head.single..quads {
                // SAFETY: as above.
                unsafe {
                    let k = usize::from(places.read());
                    let w = |i: usize| quad.cast::<Pairs>().wrapping_add(i).read();
                    $(
                        let x = inputs(bytes4(at[$position].wrapping_add(k)));
                        sums[$position] = [dot(sums[$position][0], x, w(0)), dot(sums[$position][1], x, w(1))];
                    )*
                }
                (places, quad) = (places.wrapping_add(1), quad.wrapping_add(WIDE_BYTES));
            }
            for (to, sums) in tile.iter_mut().zip(sums) {
                put(to, 0, sums[0]);
                put(to, 1, sums[1]);
            }
        }
    };
}

dense!(dense_5, [0 1 2 3 4]);
dense!(dense_2, [0 1]);

/// See [`Isa::dense`](crate::arch::generic::Isa::dense).
///
/// # Safety
/// As there, of one prepared block.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dense(positions: &Positions, block: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
    // SAFETY: the caller's.
    unsafe {
        match positions.count {
            ..=2 => dense_2(&positions.at, block, params, sums),
            _ => dense_5(&positions.at, block, params, sums),
        }
    }
}
