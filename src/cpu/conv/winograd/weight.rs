//! The gradient of the weight by Winograd's algorithm.
//!
//! For each tile Y = A^T M A with M = U * (B^T X B) and U = G g G^T. Each of these is linear, and a
//! gradient goes back through it by its transpose:
//!
//! ```text
//! dM = A dY A^T,  dU = sum over all tiles of all images of  dM * (B^T X B),  dg = G^T dU G
//! ```
//!
//! For each element p of a transformed tile, dU\[p\] is a GEMM with one term for each tile,
//! `[c_small, tiles] x [tiles, c_big] -> [c_small, c_big]`. dY is always the small image and X the
//! big one: in conv2d the gradient of the output and the input, in conv_transpose2d the input and
//! the gradient of the output. (dw is the same sum of their products, whichever of them is a
//! gradient.) Tasks cut the channels of the small image into blocks, and the tiles into slices
//! whose sums are added in order at the end. Their number depends on sizes alone, so any number of
//! threads gives the same bits.

use std::ops::Range;

use half::bf16;

use super::components::{Component, Components, pairs};
use super::tiles::{Grid, Region, TILE_SLOTS, VECTOR};
use super::transforms::{FilterGradientTransform, TileLayout, TileSource, TileTransform};
use crate::cpu::gemm::{Accumulate, KSegment, OutputPanel, RowOffsets, TileProduct, nr};
use crate::cpu::simd::run_widest;
use crate::cpu::{Scratch, chunks};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::tensor::window::Geometry;
use crate::{DType, Stored};

/// Channels of the small image in a block, at most: the sums of more would not stay in the L2
/// cache.
const BLOCK: usize = 128;

/// Tiles of a slice, at least.
const SLICE_TILES: usize = 1024;

/// Slices, at most, for the memory that their sums take.
const MAX_SLICES: usize = 8;

/// dw, [c_small, kh, kw, c_big], from the small and the big images, which are of f32 or bf16.
pub(crate) fn backward_weight<T: Stored>(
    g: &Geometry,
    components: &Components,
    images: [&[T]; 2],
    dw: &mut [T::Compute],
) {
    match T::DTYPE {
        DType::F32 => backward_weight_as::<T, f32>(g, components, images, dw),
        _ => backward_weight_as::<T, bf16>(g, components, images, dw),
    }
}

/// As [`backward_weight`], where T is S.
fn backward_weight_as<T: Stored, S: Stored<Compute = f32>>(
    g: &Geometry,
    components: &Components,
    [small, big]: [&[T]; 2],
    dw: &mut [T::Compute],
) {
    let (Some(small), Some(big), Some(dw)) =
        (as_type::<T, S>(small), as_type(big), as_type_mut(dw))
    else {
        unreachable!("Winograd's algorithm is chosen for f32 and bf16 only");
    };
    let [h, w, c_small] = g.small;
    let region = Region {
        images: 0..g.n,
        rows: 0..h,
        columns: w,
    };
    let block = BLOCK.min(c_small);
    let gradient = WeightGradient {
        g,
        taps: components.taps,
        small,
        big,
        block,
        blocks: c_small.div_ceil(block),
        slices: (region.tiles().len() / SLICE_TILES).clamp(1, MAX_SLICES),
        region,
    };
    gradient.run(components, dw);
}

struct WeightGradient<'a, T> {
    g: &'a Geometry,
    taps: usize,
    small: &'a [T],
    big: &'a [T],
    /// Channels of the small image in a block.
    block: usize,
    blocks: usize,
    slices: usize,
    /// The small image's tiles.
    region: Region,
}

impl<T: Stored<Compute = f32>> WeightGradient<'_, T> {
    /// One pair of components after the other, for the memory that sums take.
    fn run(&self, components: &Components, dw: &mut [f32]) {
        let [vertical, horizontal] = &components.of_phases;
        let mut sums = Scratch::new(self.blocks * self.slices * self.sums_len());
        for axes in pairs(&vertical[0], &horizontal[0]) {
            chunks(&mut sums, self.sums_len(), |start, sums| {
                let i = start / self.sums_len();
                let first = i / self.slices * self.block;
                let task = Task {
                    gradient: self,
                    axes,
                    channels: first..self.g.small[2].min(first + self.block),
                };
                task.sum(self.slice(i % self.slices), sums);
            });
            self.transform_sums(axes, &sums, dw);
        }
    }

    fn products(&self) -> usize {
        (self.taps + 1).pow(2)
    }

    /// The sums of a task, `[products, block, c_big]`.
    fn sums_len(&self) -> usize {
        self.products() * self.block * self.g.big[2]
    }

    fn slice(&self, i: usize) -> Range<usize> {
        let bound = |i: usize| i * self.region.tiles().len() / self.slices;
        bound(i)..bound(i + 1)
    }

    /// dU to dw: dg = G^T dU G, for each channel of the small image.
    fn transform_sums(&self, axes: [&Component; 2], sums: &[f32], dw: &mut [f32]) {
        let ([kh, kw], c, taps) = (self.g.kernel, self.g.big[2], self.taps);
        let filter_len = kh * kw * c;
        chunks(dw, filter_len, |start, dw| {
            let s = start / filter_len;
            let block_len = self.slices * self.sums_len();
            let block = &sums[s / self.block * block_len..][..block_len];
            // [products, c_big], added up over all slices.
            let mut sum = vec![0.0; self.products() * c];
            for (product, sum) in sum.chunks_mut(c).enumerate() {
                let row = (product * self.block + s % self.block) * c;
                for slice in block.chunks(self.sums_len()) {
                    let row = &slice[row..][..c];
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
            }
            let mut filter = vec![0.0; taps * taps * c];
            run_widest(FilterGradientTransform {
                taps,
                products: &sum,
                channels: c,
                to: &mut filter,
            });
            for (tap, filter) in filter.chunks(c).enumerate() {
                let at = axes[0].taps[tap / taps] * kw + axes[1].taps[tap % taps];
                dw[at * c..][..c].copy_from_slice(filter);
            }
        });
    }
}

/// dU of a pair of components, for a block of channels of the small image.
struct Task<'a, T> {
    gradient: &'a WeightGradient<'a, T>,
    axes: [&'a Component; 2],
    channels: Range<usize>,
}

impl<T: Stored<Compute = f32>> Task<'_, T> {
    /// Summed over some tiles.
    fn sum(&self, tiles: Range<usize>, sums: &mut [f32]) {
        let &WeightGradient { g, taps, block, .. } = self.gradient;
        let c_big = g.big[2];
        let (left, right) = (self.left_layout(), self.right_layout());
        let [mut a, mut b] = [left, right]
            .map(|layout| Scratch::new(self.gradient.products() * layout.product_stride));
        let (small, big) = (Grid::dense(g.small), Grid::of_components(g.big, self.axes));
        for (i, batch) in self.gradient.region.batches(tiles).enumerate() {
            run_widest(TileTransform {
                taps,
                source: TileSource::OutputGradient,
                image: self.gradient.small,
                tiles: &small.windows(2, &batch, 0),
                channels: self.channels.clone(),
                layout: left,
                to: &mut a,
            });
            run_widest(TileTransform {
                taps,
                source: TileSource::Input,
                image: self.gradient.big,
                tiles: &big.windows(taps + 1, &batch, 0),
                channels: 0..c_big,
                layout: right,
                to: &mut b,
            });
            let accumulate = if i == 0 {
                Accumulate::Zero
            } else {
                Accumulate::Existing
            };
            for (p, sum) in sums.chunks_mut(block * c_big).enumerate() {
                let a = &a[p * left.product_stride..];
                let b = &b[p * right.product_stride..];
                self.multiply([a, b], batch.tiles, accumulate, sum);
            }
        }
    }

    /// dM of the small image, `[products, TILE_SLOTS, channels]`. Padded by a vector: terms that
    /// are a power of two apart would map to few cache sets.
    fn left_layout(&self) -> TileLayout {
        let channels = self.channels.len();
        TileLayout {
            product_stride: TILE_SLOTS * (channels + VECTOR),
            tile_stride: channels + VECTOR,
            panel_width: channels,
            panel_stride: channels,
        }
    }

    /// B^T X B of the big image, packed: `[products, panels, TILE_SLOTS, NR]`.
    fn right_layout(&self) -> TileLayout {
        let c_big = self.gradient.g.big[2];
        let panel_width = nr::<f32>().min(c_big);
        TileLayout {
            product_stride: TILE_SLOTS * c_big.next_multiple_of(panel_width),
            tile_stride: panel_width,
            panel_width,
            panel_stride: TILE_SLOTS * panel_width,
        }
    }

    /// The GEMM of one product, over some tiles: `[c_small, tiles] x [tiles, c_big] -> [c_small, c_big]`.
    fn multiply(
        &self,
        [a, b]: [&[f32]; 2],
        tiles: usize,
        accumulate: Accumulate<'_, f32>,
        sum: &mut [f32],
    ) {
        let (m, n) = (self.channels.len(), self.gradient.g.big[2]);
        let (left, right) = (self.left_layout(), self.right_layout());
        let segments = [KSegment {
            a: 0,
            b: 0,
            len: tiles,
        }];
        let gemm = TileProduct::new(a, b, [left.tile_stride, right.tile_stride], &segments);
        for first in (0..n).step_by(right.panel_width) {
            let columns = right.panel_width.min(n - first);
            let rows = RowOffsets::dense::<f32>(m, [1, n], columns);
            let to = OutputPanel {
                c: &mut *sum,
                first,
                columns,
            };
            gemm.tiles(&rows, first * TILE_SLOTS, accumulate, to);
        }
    }
}
