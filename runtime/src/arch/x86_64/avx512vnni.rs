//! AVX-512 with VNNI: sixteen channels a vector, `vpdpbusd` of unsigned bytes by signed weights.

use core::arch::x86_64::*;
use core::hint::black_box;

use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES};

use super::ymm::linear;
use crate::arch::generic::{
    Added, Finish, Isa, Lanes, MOST_BLOCKS, MOST_PIXELS, Params, Positions, Row, Sums, Tile, Weights,
};
use crate::kernels::Storage;

/// The register tiles of this instruction set.
pub(super) struct Avx512Vnni;

/// A block's sixteen weights' quads.
///
/// # Safety
/// 64 bytes can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn quad(weights: *const u8) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_loadu_si512(weights.cast()) }
}

/// Four bytes in all lanes.
///
/// # Safety
/// Four bytes can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bytes4(x: *const u8) -> __m512i {
    // SAFETY: the caller's.
    _mm512_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}

/// Eight bytes in all pairs of lanes.
///
/// # Safety
/// Eight bytes can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bytes8(x: *const u8) -> __m512i {
    // SAFETY: the caller's.
    _mm512_set1_epi64(unsafe { x.cast::<i64>().read_unaligned() })
}

/// Sixteen bytes in all quarters.
///
/// # Safety
/// Sixteen bytes can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bytes16(x: *const u8) -> __m512i {
    // SAFETY: the caller's.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(x.cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(values: &Lanes<i32>) -> __m512i {
    // SAFETY: the array has 64 bytes.
    unsafe { _mm512_load_si512(values.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn put(to: &mut Sums, values: __m512i) {
    // SAFETY: the array has 64 bytes and starts at a multiple of 64.
    unsafe { _mm512_store_si512(to.0.as_mut_ptr().cast(), values) }
}

/// One position's multiply-adds with the weights of each block. Spelled out, because LLVM spills loops over this many
/// accumulators.
macro_rules! multiply_add {
    ($sums:expr, $x:ident, $weights:ident[], [$($block:tt)*]) => {
        $($sums[$block] = _mm512_dpbusd_epi32($sums[$block], $x, $weights[$block]);)*
    };
    ($sums:expr, $x:ident, $weight:ident, [$($block:tt)*]) => {
        $($sums[$block] = _mm512_dpbusd_epi32($sums[$block], $x, $weight);)*
    };
}

/// Defines a dense tile of these positions and blocks.
macro_rules! dense {
    ($name:ident, [$($pixel:tt)*], $blocks:tt, $count:literal) => {
        /// # Safety
        /// As [`Isa::dense`].
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn $name(at: &[*const u8; MOST_PIXELS], weights: Weights, params: &[Params; MOST_BLOCKS], tile: &mut Tile) {
            let bias: [__m512i; $count] = core::array::from_fn(|b| lanes(&params[b].bias));
            let mut sums = [$({ let _ = $pixel; bias }),*];
            let block = |b: usize| weights.first.wrapping_add(b * weights.quads * QUAD_BYTES);
            for k in 0..weights.quads {
                // SAFETY: every block has `quads` quads, and every position as many bytes by four.
                unsafe {
                    let weights: [__m512i; $count] = core::array::from_fn(|b| quad(block(b).wrapping_add(k * QUAD_BYTES)));
                    $(
                        let x = bytes4(at[$pixel].wrapping_add(4 * k));
                        multiply_add!(sums[$pixel], x, weights[], $blocks);
                    )*
                }
            }
            for (to, sums) in tile.iter_mut().zip(sums.as_flattened()) {
                put(to, *sums);
            }
        }
    };
}

dense!(dense_1, [0 1 2 3 4 5], [0], 1);
dense!(dense_2, [0 1 2 3 4 5], [0 1], 2);
dense!(dense_3, [0 1 2 3 4 5], [0 1 2], 3);
dense!(dense_4, [0 1 2 3 4 5], [0 1 2 3], 4);
// What is left of 7 × 7 positions.
dense!(rest_4, [0 1], [0 1 2 3], 4);

/// Runs a block for every row of taps and every quad, with the row's three vectors of weights, and the place of a column's
/// inputs.
macro_rules! each_row {
    ($rows:ident, $step:ident, $quads:ident, $weights:ident, |$a:ident, $b:ident, $c:ident, $at:ident| $body:block) => {
        for (row, bytes) in $rows.into_iter().enumerate() {
            for k in 0..$quads {
                let tap = |column: usize| $weights.wrapping_add(((3 * row + column) * $quads + k) * QUAD_BYTES);
                let $at = |column: usize| bytes.wrapping_add(column * $step + 4 * k);
                // SAFETY: nine taps of `quads` quads; the positions of all outputs' taps.
                unsafe {
                    let [$a, $b, $c] = [quad(tap(0)), quad(tap(1)), quad(tap(2))];
                    $body
                }
            }
        }
    };
}

/// Defines the sums of neighbouring outputs of one row: three taps a row, each vector of inputs by `$load`. Of few outputs, the
/// middle taps have sums `apart`: an instruction waits for the sum before.
macro_rules! taps {
    ($name:ident, $load:ident, [$($pixel:tt)*], $count:literal) => {
        taps!(fn $name, $count, |rows, step, quads, weights, sums| {
            let mut sums = sums;
            each_row!(rows, step, quads, weights, |a, b, c, at| {
                $(
                    let sum = _mm512_dpbusd_epi32(sums[$pixel], $load(at(STRIDE * $pixel)), a);
                    let sum = _mm512_dpbusd_epi32(sum, $load(at(STRIDE * $pixel + 1)), b);
                    sums[$pixel] = _mm512_dpbusd_epi32(sum, $load(at(STRIDE * $pixel + 2)), c);
                )*
            });
            sums
        });
    };
    (apart $name:ident, $load:ident, [$($pixel:tt)*], $count:literal) => {
        taps!(fn $name, $count, |rows, step, quads, weights, sums| {
            let (mut sums, mut middle) = (sums, [_mm512_setzero_si512(); $count]);
            each_row!(rows, step, quads, weights, |a, b, c, at| {
                $(
                    let sum = _mm512_dpbusd_epi32(sums[$pixel], $load(at(STRIDE * $pixel)), a);
                    middle[$pixel] = _mm512_dpbusd_epi32(middle[$pixel], $load(at(STRIDE * $pixel + 1)), b);
                    sums[$pixel] = _mm512_dpbusd_epi32(sum, $load(at(STRIDE * $pixel + 2)), c);
                )*
            });
            [$(_mm512_add_epi32(sums[$pixel], middle[$pixel])),*]
        });
    };
    (
        fn $name:ident, $count:literal,
        |$rows:ident, $step:ident, $quads:ident, $weights:ident, $sums:ident| $body:block
    ) => {
        /// Adds nine taps of `quads` quads to the sums.
        ///
        /// # Safety
        /// As [`Isa::grouped`]; `weights` are vectors by tap and quad.
        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn $name<const STRIDE: usize>(
            $rows: [*const u8; 3],
            $step: usize,
            $quads: usize,
            $weights: *const u8,
            $sums: [__m512i; $count],
        ) -> [__m512i; $count] {
            $body
        }
    };
}

taps!(taps4_14, bytes4, [0 1 2 3 4 5 6 7 8 9 10 11 12 13], 14);
taps!(taps8_14, bytes8, [0 1 2 3 4 5 6 7 8 9 10 11 12 13], 14);
taps!(taps16_14, bytes16, [0 1 2 3 4 5 6 7 8 9 10 11 12 13], 14);
taps!(apart taps4_7, bytes4, [0 1 2 3 4 5 6], 7);
taps!(apart taps8_7, bytes8, [0 1 2 3 4 5 6], 7);
taps!(apart taps16_7, bytes16, [0 1 2 3 4 5 6], 7);

/// Lane 4 · i + j of what lies in lane 4 · j + i.
const TRANSPOSED: Lanes<i32> = Lanes([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]);
/// Even lanes of two vectors.
const EVEN: Lanes<i32> = Lanes([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]);
/// Odd lanes of two vectors.
const ODD: Lanes<i32> = Lanes([1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31]);
/// Defines the sums of one row's outputs for groups of any width.
macro_rules! grouped {
    ($name:ident, $taps4:ident, $taps8:ident, $taps16:ident, $count:literal) => {
        /// # Safety
        /// As [`Isa::grouped`].
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn $name<const STRIDE: usize>(row: &Row<'_>, tile: &mut Tile) {
            let &Row { inputs, step, quads, weights, .. } = row;
            let (bias, zero) = (lanes(&row.params.bias), [_mm512_setzero_si512(); $count]);
            let arranged = row.arranged.0.as_ptr().cast::<u8>();
            // SAFETY: the caller's; arranged weights are nine vectors a group of quads.
            let sums: [__m512i; $count] = unsafe {
                match quads {
                    1 => $taps16::<STRIDE>(inputs, step, 1, arranged, [bias; $count]),
                    2 => {
                        let second = inputs.map(|input| input.wrapping_add(8));
                        let first = $taps8::<STRIDE>(inputs, step, 1, arranged, zero);
                        let mut kept = [Lanes([0; BLOCK]); $count];
                        kept.iter_mut().zip(first).for_each(|(to, sums)| put(to, sums));
                        let sums = $taps8::<STRIDE>(second, step, 1, arranged.wrapping_add(9 * QUAD_BYTES), zero);
                        core::array::from_fn(|i| {
                            let kept = lanes(&kept[i]);
                            let even = _mm512_permutex2var_epi32(kept, lanes(&EVEN), sums[i]);
                            let odd = _mm512_permutex2var_epi32(kept, lanes(&ODD), sums[i]);
                            _mm512_add_epi32(bias, _mm512_add_epi32(even, odd))
                        })
                    }
                    _ => $taps4::<STRIDE>(inputs, step, quads, weights, [bias; $count]),
                }
            };
            let places = tile.iter_mut().skip(row.block).step_by(row.blocks);
            places.zip(sums).for_each(|(to, sums)| put(to, sums));
        }
    };
}

grouped!(grouped_14, taps4_14, taps8_14, taps16_14, 14);
grouped!(grouped_7, taps4_7, taps8_7, taps16_7, 7);

/// What is the same for all vectors of a tile.
struct Rounding {
    high: __m512,
    zero_point: __m512i,
    low_bytes: __m512i,
    order: __m512i,
}

impl Rounding {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new(finish: &Finish<'_>) -> Self {
        let y = finish.requantize;
        Rounding {
            high: _mm512_set1_ps(y.high()),
            zero_point: _mm512_set1_epi16(i16::from(y.zero_point()) + 128),
            low_bytes: _mm512_set1_epi8((i16::from(y.q_min()) + 128) as u8 as i8),
            order: lanes(&TRANSPOSED),
        }
    }

    /// The bytes of four vectors of steps, in their order. Steps above the bound are cut in float, where they cannot
    /// overflow; those below saturate on the way to bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn bytes(&self, steps: [__m512; 4]) -> __m512i {
        let [a, b, c, d] = steps.map(|steps| _mm512_cvtps_epi32(_mm512_min_ps(steps, self.high)));
        let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), self.zero_point);
        let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), self.zero_point);
        let bytes = _mm512_permutexvar_epi32(self.order, _mm512_packus_epi16(ab, cd));
        _mm512_max_epu8(bytes, self.low_bytes)
    }
}

/// `float(sum) · multiplier`.
#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(sums: &Sums, params: &Params) -> __m512 {
    // SAFETY: the array has 64 bytes and starts at a multiple of 64.
    let multiplier = unsafe { _mm512_load_ps(params.multiplier.0.as_ptr()) };
    _mm512_mul_ps(_mm512_cvtepi32_ps(lanes(sums)), multiplier)
}

/// What a tile is added to: [`Added`] as a constant.
const NOTHING: u8 = 0;
const CODES: u8 = 1;
const SUMS: u8 = 2;

/// See [`Isa::finish`]; of `BLOCKS` blocks, to which `ADDED` is added.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn finish<const BLOCKS: usize, const ADDED: u8>(tile: &Tile, finish: &Finish<'_>, output: *mut u8) {
    let rounding = Rounding::new(finish);
    let transposed = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let count = finish.pixels * BLOCKS;
    let stride = finish.stride;
    let place = |v: usize| v / BLOCKS * stride + v % BLOCKS * BLOCK;
    // A macro, because a closure of this size becomes a call.
    macro_rules! steps {
        ($v:expr) => {{
            let v = $v;
            let steps = scaled(&tile[v], &finish.params[v % BLOCKS]);
            match finish.added {
                Added::Codes { at, zero_point, multiplier } if ADDED == CODES => {
                    // SAFETY: the caller vouches for sixteen bytes of every block of every position.
                    let bytes = unsafe { _mm_loadu_si128(at.wrapping_add(place(v)).cast()) };
                    let codes = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(zero_point + 128));
                    _mm512_add_ps(steps, _mm512_mul_ps(_mm512_cvtepi32_ps(codes), _mm512_set1_ps(multiplier)))
                }
                Added::Sums { sums, params } if ADDED == SUMS => {
                    _mm512_add_ps(steps, scaled(&sums[v], &params[v % BLOCKS]))
                }
                _ => steps,
            }
        }};
    }
    let last = count - 1;
    let mut first = 0;
    while first < count {
        let steps = [
            steps!(first),
            steps!((first + 1).min(last)),
            steps!((first + 2).min(last)),
            steps!((first + 3).min(last)),
        ];
        let mut bytes = rounding.bytes(steps);
        if finish.transposed {
            bytes = _mm512_shuffle_epi8(bytes, transposed);
        }
        if BLOCKS == 4 {
            // SAFETY: the caller vouches for 64 bytes of every position.
            unsafe { _mm512_storeu_si512(output.wrapping_add(place(first)).cast(), bytes) };
        } else {
            // What lies beyond the last vector is the last vector again.
            let at = [first, first + 1, first + 2, first + 3].map(|v| output.wrapping_add(place(v.min(last))));
            // SAFETY: the caller vouches for sixteen bytes of every block of every position.
            unsafe {
                _mm_storeu_si128(at[0].cast(), _mm512_castsi512_si128(bytes));
                _mm_storeu_si128(at[1].cast(), _mm512_extracti32x4_epi32::<1>(bytes));
                _mm_storeu_si128(at[2].cast(), _mm512_extracti32x4_epi32::<2>(bytes));
                _mm_storeu_si128(at[3].cast(), _mm512_extracti32x4_epi32::<3>(bytes));
            }
        }
        first += 4;
    }
}

/// [`finish()`] for what is added.
///
/// # Safety
/// As [`Isa::finish`].
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn finish_any<const BLOCKS: usize>(tile: &Tile, what: &Finish<'_>, output: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match what.added {
            Added::Nothing => finish::<BLOCKS, NOTHING>(tile, what, output),
            Added::Codes { .. } => finish::<BLOCKS, CODES>(tile, what, output),
            Added::Sums { .. } => finish::<BLOCKS, SUMS>(tile, what, output),
        }
    }
}

/// See [`Isa::weight_sums`].
///
/// # Safety
/// As there.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn weight_sums(weights: *const u8, quads: usize) -> [i32; BLOCK] {
    let (ones, mut sums) = (_mm512_set1_epi8(1), [_mm512_setzero_si512(); 4]);
    let mut k = 0;
    while k < quads {
        for (i, sums) in sums.iter_mut().enumerate().take(quads - k) {
            // SAFETY: k + i < quads.
            let weights = unsafe { quad(weights.wrapping_add((k + i) * QUAD_BYTES)) };
            *sums = _mm512_dpbusd_epi32(*sums, ones, weights);
        }
        k += 4;
    }
    let [a, b, c, d] = sums;
    let mut total = Lanes([0; BLOCK]);
    put(&mut total, _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d)));
    total.0
}

/// See [`Isa::spin`].
#[target_feature(enable = "avx512f,avx512vnni")]
fn spin(rounds: u32) -> u64 {
    let (x, w) = (_mm512_set1_epi8(3), _mm512_set1_epi8(-5));
    let mut sums = [_mm512_setzero_si512(); 24];
    for _ in 0..rounds {
        multiply_add!(sums, x, w, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23]);
    }
    black_box(sums);
    u64::from(rounds) * 24 * 64
}

// SAFETY: every function reads and writes what `Isa` says: the tiles above have 6 × 4 and 14 positions.
unsafe impl Isa for Avx512Vnni {
    const STORAGE: Storage = Storage::Biased;
    const DENSE: [usize; 2] = [6, 4];
    const ROW: usize = 14;

    unsafe fn weight_sums(weights: *const u8, quads: usize) -> [i32; BLOCK] {
        // SAFETY: the caller's.
        unsafe { weight_sums(weights, quads) }
    }

    unsafe fn dense(positions: &Positions, weights: Weights, params: &[Params; MOST_BLOCKS], sums: &mut Tile) {
        // SAFETY: the caller's.
        unsafe {
            match (weights.blocks, positions.count) {
                (1, _) => dense_1(&positions.at, weights, params, sums),
                (2, _) => dense_2(&positions.at, weights, params, sums),
                (3, _) => dense_3(&positions.at, weights, params, sums),
                (_, ..=2) => rest_4(&positions.at, weights, params, sums),
                _ => dense_4(&positions.at, weights, params, sums),
            }
        }
    }

    unsafe fn grouped<const STRIDE: usize>(row: &Row<'_>, sums: &mut Tile) {
        // SAFETY: the caller's.
        unsafe {
            match row.pixels {
                ..=7 => grouped_7::<STRIDE>(row, sums),
                _ => grouped_14::<STRIDE>(row, sums),
            }
        }
    }

    unsafe fn linear(inputs: &[[i16; QUAD]], weights: &[[u8; QUAD_BYTES]], sums: &mut [i32; BLOCK]) {
        // SAFETY: the caller's. Bound by memory, so that half vectors are enough.
        unsafe { linear(inputs, weights, sums) }
    }

    unsafe fn spin(rounds: u32) -> u64 {
        // SAFETY: the caller's.
        unsafe { spin(rounds) }
    }

    unsafe fn finish(sums: &Tile, tile: &Finish<'_>, output: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            match tile.blocks {
                1 => finish_any::<1>(sums, tile, output),
                2 => finish_any::<2>(sums, tile, output),
                3 => finish_any::<3>(sums, tile, output),
                _ => finish_any::<4>(sums, tile, output),
            }
        }
    }
}
