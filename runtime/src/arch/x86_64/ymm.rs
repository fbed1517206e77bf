//! Tiles on 256 bits: what AVX-VNNI and AVX2 share. A block is two vectors of eight channels.

use core::arch::x86_64::*;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use crate::arch::generic::{Added, Finish, Lanes, Params, Sums, Tile};

/// Channels of a vector.
pub(super) const HALF: usize = 8;

/// Lanes of one half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lanes(values: &Lanes<i32>, half: usize) -> __m256i {
    let (halves, _) = values.0.as_chunks::<HALF>();
    // SAFETY: a half has 32 bytes.
    unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) }
}

/// Writes one half's lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn put(to: &mut Sums, half: usize, values: __m256i) {
    let (halves, _) = to.0.as_chunks_mut::<HALF>();
    // SAFETY: a half has 32 bytes.
    unsafe { _mm256_storeu_si256(halves[half].as_mut_ptr().cast(), values) }
}

/// A half's multipliers.
#[inline]
#[target_feature(enable = "avx2")]
fn multipliers(params: &Params, half: usize) -> __m256 {
    let (multipliers, _) = params.multiplier.0.as_chunks::<HALF>();
    // SAFETY: a half has 32 bytes.
    unsafe { _mm256_loadu_ps(multipliers[half].as_ptr()) }
}

/// What a tile is added to: [`Added`] as a constant.
const NOTHING: u8 = 0;
const CODES: u8 = 1;
const SUMS: u8 = 2;

/// See [`Isa::finish`](crate::arch::generic::Isa::finish); of one block.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn finish(tile: &Tile, what: &Finish<'_>, output: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match what.added {
            Added::Nothing => finish_with::<NOTHING>(tile, what, output),
            Added::Codes { .. } => finish_with::<CODES>(tile, what, output),
            Added::Sums { .. } => finish_with::<SUMS>(tile, what, output),
        }
    }
}

/// [`finish()`] for what is added. Steps above the bound are cut in float, where they cannot overflow; those below saturate on
/// the way to bytes.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
unsafe fn finish_with<const ADDED: u8>(tile: &Tile, finish: &Finish<'_>, output: *mut u8) {
    let y = finish.requantize;
    let high = _mm256_set1_ps(y.high());
    let zero_point = _mm256_set1_epi16(i16::from(y.zero_point()) + 128);
    let low_bytes = _mm256_set1_epi8((i16::from(y.q_min()) + 128) as u8 as i8);
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let transposed = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let multiplier = [multipliers(&finish.params[0], 0), multipliers(&finish.params[0], 1)];
    let (count, stride) = (finish.pixels, finish.stride);
    // A macro, because a closure of this size becomes a call.
    macro_rules! steps {
        ($v:expr, $half:literal) => {{
            let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(lanes(&tile[$v], $half)), multiplier[$half]);
            let steps = match finish.added {
                Added::Codes { at, zero_point, multiplier } if ADDED == CODES => {
                    // SAFETY: the caller vouches for sixteen bytes of every position.
                    let bytes = unsafe { _mm_loadl_epi64(at.wrapping_add($v * stride + $half * HALF).cast()) };
                    let codes = _mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), _mm256_set1_epi32(zero_point + 128));
                    _mm256_add_ps(steps, _mm256_mul_ps(_mm256_cvtepi32_ps(codes), _mm256_set1_ps(multiplier)))
                }
                Added::Sums { sums, params } if ADDED == SUMS => {
                    let sums = _mm256_cvtepi32_ps(lanes(&sums[$v], $half));
                    _mm256_add_ps(steps, _mm256_mul_ps(sums, multipliers(&params[0], $half)))
                }
                _ => steps,
            };
            _mm256_cvtps_epi32(_mm256_min_ps(steps, high))
        }};
    }
    let mut v = 0;
    while v < count {
        // Beyond the last position is the last again.
        let next = (v + 1).min(count - 1);
        let one = _mm256_adds_epi16(_mm256_packs_epi32(steps!(v, 0), steps!(v, 1)), zero_point);
        let other = _mm256_adds_epi16(_mm256_packs_epi32(steps!(next, 0), steps!(next, 1)), zero_point);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(one, other), order);
        let bytes = _mm256_max_epu8(bytes, low_bytes);
        let bytes = if finish.transposed { _mm256_shuffle_epi8(bytes, transposed) } else { bytes };
        // SAFETY: the caller vouches for sixteen bytes of every position.
        unsafe {
            _mm_storeu_si128(output.wrapping_add(v * stride).cast(), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128(output.wrapping_add(next * stride).cast(), {
                let last = _mm256_castsi256_si128(bytes);
                if next == v { last } else { _mm256_extracti128_si256::<1>(bytes) }
            });
        }
        v += 2;
    }
}

/// Defines the tiles of an instruction set: `$positions` of a dense tile (`$dense` of them) and `$places` of a grouped one
/// (`$row`). In scope are `weights(pointer)`, which loads 32 bytes, `inputs(vector)`, and `dot(sums, inputs, weights)`; and of
/// [`Isa`](crate::arch::generic::Isa)'s functions `prepared::{len, prepare, dense}`, the last one for prepared weights of one block.
macro_rules! tiles {
    (
        $isa:ident, $features:literal, dense: [$($position:tt)*] $dense:literal, row: [$($place:tt)*] $row:literal
    ) => {
        tiles!(dense dense, $features, [$($position)*]);
        // What is left of 7 × 7 positions.
        tiles!(dense rest, $features, [0 1]);

        tiles!(taps taps4, bytes4, $features, [$($place)*], $row);
        tiles!(taps taps8, bytes8, $features, [$($place)*], $row);
        tiles!(taps taps16, bytes16, $features, [$($place)*], $row);

        /// # Safety
        /// As [`Isa::grouped`].
        #[target_feature(enable = $features)]
        unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, tile: &mut Tile) {
            let &Row { inputs: rows, step, quads, weights, .. } = row;
            let zero = [_mm256_setzero_si256(); $row];
            let arranged = row.arranged.0.as_ptr().cast::<u8>();
            for half in 0..2 {
                let bias = lanes(&row.params.bias, half);
                // SAFETY: the caller's; arranged weights are nine vectors of two halves a group.
                let sums: [__m256i; $row] = unsafe {
                    match quads {
                        1 => taps16::<STRIDE>(rows, step, 1, arranged.wrapping_add(32 * half), [bias; $row]),
                        2 => {
                            let rows = rows.map(|row| row.wrapping_add(8 * half));
                            let group = arranged.wrapping_add(9 * QUAD_BYTES * half);
                            let a = taps8::<STRIDE>(rows, step, 1, group, zero);
                            let b = taps8::<STRIDE>(rows, step, 1, group.wrapping_add(32), zero);
                            core::array::from_fn(|i| {
                                let pairs = _mm256_hadd_epi32(a[i], b[i]);
                                _mm256_add_epi32(bias, _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs))
                            })
                        }
                        _ => taps4::<STRIDE>(rows, step, quads, weights.wrapping_add(32 * half), [bias; $row]),
                    }
                };
                tile.iter_mut().zip(sums).for_each(|(to, sums)| put(to, half, sums));
            }
        }

        /// # Safety
        /// As [`Isa::weight_sums`].
        #[target_feature(enable = $features)]
        unsafe fn weight_sums(block: *const u8, quads: usize) -> [i32; BLOCK] {
            let (ones, mut sums) = (inputs(_mm256_set1_epi8(1)), [[_mm256_setzero_si256(); 2]; 2]);
            for k in 0..quads {
                let at = block.wrapping_add(k * QUAD_BYTES);
                let sums = &mut sums[k % 2];
                // SAFETY: the block has `quads` quads.
                let [a, b] = unsafe { [weights(at), weights(at.wrapping_add(32))] };
                *sums = [dot(sums[0], ones, a), dot(sums[1], ones, b)];
            }
            let mut total = Lanes([0; BLOCK]);
            for half in 0..2 {
                put(&mut total, half, _mm256_add_epi32(sums[0][half], sums[1][half]));
            }
            total.0
        }

        /// See [`Isa::spin`].
        #[target_feature(enable = $features)]
        fn spin(rounds: u32) -> u64 {
            // The compiler must not see that all products are the same.
            let (x, w) = (inputs(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(-5)));
            // SAFETY: a vector has 32 bytes.
            let w = unsafe { weights((&raw const w).cast()) };
            let mut sums = [_mm256_setzero_si256(); 10];
            for _ in 0..rounds {
                tiles!(spin sums, x, w, [0 1 2 3 4 5 6 7 8 9]);
            }
            black_box(sums);
            u64::from(rounds) * 10 * 32
        }

        // SAFETY: every function reads and writes what `Isa` says, for tiles of the sizes above.
        unsafe impl Isa for $isa {
            const STORAGE: Storage = Storage::Biased;
            const DENSE: [usize; 2] = [$dense, 1];
            const ROW: usize = $row;

            unsafe fn weight_sums(weights: *const u8, quads: usize) -> [i32; BLOCK] {
                // SAFETY: the caller's.
                unsafe { weight_sums(weights, quads) }
            }

            fn prepared_len(quads: usize) -> usize {
                prepared::len(quads)
            }

            unsafe fn prepare(weights: *const u8, quads: usize, to: *mut u8) {
                // SAFETY: the caller's.
                unsafe { prepared::prepare(weights, quads, to) }
            }

            unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
                // SAFETY: the caller's; `DENSE` has one block.
                unsafe {
                    match positions.count {
                        _ if weights.prepared => prepared::dense(positions, weights, params, sums),
                        ..=2 => rest(&positions.at, weights, params, sums),
                        _ => dense(&positions.at, weights, params, sums),
                    }
                }
            }

            unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
                debug_assert_eq!((row.block, row.blocks), (0, 1));
                // SAFETY: the caller's.
                unsafe { grouped::<STRIDE>(row, sums) }
            }

            unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]) {
                // SAFETY: the caller's.
                unsafe { linear(inputs, weights, sums) }
            }

            unsafe fn spin(rounds: u32) -> u64 {
                // SAFETY: the caller's.
                unsafe { spin(rounds) }
            }

            unsafe fn finish(sums: &Tile, tile: &Finish<'_>, output: *mut u8) {
                // SAFETY: the caller's.
                unsafe { finish(sums, tile, output) }
            }
        }
    };
    (dense $name:ident, $features:literal, [$($position:tt)*]) => {
        /// # Safety
        /// As [`Isa::dense`], of one block.
        #[target_feature(enable = $features)]
        unsafe fn $name(at: &[*const u8; MOST_PIXELS], block: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let bias = [lanes(&params[0].bias, 0), lanes(&params[0].bias, 1)];
            let mut sums = [$({ let _ = $position; bias }),*];
            for k in 0..block.quads {
                let quad = block.first.wrapping_add(k * QUAD_BYTES);
                // SAFETY: the block has `quads` quads, and every position as many bytes by four.
                unsafe {
                    let [a, b] = [weights(quad), weights(quad.wrapping_add(32))];
                    $(
                        let x = inputs(bytes4(at[$position].wrapping_add(4 * k)));
                        sums[$position] = [dot(sums[$position][0], x, a), dot(sums[$position][1], x, b)];
                    )*
                }
            }
            for (to, sums) in tile.iter_mut().zip(sums) {
                put(to, 0, sums[0]);
                put(to, 1, sums[1]);
            }
        }
    };
    (spin $sums:ident, $x:ident, $w:ident, [$($n:tt)*]) => {
        $($sums[$n] = dot($sums[$n], opaque($x), $w);)*
    };
    (taps $name:ident, $load:ident, $features:literal, [$($place:tt)*], $row:literal) => {
        /// Adds nine taps of `quads` quads to the sums of neighbouring outputs of one row.
        ///
        /// # Safety
        /// As [`Isa::grouped`]; `block` has 32 bytes of every tap and quad, 64 apart.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $name<const STRIDE: usize>(
            rows: [*const u8; 3],
            step: usize,
            quads: usize,
            block: *const u8,
            mut sums: [__m256i; $row],
        ) -> [__m256i; $row] {
            for (row, bytes) in rows.into_iter().enumerate() {
                for k in 0..quads {
                    let tap = |column: usize| block.wrapping_add(((3 * row + column) * quads + k) * QUAD_BYTES);
                    let at = |column: usize| bytes.wrapping_add(column * step + 4 * k);
                    // SAFETY: nine taps of `quads` quads; the positions of all outputs' taps.
                    unsafe {
                        let [a, b, c] = [weights(tap(0)), weights(tap(1)), weights(tap(2))];
                        $(
                            let sum = dot(sums[$place], inputs($load(at(STRIDE * $place))), a);
                            let sum = dot(sum, inputs($load(at(STRIDE * $place + 1))), b);
                            sums[$place] = dot(sum, inputs($load(at(STRIDE * $place + 2))), c);
                        )*
                    }
                }
            }
            sums
        }
    };
}
pub(super) use tiles;

/// For instruction sets that the file's order serves best.
pub(super) mod unprepared {
    use super::{Params, Tile};
    use crate::arch::generic::{MOST_BLOCKS, Positions, Weights};

    pub fn len(_quads: usize) -> usize {
        0
    }

    /// # Safety
    /// Does nothing.
    pub unsafe fn prepare(_weights: *const u8, _quads: usize, _to: *mut u8) {}

    /// # Safety
    /// Does nothing: there are no prepared weights.
    pub unsafe fn dense(_: &Positions, _: Weights, _: &[Params; MOST_BLOCKS], _: &mut Tile) {}
}

/// See [`Isa::linear`](crate::arch::generic::Isa::linear).
///
/// # Safety
/// Needs nothing but the CPU.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]) {
    // Of each output, a sum for each half of a quad: four outputs a vector.
    let mut halves = [_mm256_setzero_si256(); 4];
    for (x, weights) in inputs.iter().zip(weights) {
        // SAFETY: a quad of inputs has eight bytes.
        let x = _mm256_set1_epi64x(unsafe { x.as_ptr().cast::<i64>().read_unaligned() });
        for (to, w) in halves.iter_mut().zip(weights.as_chunks::<16>().0) {
            // SAFETY: a vector has sixteen bytes.
            let w = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(w.as_ptr().cast()) });
            *to = _mm256_add_epi32(*to, _mm256_madd_epi16(w, x));
        }
    }
    for (sums, halves) in sums.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
        let mut of = [0i32; HALF];
        // SAFETY: a vector has 32 bytes.
        unsafe { _mm256_storeu_si256(of.as_mut_ptr().cast(), halves) };
        for (sum, halves) in sums.iter_mut().zip(of.as_chunks::<2>().0) {
            *sum = sum.wrapping_add(halves[0].wrapping_add(halves[1]));
        }
    }
}

/// Four bytes in all lanes.
///
/// # Safety
/// Four bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bytes4(x: *const u8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}

/// Eight bytes in all pairs of lanes.
///
/// # Safety
/// Eight bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bytes8(x: *const u8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_set1_epi64x(unsafe { x.cast::<i64>().read_unaligned() })
}

/// Sixteen bytes in both halves.
///
/// # Safety
/// Sixteen bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bytes16(x: *const u8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(x.cast()) })
}
