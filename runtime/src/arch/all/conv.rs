//! Convolution with groups, straight from the input tensor: no im2col, no scratch.
//!
//! Loop order: blocks of sixteen output channels outside, output positions inside, so that a block's weights stay in
//! the nearest cache. Positions are taken [`TILE`] at a time where every one of their runs is dense and inside the
//! input; at the border, and for groups narrower than a block, one at a time.

use cardinal_format::ChannelBlock;
use cardinal_format::weights::{BLOCK, CHANNEL_BLOCK_BYTES, QUAD, QUAD_BYTES};

use crate::kernels::{ConvArgs, ResidualArgs};

/// Output positions that share one pass over a block's weights.
const TILE: usize = 4;

/// Accumulators of one output position: sixteen channels.
pub(super) type Sums = [i32; BLOCK];

/// Adds Σ x·w over one run for `N` positions, where x is a stored byte with the bits of `flip` inverted. `weights` holds
/// a whole number of quads; a run that ends inside a quad meets zero weights there.
#[inline(always)]
pub(super) fn accumulate<const N: usize>(sums: &mut [Sums; N], runs: [&[i8]; N], flip: i8, weights: &[u8]) {
    let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
    let split = runs.map(|run| run.as_chunks::<QUAD>());
    // A copy that nothing else can see: it stays in registers.
    let mut local = *sums;
    for (k, quad) in weights.iter().enumerate() {
        for (sums, (whole, rest)) in local.iter_mut().zip(&split) {
            let x = whole.get(k).copied().unwrap_or_else(|| partial(rest));
            multiply_add(sums, [x.map(|byte| byte ^ flip); BLOCK], quad);
        }
    }
    *sums = local;
}

/// The last one to three bytes of a run, filled up with zeros.
#[inline(always)]
fn partial(rest: &[i8]) -> [i8; QUAD] {
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
struct Position {
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
struct Plan<'a> {
    args: &'a ConvArgs<'a>,
    height: usize,
    width: usize,
    channels: usize,
    kernel_w: usize,
    /// Inverting these bits of a stored byte gives its code: the top bit of a pixel.
    flip: i8,
}

impl<'a> Plan<'a> {
    #[inline(always)]
    fn position(&self, y: usize, x: usize) -> Position {
        let [down, across] = self.args.window.stride.map(usize::from);
        let [top, left, ..] = self.args.window.padding.map(usize::from);
        Position { row: (y * down).wrapping_sub(top), column: (x * across).wrapping_sub(left) }
    }

    /// Row and column of each run's first tap, from the window's corner.
    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let columns = if self.args.layout.row_runs() { 1 } else { self.kernel_w };
        (0..usize::from(self.args.window.kernel[0])).flat_map(move |row| (0..columns).map(move |column| (row, column)))
    }

    /// The channels of one tap, if it lies inside the input.
    #[inline(always)]
    fn tap(&self, at: Position, tap: (usize, usize)) -> Option<&'a [i8]> {
        let (row, column) = at.shifted(tap);
        let start = (row.wrapping_mul(self.width).wrapping_add(column)).wrapping_mul(self.channels);
        let inside = row < self.height && column < self.width;
        if inside { self.args.input.get(start..start + self.channels) } else { None }
    }

    /// The bytes of a run, if all of its taps lie inside the input.
    #[inline(always)]
    fn run(&self, at: Position, run: (usize, usize), first_channel: usize) -> Option<&'a [i8]> {
        let (row, column) = at.shifted(run);
        let last = if self.args.layout.row_runs() { column.wrapping_add(self.kernel_w - 1) } else { column };
        if row >= self.height || column >= self.width || last >= self.width {
            return None;
        }
        let start = (row * self.width + column) * self.channels + first_channel;
        self.args.input.get(start..start + self.args.layout.run_len())
    }

    /// One quad of a run, with pad codes for taps outside the input.
    #[inline(always)]
    fn padded_quad(&self, at: Position, run: (usize, usize), first_channel: usize, quad: usize) -> [i8; QUAD] {
        let (row, column) = at.shifted(run);
        core::array::from_fn(|i| {
            let k = quad * QUAD + i;
            if k >= self.args.layout.run_len() {
                return 0;
            }
            // In a row run, byte k belongs to tap k / channels.
            let across = if self.args.layout.row_runs() { k.checked_div(self.channels).unwrap_or(0) } else { 0 };
            let (column, channel) = (column.wrapping_add(across), first_channel + k - across * self.channels);
            if row >= self.height || column >= self.width {
                return self.args.pad_codes.get(channel % QUAD).copied().unwrap_or(0);
            }
            let at = (row * self.width + column) * self.channels + channel;
            self.args.input.get(at).copied().unwrap_or(0) ^ self.flip
        })
    }
}

/// Equations (3), (5) and (6) of the quantization page.
#[inline(always)]
pub(crate) fn conv(args: &ConvArgs<'_>, output: &mut [i8]) {
    let plan = Plan {
        args,
        height: args.input_shape.height as usize,
        width: args.input_shape.width as usize,
        channels: args.input_shape.channels as usize,
        kernel_w: usize::from(args.window.kernel[1]),
        flip: if args.pixels { i8::MIN } else { 0 },
    };
    // Channels per group, where input and output have the same and no block is cut off.
    let square = plan.channels == args.layout.channels_out() && plan.channels.is_multiple_of(BLOCK);
    let width = square.then_some(args.layout.in_per_group());
    let out_width = (args.output_shape.width as usize).max(1);
    let positions = args.output_shape.height as usize * out_width;
    let (params, _) = args.channels.as_chunks::<CHANNEL_BLOCK_BYTES>();
    let blocks = args.weights.chunks_exact(args.layout.block_bytes().max(1));
    for (block, (weights, params)) in blocks.zip(params).enumerate() {
        let params = ChannelBlock::read(params);
        let first_input: [usize; BLOCK] =
            core::array::from_fn(|i| args.layout.first_input((block * BLOCK + i).min(args.layout.channels_out() - 1)));
        // All sixteen outputs read the same inputs.
        let dense = first_input.iter().all(|&c| c == first_input[0]);
        let (mut x, mut y, mut done) = (0, 0, 0);
        while done < positions {
            let tile: [Position; TILE] = core::array::from_fn(|i| {
                let past = x + i >= out_width;
                plan.position(y + usize::from(past), if past { (x + i) % out_width } else { x + i })
            });
            let taken = if dense && done + TILE <= positions && x + TILE <= 2 * out_width {
                dense_tile(&plan, tile, first_input[0], weights, &params.bias).map(|sums| {
                    for (i, sums) in sums.iter().enumerate() {
                        store(args, output, done + i, block, sums, &params);
                    }
                    TILE
                })
            } else {
                None
            };
            let taken = taken.unwrap_or_else(|| {
                let sums = match width {
                    _ if dense => dense_one(&plan, tile[0], first_input[0], weights, &params.bias),
                    Some(4) => square_one::<4>(&plan, tile[0], block, weights, &params.bias),
                    Some(8) => square_one::<8>(&plan, tile[0], block, weights, &params.bias),
                    _ => narrow_one(&plan, tile[0], &first_input, weights, &params.bias),
                };
                store(args, output, done, block, &sums, &params);
                1
            });
            done += taken;
            x += taken;
            while x >= out_width {
                (x, y) = (x - out_width, y + 1);
            }
        }
    }
}

/// `TILE` positions of a dense block, or `None` if one of their runs leaves the input.
#[inline(always)]
fn dense_tile(
    plan: &Plan<'_>,
    tile: [Position; TILE],
    first_channel: usize,
    weights: &[u8],
    bias: &Sums,
) -> Option<[Sums; TILE]> {
    let layout = &plan.args.layout;
    let mut sums = [*bias; TILE];
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        let mut runs: [&[i8]; TILE] = Default::default();
        for (bytes, at) in runs.iter_mut().zip(tile) {
            *bytes = plan.run(at, run, first_channel)?;
        }
        accumulate(&mut sums, runs, plan.flip, weights);
    }
    Some(sums)
}

/// One position of a dense block, anywhere.
#[inline(always)]
fn dense_one(plan: &Plan<'_>, at: Position, first_channel: usize, weights: &[u8], bias: &Sums) -> Sums {
    let layout = &plan.args.layout;
    let mut sums = [*bias];
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        match plan.run(at, run, first_channel) {
            Some(bytes) => accumulate(&mut sums, [bytes], plan.flip, weights),
            None => {
                for (quad, weights) in weights.chunks_exact(QUAD_BYTES).enumerate() {
                    let x = plan.padded_quad(at, run, first_channel, quad);
                    accumulate(&mut sums, [&x], 0, weights);
                }
            }
        }
    }
    sums[0]
}

/// One position of a block whose outputs belong to several groups: every output channel has its own four inputs.
#[inline(always)]
fn narrow_one(plan: &Plan<'_>, at: Position, first_input: &[usize; BLOCK], weights: &[u8], bias: &Sums) -> Sums {
    let layout = &plan.args.layout;
    let mut sums = *bias;
    for (run, weights) in plan.runs().zip(weights.chunks_exact((layout.run_quads() * QUAD_BYTES).max(1))) {
        let tap = plan.tap(at, run);
        let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
        for (quad, weights) in weights.iter().enumerate() {
            let lanes = first_input.map(|first| {
                let Some(channels) = tap else { return plan.args.pad_codes };
                let quad = channels.get(first + quad * QUAD..).and_then(|rest| rest.first_chunk());
                quad.copied().unwrap_or_default().map(|byte| byte ^ plan.flip)
            });
            multiply_add(&mut sums, lanes, weights);
        }
    }
    sums
}

/// As [`narrow_one`], where inputs and outputs of a group are `W` channels, 4 or 8: the block reads the sixteen channels
/// of its own numbers, and which lane gets which quad is known at compile time.
#[inline(always)]
fn square_one<const W: usize>(plan: &Plan<'_>, at: Position, block: usize, weights: &[u8], bias: &Sums) -> Sums {
    let mut sums = *bias;
    let (weights, _) = weights.as_chunks::<QUAD_BYTES>();
    for (run, weights) in plan.runs().zip(weights.chunks_exact(W / QUAD)) {
        let channels = plan.tap(at, run).and_then(|tap| tap.get(block * BLOCK..)?.first_chunk::<BLOCK>());
        let mut quads = [plan.args.pad_codes; BLOCK / QUAD];
        if let Some(channels) = channels {
            let (inside, _) = channels.as_chunks::<QUAD>();
            quads.iter_mut().zip(inside).for_each(|(to, from)| *to = from.map(|byte| byte ^ plan.flip));
        }
        for (quad, weights) in weights.iter().enumerate() {
            let lane = |n: usize| quads.get(n / W * (W / QUAD) + quad).copied().unwrap_or_default();
            multiply_add(&mut sums, core::array::from_fn(lane), weights);
        }
    }
    sums
}

/// Requantizes sixteen accumulators and writes those that are output channels.
#[inline(always)]
fn store(args: &ConvArgs<'_>, output: &mut [i8], position: usize, block: usize, acc: &Sums, p: &ChannelBlock) {
    let channels = args.layout.channels_out();
    let first = position * channels + block * BLOCK;
    let len = BLOCK.min(channels - block * BLOCK);
    let Some(to) = output.get_mut(first..first + len) else { return };
    let lanes = acc.iter().zip(&p.multiplier);
    let y = args.requantize;
    match args.residual {
        ResidualArgs::None => {
            for (to, (&acc, &m)) in to.iter_mut().zip(lanes) {
                *to = y.code(acc, m);
            }
        }
        ResidualArgs::Separate { codes, zero_point, multiplier } => {
            let codes = codes.get(first..first + len).unwrap_or_default();
            for ((to, (&acc, &m)), &r) in to.iter_mut().zip(lanes).zip(codes) {
                *to = y.code_with_residual(acc, m, i32::from(r) - i32::from(zero_point), multiplier);
            }
        }
        ResidualArgs::InPlace { zero_point, multiplier } => {
            for (to, (&acc, &m)) in to.iter_mut().zip(lanes) {
                *to = y.code_with_residual(acc, m, i32::from(*to) - i32::from(zero_point), multiplier);
            }
        }
    }
}
