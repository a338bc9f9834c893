//! Convolutions with fewer multiplications, by Winograd's minimal filtering.
//!
//! Two neighbouring outputs of a kernel with two taps,
//!
//! ```text
//! y0 = x0 g0 + x1 g1        y1 = x1 g0 + x2 g1,
//! ```
//!
//! take four products as they stand, and three if inputs and taps are added up before they are multiplied:
//!
//! ```text
//! m0 = (x0 - x1) g0         m1 = x1 (g0 + g1)         m2 = (x1 - x2) g1
//! y0 = m0 + m1              y1 = m1 - m2
//! ```
//!
//! In both directions of an image that is 9 products for 2 x 2 outputs instead of 16; with three taps 16 instead of 36. With
//! many channels each product is one of matrices, and the additions before and after it are few beside it: C for every C^2.
//! All coefficients are 0, 1, -1 and 1/2, so that rounding errors stay as small as those of the plain sums.
//!
//! A stride of s splits the input into s lattices in each direction, which are convolved on their own and added up before
//! the last step. So a kernel of 4 with stride 2 counts as four kernels of 2 x 2, and its transpose, by output phases, too.
//!
//! Source: S. Winograd, "Arithmetic Complexity of Computations" (1980); A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (arXiv 1509.09308).

mod scheme;
pub(crate) mod weight;

use std::ops::Range;

use rayon::prelude::*;

use scheme::{Restore, TransformPixels, TransformSquare};

use crate::cpu::gemm::{Begin, Rows, Run, Sums, TERMS, Target, panel};
use crate::cpu::lanes::run_widest;
use crate::cpu::taps::{Gather, Phase};
use crate::cpu::{Scratch, chunks};

/// Channels that are transformed at a time: one vector of the widest.
const LANES: usize = 16;

/// Channels in times channels out below which the additions cost more than the products they save.
const CHANNELS: usize = 32 * 64;

/// Tiles of 2 x 2 outputs that are worked on together: their products for 128 channels are a third of the second-level cache.
const TILES: usize = 64;

/// Images of a task. Together they fill the last group of eight tiles better than each by itself.
const IMAGES: usize = 4;

/// Inputs of one axis that share their taps: output j reads input `step (j + t) + first` through tap t.
struct Lattice {
    first: isize,
    step: usize,
    /// Kernel indices.
    taps: Vec<usize>,
}

/// The lattices of a phase where each has two, or each has three taps in a row.
fn lattices(phase: &Phase) -> Option<Vec<Lattice>> {
    let step = phase.stride;
    let of = |q: usize| {
        let taps = phase.taps.iter().filter(|(_, offset)| offset.rem_euclid(step as isize) == q as isize);
        let (kernel, offsets): (Vec<usize>, Vec<isize>) = taps.copied().unzip();
        let in_a_row = offsets.windows(2).all(|pair| pair[1] - pair[0] == step as isize);
        (in_a_row && matches!(kernel.len(), 2 | 3)).then(|| Lattice { first: offsets[0], step, taps: kernel })
    };
    (0..step).map(of).collect()
}

/// The number of taps that all lattices of these phases have, where one scheme fits all.
fn taps(axes: &[Vec<Vec<Lattice>>; 2]) -> Option<usize> {
    let mut counts = axes.iter().flatten().flatten().map(|lattice| lattice.taps.len());
    let first = counts.next()?;
    counts.all(|count| count == first).then_some(first)
}

fn pays(channels: [usize; 2]) -> bool {
    channels[0] * channels[1] >= CHANNELS && channels.iter().all(|c| c.is_multiple_of(LANES))
}

/// A convolution that these schemes apply to.
pub(crate) struct Winograd<'a> {
    gather: &'a Gather<'a, f32>,
    /// For each axis and phase.
    lattices: [Vec<Vec<Lattice>>; 2],
    taps: usize,
}

impl<'a> Winograd<'a> {
    /// Whether the schemes apply, and pay. In f64, the oracle's type, convolutions are always computed as they are defined.
    pub fn of(gather: &'a Gather<'a, f32>) -> Option<Self> {
        if gather.groups != 1 || !pays([gather.input[2], gather.output[2]]) {
            return None;
        }
        let axis = |axis: usize| gather.phases[axis].iter().map(lattices).collect::<Option<Vec<_>>>();
        let lattices = [axis(0)?, axis(1)?];
        Some(Winograd { gather, taps: taps(&lattices)?, lattices })
    }

    /// y = the convolution of each image of x.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let (output, weight) = (self.gather.output, self.weight());
        let size: usize = output.iter().product();
        let images = y.len() / size.max(1);
        if images >= IMAGES {
            let whole = |start: usize, y: &mut [f32]| {
                let first = start / size;
                self.rows(x, first..first + y.len() / size, 0..output[0], &weight, y);
            };
            return chunks(y, IMAGES * size, whole);
        }
        // Few images: several tasks for each, of whole tiles.
        let tile = 2 * self.gather.phases[0].len();
        let rows = (output[0].div_ceil(4)).next_multiple_of(tile) * output[1] * output[2];
        for (image, y) in y.chunks_mut(size.max(1)).enumerate() {
            chunks(y, rows, |start, y| {
                let first = start / (output[1] * output[2]);
                self.rows(x, image..image + 1, first..first + y.len() / (output[1] * output[2]), &weight, y);
            });
        }
    }

    fn products(&self) -> usize {
        (self.taps + 1) * (self.taps + 1)
    }

    /// Each pair of a vertical and a horizontal lattice, pair of phases by pair of phases.
    fn pairs(&self) -> impl Iterator<Item = [&Lattice; 2]> {
        let [vertical, horizontal] = &self.lattices;
        let phases = vertical.iter().flat_map(move |v| horizontal.iter().map(move |h| (v, h)));
        phases.flat_map(|(v, h)| v.iter().flat_map(move |v| h.iter().map(move |h| [v, h])))
    }

    /// The transformed weight, as the right side of matrix products: for each pair of lattices, panel of output channels
    /// and product the panel's rows, one for each input channel.
    fn weight(&self) -> Scratch<f32> {
        let (g, wide) = (self.gather, panel::<f32>());
        let ([_, _, c_in], [_, _, c_out], [kh, kw]) = (g.input, g.output, g.kernel);
        let (pairs, panels): (Vec<_>, _) = (self.pairs().collect(), c_out.div_ceil(wide));
        let block = self.products() * c_in * wide;
        let mut weight = Scratch::new(pairs.len() * panels * block);
        weight.par_chunks_mut(block).enumerate().for_each(|(i, block)| {
            let [v, h] = pairs[i / panels];
            let at = |ky: usize, kx: usize, k: usize, o: usize| match g.to_small {
                true => ((o * kh + v.taps[ky]) * kw + h.taps[kx]) * c_in + k,
                false => ((k * kh + v.taps[ky]) * kw + h.taps[kx]) * c_out + o,
            };
            let next = if g.to_small { kh * kw * c_in } else { 1 };
            for (k, first) in (0..c_in).flat_map(|k| (0..wide).step_by(LANES).map(move |first| (k, first))) {
                let o = i % panels * wide + first;
                if o >= c_out {
                    continue;
                }
                let mut kernel = [0.0; 9 * LANES];
                for (tap, lanes) in kernel.chunks_mut(LANES).take(self.taps * self.taps).enumerate() {
                    let from = g.weight[at(tap / self.taps, tap % self.taps, k, o)..].iter().step_by(next);
                    lanes.iter_mut().zip(from).for_each(|(lane, &w)| *lane = w);
                }
                let to = &mut block[k * wide + first..];
                let (taps, apart) = (self.taps, [LANES, c_in * wide]);
                run_widest(TransformSquare { taps, collect: false, from: &kernel, apart, channels: LANES, to });
            }
        });
        weight
    }

    /// Output rows `rows` of some images.
    fn rows(&self, x: &[f32], images: Range<usize>, rows: Range<usize>, weight: &[f32], y: &mut [f32]) {
        let ([_, _, c_in], [_, _, c_out]) = (self.gather.input, self.gather.output);
        let (products, wide) = (self.products(), panel::<f32>());
        let block = products * c_in * c_out.next_multiple_of(wide);
        let zeros = vec![0.0; c_in.max(c_out)];
        let (bias, zeros) = (self.gather.bias.unwrap_or(&zeros[..c_out]), &zeros[..c_in]);
        let mut inputs = Scratch::new(products * TILES * c_in);
        let mut outputs = Scratch::new(products * TILES * c_out);
        let mut weights = weight.chunks(block);
        for (v, vertical) in self.gather.phases[0].iter().zip(&self.lattices[0]) {
            let lines = v.within(&rows);
            for (h, horizontal) in self.gather.phases[1].iter().zip(&self.lattices[1]) {
                let size = [lines.len().div_ceil(2), h.count.div_ceil(2)];
                let count = images.len() * size[0] * size[1];
                let weight: Vec<&[f32]> = weights.by_ref().take(vertical.len() * horizontal.len()).collect();
                for first in (0..count).step_by(TILES) {
                    let tiles = first..count.min(first + TILES);
                    let place = |tile: usize| {
                        let (image, line) = (tile / (size[0] * size[1]), tile / size[1] % size[0]);
                        [image, lines.start + 2 * line, 2 * (tile % size[1])]
                    };
                    let pairs = vertical.iter().flat_map(|v| horizontal.iter().map(move |h| [v, h]));
                    for (i, (pair, weight)) in pairs.zip(&weight).enumerate() {
                        for (to, [image, i, j]) in tiles.clone().map(place).enumerate() {
                            let pixels = self.pixels(x, pair, [images.start + image, i, j], zeros);
                            let (apart, to) = (TILES * c_in, &mut inputs[to * c_in..]);
                            let panel = [c_in; 2];
                            run_widest(TransformPixels { taps: self.taps, spread: false, x: &pixels, apart, panel, to });
                        }
                        let begin = if i == 0 { Begin::Zero } else { Begin::Add };
                        self.multiply(&inputs, weight, begin, tiles.len(), &mut outputs);
                    }
                    for (from, [image, i, j]) in tiles.map(place).enumerate() {
                        let out = self.outputs([v, h], [image, i, j], [&lines, &rows]);
                        let (products, apart) = (&outputs[from * c_out..], TILES * c_out);
                        run_widest(Restore { taps: self.taps, products, apart, bias, out, y });
                    }
                }
            }
        }
    }

    /// The inputs of the outputs at (i, j) and their neighbours, line by line.
    fn pixels<'x>(&self, x: &'x [f32], lattices: [&Lattice; 2], at: [usize; 3], zeros: &'x [f32]) -> [&'x [f32]; 16] {
        pixels(x, self.gather.input, lattices, at, (self.taps + 1, zeros))
    }

    /// The products of all tiles' inputs with the weight.
    fn multiply(&self, inputs: &[f32], weight: &[f32], begin: Begin<'_, f32>, tiles: usize, outputs: &mut [f32]) {
        let ([_, _, c_in], [_, _, c_out], wide) = (self.gather.input, self.gather.output, panel::<f32>());
        for (i, weight) in weight.chunks(c_in * wide).enumerate() {
            let (product, first) = (i % self.products(), i / self.products() * wide);
            let (inputs, c) = (&inputs[product * TILES * c_in..], &mut outputs[product * TILES * c_out..]);
            for term in (0..c_in).step_by(TERMS) {
                let runs = [Run { a: term, b: term * wide, len: TERMS.min(c_in - term) }];
                let sums = Sums::new(inputs, weight, [1, wide], &runs);
                let begin = if term == 0 { begin } else { Begin::Add };
                let target = Target { c, first, columns: wide.min(c_out - first) };
                sums.tiles(&Rows::dense(tiles, [c_in, c_out]), 0, begin, target);
            }
        }
    }

    /// Where the four outputs of the tile at (i, j) are among `rows`, those that exist.
    fn outputs(&self, [v, h]: [&Phase; 2], [image, i, j]: [usize; 3], [lines, rows]: [&Range<usize>; 2]) -> [Option<usize>; 4] {
        let [_, width, c] = self.gather.output;
        std::array::from_fn(|k| {
            let (i, j) = (i + k / 2, j + k % 2);
            let row = image * rows.len() + (v.start + i * v.step).wrapping_sub(rows.start);
            (i < lines.end && j < h.count).then_some((row * width + h.start + j * h.step) * c)
        })
    }
}

/// The n x n inputs of the outputs at (i, j) and their neighbours, line by line; zeros outside of the image.
fn pixels<'x>(
    x: &'x [f32],
    [height, width, c]: [usize; 3],
    [v, h]: [&Lattice; 2],
    [image, i, j]: [usize; 3],
    (n, zeros): (usize, &'x [f32]),
) -> [&'x [f32]; 16] {
    let at = |lattice: &Lattice, j: usize, size: usize| {
        let at = (j * lattice.step) as isize + lattice.first;
        usize::try_from(at).ok().filter(|&at| at < size)
    };
    let inside = |k: usize| Some(((image * height + at(v, i + k / n, height)?) * width + at(h, j + k % n, width)?) * c);
    std::array::from_fn(|k| if k < n * n { inside(k).map_or(zeros, |at| &x[at..][..c]) } else { zeros })
}
