//! Convolutions with fewer multiplications, by Winograd's minimal filtering.
//!
//! Two neighbouring outputs of a kernel with two taps,
//!
//! ```text
//! y0 = x0 g0 + x1 g1        y1 = x1 g0 + x2 g1,
//! ```
//!
//! take four products as they stand, and three if inputs and taps are added up before they are
//! multiplied:
//!
//! ```text
//! m0 = (x0 - x1) g0         m1 = x1 (g0 + g1)         m2 = (x1 - x2) g1
//! y0 = m0 + m1              y1 = m1 - m2
//! ```
//!
//! In both directions of an image that is 9 products for 2 x 2 outputs instead of 16; with three
//! taps 16 instead of 36. With many channels each product is one of matrices, and the additions
//! before and after it are few beside it: C for every C^2. With few channels the products of a tile
//! stay in registers instead ([`in_registers`]), and so cost no more than their additions. All coefficients
//! are 0, 1, -1 and 1/2, so that rounding errors stay as small as those of the plain sums.
//!
//! A stride of s splits the input into s lattices in each direction, which are convolved on their
//! own and added up before the last step. So a kernel of 4 with stride 2 counts as four kernels of
//! 2 x 2, and its transpose, by output phases, too.
//!
//! Source: S. Winograd, "Arithmetic Complexity of Computations" (1980); A. Lavin and S. Gray, "Fast
//! Algorithms for Convolutional Neural Networks" (arXiv 1509.09308).

mod in_registers;
mod polyphase;
mod transforms;
mod weight;

pub(crate) use in_registers::CHANNELS as IN_REGISTERS_CHANNELS_IN;
pub(crate) use polyphase::Polyphase;
pub(crate) use weight::backward_weight;

use std::ops::Range;

use rayon::prelude::*;

use half::bf16;
use in_registers::InRegisters;
use polyphase::PolyphaseComponent;
use transforms::{FilterTransform, OutputTransform, PixelTransform, TileWindow};

use crate::cpu::conv::plan::{ConvPlan, Epilogue, Phase};
use crate::cpu::gemm::{Accumulate, KC, KSegment, OutputTile, RowOffsets, TileProduct, nr};
use crate::cpu::simd::run_widest;
use crate::cpu::{GRAIN, Scratch, chunks};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::{DType, Stored};

/// Channels that are transformed at a time: one vector of the widest.
pub(crate) const VECTOR: usize = 16;

/// Tiles of 2 x 2 outputs that are worked on together: their products for 128 channels are a third
/// of the second-level cache.
const TILES: usize = 64;

/// Tiles that each product has room for: one more, lest the numbers of a tile, written together, be
/// a power of two apart and fall into one set of the cache.
const TILE_STRIDE: usize = TILES + 1;

/// Images of a task. Together they fill the last group of eight tiles better than each by itself.
const IMAGES: usize = 4;

/// What is worked on in one go: a pair of phases, and for each of its pairs of lattices their
/// weight.
struct PhasePair<'a> {
    phases: [&'a Phase; 2],
    pairs: Vec<([&'a PolyphaseComponent; 2], &'a [f32])>,
}

/// Where outputs go: on which lattices of an image of this size.
struct OutputGrid {
    size: [usize; 3],
    components: [PolyphaseComponent; 2],
}

/// y = the convolution of each image of x, which is of f32 or bf16.
pub(crate) fn convolve<T: Stored>(
    plan: &ConvPlan<T>,
    polyphase: &Polyphase,
    in_registers: bool,
    x: &[T],
    y: &mut [T],
    epilogue: &Epilogue<T>,
) {
    match T::DTYPE {
        DType::F32 => convolve_as::<T, f32>(plan, polyphase, in_registers, x, y, epilogue),
        _ => convolve_as::<T, bf16>(plan, polyphase, in_registers, x, y, epilogue),
    }
}

/// As [`convolve`], where T is S.
fn convolve_as<T: Stored, S: Stored<Compute = f32>>(
    plan: &ConvPlan<T>,
    polyphase: &Polyphase,
    in_registers: bool,
    x: &[T],
    y: &mut [T],
    epilogue: &Epilogue<T>,
) {
    let (Some(plan), Some(x), Some(y)) = (plan.as_type::<S>(), as_type(x), as_type_mut(y)) else {
        unreachable!("Winograd's algorithm is chosen for f32 and bf16 only");
    };
    let winograd = Winograd {
        plan: &plan,
        components: &polyphase.components,
        taps: polyphase.taps,
        few: in_registers,
    };
    winograd.run(x, y, &|start, part| {
        as_type(part)
            .into_iter()
            .for_each(|part| epilogue(start, part));
    });
}

/// A convolution that these schemes apply to.
struct Winograd<'a, T> {
    plan: &'a ConvPlan<'a, T>,
    /// For each axis and phase.
    components: &'a [Vec<Vec<PolyphaseComponent>>; 2],
    taps: usize,
    few: bool,
}

impl<'a, T: Stored<Compute = f32>> Winograd<'a, T> {
    fn run(&self, x: &[T], y: &mut [T], done: &Epilogue<T>) {
        let (output, weight) = (self.plan.output(), self.weight());
        let size: usize = output.iter().product();
        let images = y.len() / size.max(1);
        if images >= IMAGES {
            let whole = |start: usize, y: &mut [T]| {
                let first = start / size;
                self.rows(x, first..first + y.len() / size, 0..output[0], &weight, y);
                done(start, y);
            };
            return chunks(y, IMAGES * size, whole);
        }
        for (image, y) in y.chunks_mut(size.max(1)).enumerate() {
            if self.plan.phase_pairs().count() > 1 {
                self.by_phases(x, image, &weight, y, done);
                continue;
            }
            // Several tasks, of whole tiles.
            let rows = (output[0].div_ceil(4)).next_multiple_of(2) * output[1] * output[2];
            chunks(y, rows, |start, y| {
                let first = start / (output[1] * output[2]);
                self.rows(
                    x,
                    image..image + 1,
                    first..first + y.len() / (output[1] * output[2]),
                    &weight,
                    y,
                );
                done(image * size + start, y);
            });
        }
    }

    /// One image, its phases side by side: each in one go, so that every weight is read once.
    fn by_phases(&self, x: &[T], image: usize, weight: &[f32], y: &mut [T], done: &Epilogue<T>) {
        let ([_, width, c], phase_pairs, size_y) =
            (self.plan.output(), self.phase_pairs(weight), y.len());
        let largest = phase_pairs
            .iter()
            .map(|pair| pair.phases[0].count * pair.phases[1].count * c)
            .max();
        let size = largest.unwrap_or(0).max(1);
        let mut parts = Scratch::new(phase_pairs.len() * size);
        parts
            .par_chunks_mut(size)
            .zip(&phase_pairs)
            .for_each(|(part, pair)| {
                let [lines, columns] = pair.phases.map(|phase| phase.count);
                let plain = || PolyphaseComponent {
                    first: 0,
                    step: 1,
                    taps: Vec::new(),
                };
                let place = OutputGrid {
                    size: [lines, columns, c],
                    components: [plain(), plain()],
                };
                self.phase(pair, x, image..image + 1, 0..lines, place, part);
            });
        let row = width * c;
        chunks(y, (GRAIN / row).max(1) * row, |start, y| {
            let rows = start / row..(start + y.len()) / row;
            for (pair, part) in phase_pairs.iter().zip(parts.chunks(size)) {
                let [v, h] = pair.phases;
                for line in v.within(&rows) {
                    let from = part[line * h.count * c..].chunks(c).take(h.count);
                    let to = y[(v.start + line * v.step - rows.start) * row..][..row].chunks_mut(c);
                    to.skip(h.start)
                        .step_by(h.step)
                        .zip(from)
                        .for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
            done(image * size_y + start, y);
        });
    }

    fn products(&self) -> usize {
        (self.taps + 1) * (self.taps + 1)
    }

    /// Each pair of a vertical and a horizontal lattice, pair of phases by pair of phases.
    fn pairs(&self) -> impl Iterator<Item = [&PolyphaseComponent; 2]> {
        let [vertical, horizontal] = self.components;
        let phases = vertical
            .iter()
            .flat_map(move |v| horizontal.iter().map(move |h| (v, h)));
        phases.flat_map(|(v, h)| v.iter().flat_map(move |v| h.iter().map(move |h| [v, h])))
    }

    /// The width of a panel of output channels and its size; and of its rows, which belong to an
    /// input channel and a product, how far from one another those of the next channel and of the
    /// next product lie.
    fn panel(&self) -> (usize, usize, [usize; 2]) {
        let (wide, c_in) = (nr::<f32>(), self.plan.input()[2]);
        if self.few {
            return (
                VECTOR,
                self.products() * c_in * VECTOR,
                [self.products() * VECTOR, VECTOR],
            );
        }
        // One vector more, lest the products of a channel, written together, fall into one set of
        // the cache.
        let next = c_in * wide + VECTOR;
        (wide, self.products() * next, [wide, next])
    }

    /// The transformed weight, as the right side of matrix products: for each pair of lattices and
    /// panel of output channels the panel's rows.
    fn weight(&self) -> Scratch<f32> {
        let (g, (wide, block, [next_channel, next_product])) = (self.plan, self.panel());
        let c_out = g.output()[2];
        let (pairs, panels): (Vec<_>, _) = (self.pairs().collect(), c_out.div_ceil(wide));
        let mut weight = Scratch::new(pairs.len() * panels * block);
        weight
            .par_chunks_mut(block)
            .enumerate()
            .for_each(|(i, to)| {
                let columns = i % panels * wide..c_out.min((i % panels + 1) * wide);
                run_widest(FilterTransform {
                    plan: g,
                    pair: pairs[i / panels],
                    columns,
                    step: [next_channel, next_product],
                    to,
                });
            });
        weight
    }

    /// The pairs of phases, each with its lattices and its part of the weight.
    fn phase_pairs<'b>(&'b self, mut weight: &'b [f32]) -> Vec<PhasePair<'b>> {
        let (wide, panel, _) = self.panel();
        let block = panel * self.plan.output()[2].div_ceil(wide);
        let [vertical, horizontal] =
            [0, 1].map(|axis| self.plan.phases[axis].iter().zip(&self.components[axis]));
        let both = vertical.flat_map(|v| horizontal.clone().map(move |h| [v, h]));
        let pair = |[(v, rows), (h, columns)]: [(&'b Phase, &'b Vec<PolyphaseComponent>); 2]| {
            let pairs: Vec<_> = rows
                .iter()
                .flat_map(|v| columns.iter().map(move |h| [v, h]))
                .collect();
            let (own, rest) = weight.split_at(pairs.len() * block);
            weight = rest;
            PhasePair {
                phases: [v, h],
                pairs: pairs.into_iter().zip(own.chunks(block)).collect(),
            }
        };
        both.map(pair).collect()
    }

    /// Output rows `rows` of some images.
    fn rows(&self, x: &[T], images: Range<usize>, rows: Range<usize>, weight: &[f32], y: &mut [T]) {
        let [_, width, c] = self.plan.output();
        for pair in self.phase_pairs(weight) {
            // Outputs lie on a lattice too.
            let [v, h] = pair.phases;
            let components = [(v, rows.start), (h, 0)].map(|(phase, start)| PolyphaseComponent {
                first: phase.start as isize - start as isize,
                step: phase.step,
                taps: Vec::new(),
            });
            self.phase(
                &pair,
                x,
                images.clone(),
                v.within(&rows),
                OutputGrid {
                    size: [rows.len(), width, c],
                    components,
                },
                y,
            );
        }
    }

    /// Some lines of outputs of a pair of phases of some images, to their place in y.
    fn phase(
        &self,
        phase_pair: &PhasePair,
        x: &[T],
        images: Range<usize>,
        lines: Range<usize>,
        place: OutputGrid,
        y: &mut [T],
    ) {
        let (taps, columns, c_in, c_out) = (
            self.taps,
            phase_pair.phases[1].count,
            self.plan.input()[2],
            place.size[2],
        );
        let (wide, panel, _) = self.panel();
        let zeros = vec![T::default(); c_out];
        let bias = self.plan.bias.unwrap_or(&zeros);
        // The products of one panel of channels after the other, unless they are added up over
        // several pairs of lattices.
        let kept = if phase_pair.pairs.len() == 1 {
            wide.min(c_out)
        } else {
            c_out
        };
        let [mut inputs, mut outputs] = [c_in, kept].map(|c| {
            Scratch::new(if self.few {
                0
            } else {
                self.products() * TILE_STRIDE * c
            })
        });
        let out = place.components.each_ref();
        let apart_y = apart(place.size, out);
        let count = images.len() * lines.len().div_ceil(2) * columns.div_ceil(2);
        for (tiles, tile_runs) in tile_runs(lines, columns, 0..count) {
            let to = tile_windows(place.size, out, 2, &tile_runs, 0);
            for (i, &(pair, weight)) in phase_pair.pairs.iter().enumerate() {
                let from =
                    tile_windows(self.plan.input(), pair, taps + 1, &tile_runs, images.start);
                let apart = apart(self.plan.input(), pair);
                if self.few {
                    let (tile_windows, apart) = ([&from[..], &to], [apart, apart_y]);
                    let bias = (i == 0).then_some(bias);
                    run_widest(InRegisters {
                        x,
                        c_in,
                        weight,
                        tile_windows,
                        apart,
                        bias,
                        y,
                    });
                    continue;
                }
                run_widest(PixelTransform {
                    taps,
                    spread: false,
                    x,
                    tile_windows: &from,
                    apart,
                    channels: 0..c_in,
                    step: [TILE_STRIDE * c_in, c_in],
                    panel: [c_in; 2],
                    to: &mut inputs,
                });
                let begin = if i == 0 {
                    Accumulate::Zero
                } else {
                    Accumulate::Existing
                };
                for (first, weight) in (0..c_out).step_by(wide).zip(weight.chunks(panel)) {
                    let bias = &bias[first..c_out.min(first + wide)];
                    let outputs = &mut outputs[if kept == c_out {
                        self.products() * TILE_STRIDE * first
                    } else {
                        0
                    }..];
                    self.multiply(&inputs, weight, begin, [tiles, bias.len()], outputs);
                    if i + 1 == phase_pair.pairs.len() {
                        let (products, step, y) =
                            (&outputs[..], TILE_STRIDE * bias.len(), &mut y[first..]);
                        run_widest(OutputTransform {
                            taps,
                            products,
                            step,
                            bias,
                            tile_windows: &to,
                            apart: apart_y,
                            y,
                        });
                    }
                }
            }
        }
    }

    /// The products of the inputs of so many tiles with a panel of the weight, of so many columns.
    fn multiply(
        &self,
        inputs: &[f32],
        panel: &[f32],
        begin: Accumulate<'_, f32>,
        [tiles, columns]: [usize; 2],
        outputs: &mut [f32],
    ) {
        let (c_in, (wide, _, [_, next])) = (self.plan.input()[2], self.panel());
        let rows = RowOffsets::dense::<f32>(tiles, [c_in, columns], columns);
        let sums = inputs
            .chunks(TILE_STRIDE * c_in)
            .zip(outputs.chunks_mut(TILE_STRIDE * columns));
        for (weight, (inputs, c)) in panel.chunks(next).zip(sums) {
            for term in (0..c_in).step_by(KC) {
                let runs = [KSegment {
                    a: term,
                    b: term * wide,
                    len: KC.min(c_in - term),
                }];
                let begin = if term == 0 {
                    begin
                } else {
                    Accumulate::Existing
                };
                let target = OutputTile {
                    c: &mut *c,
                    first: 0,
                    columns,
                };
                TileProduct::new(inputs, weight, [1, wide], &runs).tiles(&rows, 0, begin, target);
            }
        }
    }
}

/// Tiles of 2 x 2 outputs side by side: the image and the line and column of the first one's first
/// output, and how many.
#[derive(Clone, Copy)]
struct TileRun {
    image: usize,
    at: [usize; 2],
    tiles: usize,
}

/// `tiles`, TILES at a time. They are counted through all images, of which `lines` are wanted, of
/// `count` outputs each.
fn tile_runs(
    lines: Range<usize>,
    count: usize,
    tiles: Range<usize>,
) -> impl Iterator<Item = (usize, Vec<TileRun>)> {
    let (down, across) = (lines.len().div_ceil(2), count.div_ceil(2));
    tiles.clone().step_by(TILES).map(move |first| {
        let (mut next, end) = (first, tiles.end.min(first + TILES));
        let mut tile_runs = Vec::new();
        while next < end {
            let (row, column) = (next / across, next % across);
            let tiles = (across - column).min(end - next);
            tile_runs.push(TileRun {
                image: row / down,
                at: [lines.start + 2 * (row % down), 2 * column],
                tiles,
            });
            next += tiles;
        }
        (end - first, tile_runs)
    })
}

/// The squares of n x n pixels that tiles see through a pair of lattices, images counted from
/// `first` on.
fn tile_windows(
    [height, width, c]: [usize; 3],
    [v, h]: [&PolyphaseComponent; 2],
    n: usize,
    tile_runs: &[TileRun],
    first: usize,
) -> Vec<TileWindow> {
    let exist = |at: isize, step: usize, size: usize| {
        if at >= 0 && at as usize + (n - 1) * step < size {
            return (1 << n) - 1;
        }
        (0..n).fold(0, |bits, k| {
            bits | u8::from((at as usize).wrapping_add(k * step) < size) << k
        })
    };
    let mut tile_windows = Vec::with_capacity(TILES);
    for &TileRun {
        image,
        at: [i, j],
        tiles,
    } in tile_runs
    {
        let (top, left) = (
            (i * v.step) as isize + v.first,
            (j * h.step) as isize + h.first,
        );
        let rows = exist(top, v.step, height);
        // Of a pixel above or to the left of the image the number wraps around, as it does on the
        // way back from there.
        let line = ((first + image) * height)
            .wrapping_add(top as usize)
            .wrapping_mul(width);
        for left in (0..tiles).map(|tile| left + (2 * tile * h.step) as isize) {
            let start = line.wrapping_add(left as usize).wrapping_mul(c);
            tile_windows.push(TileWindow {
                start,
                rows,
                columns: exist(left, h.step, width),
            });
        }
    }
    tile_windows
}

/// How far apart the rows and the columns of such squares lie.
fn apart([_, width, c]: [usize; 3], [v, h]: [&PolyphaseComponent; 2]) -> [usize; 2] {
    [v.step * width * c, h.step * c]
}
