//! Accumulators: equation (3) for the sixteen output channels of one block of weights, straight from the input tensor, at
//! one output position or at [`TILE`] of them.

use cardinal_format::Window;
use cardinal_format::weights::{BLOCK, QUAD, QUAD_BYTES, WeightLayout};

use crate::kernels::{ConvArgs, ProjectionArgs, Storage};

/// Output positions that share one pass over a block's weights.
pub(super) const TILE: usize = 4;

/// Accumulators of one output position: sixteen channels.
pub(super) type Sums = [i32; BLOCK];

/// Adds Σ x·w over one run for `N` positions, where x is a byte with the bits of `flip` inverted. `weights` holds
/// a whole number of quads; a run that ends inside a quad meets zero weights there.
#[inline(always)]
pub(super) fn accumulate<const N: usize>(sums: &mut [Sums; N], runs: [&[u8]; N], flip: u8, weights: &[u8]) {
    let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
    let split = runs.map(|run| run.as_chunks::<QUAD>());
    // A copy that nothing else can see: it stays in registers.
    let mut local = *sums;
    for (k, quad) in weights.iter().enumerate() {
        for (sums, (whole, rest)) in local.iter_mut().zip(&split) {
            let x = whole.get(k).copied().unwrap_or_else(|| partial(rest));
            multiply_add(sums, [x.map(|byte| (byte ^ flip) as i8); BLOCK], quad);
        }
    }
    *sums = local;
}

/// The last one to three bytes of a run, filled up with zeros.
#[inline(always)]
fn partial(rest: &[u8]) -> [u8; QUAD] {
    let mut x = [0; QUAD];
    x.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    x
}

/// One quad of inputs per channel times one quad of weights per channel. Vectorizes to widening multiply-adds.
#[inline(always)]
fn multiply_add(sums: &mut Sums, x: [[i8; QUAD]; BLOCK], weights: &[u8; QUAD_BYTES]) {
    let (weights, _) = weights.as_chunks::<QUAD>();
    for ((sum, x), w) in sums.iter_mut().zip(x).zip(weights) {
        let [x0, x1, x2, x3] = x.map(i32::from);
        let [w0, w1, w2, w3] = w.map(|w| i32::from(w as i8));
        *sum += x0 * w0 + x1 * w1 + x2 * w2 + x3 * w3;
    }
}

/// Where the runs of one output position start in the input.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// Row and column of the first tap, which may lie outside: negative numbers wrap.
    row: usize,
    column: usize,
}

impl Position {
    /// Row and column so many rows and columns further.
    #[inline(always)]
    fn shifted(self, (rows, columns): (usize, usize)) -> (usize, usize) {
        (self.row.wrapping_add(rows), self.column.wrapping_add(columns))
    }
}

/// Geometry that does not change within one convolution.
pub(super) struct Plan<'a> {
    input: &'a [u8],
    height: usize,
    width: usize,
    channels: usize,
    window: Window,
    layout: WeightLayout,
    pad_codes: [i8; QUAD],
    /// Inverting these bits of a byte gives its code: the top bit of a pixel.
    flip: u8,
}

impl<'a> Plan<'a> {
    #[inline(always)]
    pub(super) fn new<const FLIP: u8>(args: &ConvArgs<'a>) -> Self {
        Plan {
            input: args.input,
            height: args.input_shape.height as usize,
            width: args.input_shape.width as usize,
            channels: args.input_shape.channels as usize,
            window: args.window,
            layout: args.layout,
            pad_codes: args.pad_codes,
            flip: if args.pixels { Storage::Biased.flip() } else { FLIP },
        }
    }

    #[inline(always)]
    pub(super) fn of_projection<const FLIP: u8>(args: &ProjectionArgs<'a>) -> Self {
        Plan {
            input: args.input,
            height: args.input_shape.height as usize,
            width: args.input_shape.width as usize,
            channels: args.input_shape.channels as usize,
            window: Window { stride: args.stride, ..Window::POINT },
            layout: args.layout,
            // Nothing is padded.
            pad_codes: [0; QUAD],
            flip: FLIP,
        }
    }

    #[inline(always)]
    pub(super) fn position(&self, y: usize, x: usize) -> Position {
        let [down, across] = self.window.stride.map(usize::from);
        let [top, left, ..] = self.window.padding.map(usize::from);
        Position { row: (y * down).wrapping_sub(top), column: (x * across).wrapping_sub(left) }
    }

    /// Row and column of each run's first tap, from the window's corner.
    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [rows, columns] = self.window.kernel.map(usize::from);
        let columns = if self.layout.row_runs() { 1 } else { columns };
        (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
    }

    /// The channels of one tap, if it lies inside the input.
    #[inline(always)]
    fn tap(&self, at: Position, tap: (usize, usize)) -> Option<&'a [u8]> {
        let (row, column) = at.shifted(tap);
        let start = (row.wrapping_mul(self.width).wrapping_add(column)).wrapping_mul(self.channels);
        let inside = row < self.height && column < self.width;
        if inside { self.input.get(start..start + self.channels) } else { None }
    }

    /// The bytes of a run, if all of its taps lie inside the input.
    #[inline(always)]
    fn run(&self, at: Position, run: (usize, usize), first_channel: usize) -> Option<&'a [u8]> {
        let (row, column) = at.shifted(run);
        let more = if self.layout.row_runs() { usize::from(self.window.kernel[1]) - 1 } else { 0 };
        let last = column.wrapping_add(more);
        if row >= self.height || column >= self.width || last >= self.width {
            return None;
        }
        let start = (row * self.width + column) * self.channels + first_channel;
        self.input.get(start..start + self.layout.run_len())
    }

    /// One quad of a run, with pad codes for taps outside the input.
    #[inline(always)]
    fn padded_quad(&self, at: Position, run: (usize, usize), first_channel: usize, quad: usize) -> [i8; QUAD] {
        let (row, column) = at.shifted(run);
        core::array::from_fn(|i| {
            let k = quad * QUAD + i;
            if k >= self.layout.run_len() {
                return 0;
            }
            // In a row run, byte k belongs to tap k / channels.
            let across = if self.layout.row_runs() { k.checked_div(self.channels).unwrap_or(0) } else { 0 };
            let (column, channel) = (column.wrapping_add(across), first_channel + k - across * self.channels);
            if row >= self.height || column >= self.width {
                return self.pad_codes.get(channel % QUAD).copied().unwrap_or(0);
            }
            let at = (row * self.width + column) * self.channels + channel;
            (self.input.get(at).copied().unwrap_or(0) ^ self.flip) as i8
        })
    }
}

/// `TILE` positions of a dense block, or `None` if one of their runs leaves the input.
#[inline(always)]
pub(super) fn dense_tile(
    plan: &Plan<'_>,
    tile: [Position; TILE],
    first_channel: usize,
    weights: &[u8],
    bias: &Sums,
) -> Option<[Sums; TILE]> {
    let layout = &plan.layout;
    let mut sums = [*bias; TILE];
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        let mut runs: [&[u8]; TILE] = Default::default();
        for (bytes, at) in runs.iter_mut().zip(tile) {
            *bytes = plan.run(at, run, first_channel)?;
        }
        accumulate(&mut sums, runs, plan.flip, weights);
    }
    Some(sums)
}

/// One position of a dense block, anywhere.
#[inline(always)]
pub(super) fn dense_one(plan: &Plan<'_>, at: Position, first_channel: usize, weights: &[u8], bias: &Sums) -> Sums {
    let layout = &plan.layout;
    let mut sums = [*bias];
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        match plan.run(at, run, first_channel) {
            Some(bytes) => accumulate(&mut sums, [bytes], plan.flip, weights),
            None => {
                for (quad, weights) in weights.chunks_exact(QUAD_BYTES).enumerate() {
                    let x = plan.padded_quad(at, run, first_channel, quad).map(|code| code as u8);
                    accumulate(&mut sums, [&x], 0, weights);
                }
            }
        }
    }
    sums[0]
}

/// One position of a block whose outputs belong to several groups: every output channel has its own four inputs.
#[inline(always)]
pub(super) fn narrow_one(
    plan: &Plan<'_>,
    at: Position,
    first_input: &[usize; BLOCK],
    weights: &[u8],
    bias: &Sums,
) -> Sums {
    let layout = &plan.layout;
    let mut sums = *bias;
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        let tap = plan.tap(at, run);
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for (quad, weights) in weights.iter().enumerate() {
            let lanes = first_input.map(|first| {
                let Some(channels) = tap else { return plan.pad_codes };
                let quad = channels.get(first + quad * QUAD..).and_then(|rest| rest.first_chunk());
                quad.copied().unwrap_or_default().map(|byte| (byte ^ plan.flip) as i8)
            });
            multiply_add(&mut sums, lanes, weights);
        }
    }
    sums
}

/// As [`narrow_one`], where inputs and outputs of a group are `W` channels, 4 or 8: the block reads the sixteen channels
/// of its own numbers, and which lane gets which quad is known at compile time.
#[inline(always)]
pub(super) fn square_one<const W: usize>(
    plan: &Plan<'_>,
    at: Position,
    block: usize,
    weights: &[u8],
    bias: &Sums,
) -> Sums {
    let mut sums = *bias;
    let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
    for (run, weights) in plan.runs().zip(weights.chunks_exact(W / QUAD)) {
        let channels = plan.tap(at, run).and_then(|tap| tap.get(block * BLOCK..)?.first_chunk::<BLOCK>());
        let mut quads = [plan.pad_codes; BLOCK / QUAD];
        if let Some(channels) = channels {
            let (inside, _) = channels.as_chunks::<QUAD>();
            quads.iter_mut().zip(inside).for_each(|(to, from)| *to = from.map(|byte| (byte ^ plan.flip) as i8));
        }
        for (quad, weights) in weights.iter().enumerate() {
            let lane = |n: usize| quads.get(n / W * (W / QUAD) + quad).copied().unwrap_or_default();
            multiply_add(&mut sums, core::array::from_fn(lane), weights);
        }
    }
    sums
}
