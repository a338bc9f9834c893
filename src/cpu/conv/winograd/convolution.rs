//! Convolution by Winograd's algorithm, plain or transposed (the gradient of the weight is in
//! `weight`): the cut into tasks, and the transforms and GEMMs of each.

use std::borrow::Cow;
use std::ops::Range;

use super::components::{Component, Components, pairs};
use super::in_registers::InRegisters;
use super::tiles::{Grid, Outputs, Region, TILE_SLOTS, TileWindows, VECTOR};
use super::transforms::{
    FilterLayout, FilterTransform, OutputTransform, TileLayout, TileSource, TileTransform,
};
use crate::Stored;
use crate::cpu::conv::plan::{ConvPlan, Phase};
use crate::cpu::gemm::{
    Accumulate, Epilogue, KC, KSegment, OutputPanel, RowOffsets, TileProduct, nr,
};
use crate::cpu::simd::run_widest;
use crate::cpu::{GRAIN, Scratch, chunks};

/// Images of a task, if there are as many: together they fill the last tile of rows of the
/// micro-kernel better than each by itself.
const IMAGES: usize = 4;

/// A convolution by Winograd's algorithm.
pub(super) struct Convolution<'a, T> {
    pub plan: &'a ConvPlan<'a, T>,
    pub components: &'a Components,
    /// Whether products stay in registers, and transformed inputs in L1.
    pub in_registers: bool,
}

/// A vertical and a horizontal phase: outputs that are computed from the same components.
struct PhasePair<'a> {
    phases: [&'a Phase; 2],
    components: Vec<ComponentPair<'a>>,
}

/// A vertical and a horizontal component, with their transformed filters.
struct ComponentPair<'a> {
    axes: [&'a Component; 2],
    filters: &'a [f32],
}

impl<T: Stored<Compute = f32>> Convolution<'_, T> {
    /// y = the convolution of each image of x.
    pub fn run(&self, x: &[T], y: &mut [T], epilogue: Epilogue<T>) {
        let [h, w, c] = self.plan.output();
        let (row_len, image_len) = (w * c, h * w * c);
        let filters = self.transform_filters();
        let pairs = self.phase_pairs(&filters);
        if self.plan.geometry.n >= IMAGES {
            return chunks(y, IMAGES * image_len, |start, y| {
                let first = start / image_len;
                let images = first..first + y.len() / image_len;
                self.rows(x, &pairs, images, 0..h, y);
                epilogue(start, y);
            });
        }
        for (image, y) in y.chunks_mut(image_len).enumerate() {
            if pairs.len() > 1 {
                self.phases_in_parallel(x, &pairs, image, y, epilogue);
                continue;
            }
            // Bands of whole tiles.
            let band = h.div_ceil(4).next_multiple_of(2);
            chunks(y, band * row_len, |start, y| {
                let first = start / row_len;
                let rows = first..first + y.len() / row_len;
                self.rows(x, &pairs, image..image + 1, rows, y);
                epilogue(image * image_len + start, y);
            });
        }
    }

    /// One image, each phase pair in one task, so that every filter is read once. Their outputs are
    /// interleaved at the end.
    fn phases_in_parallel(
        &self,
        x: &[T],
        pairs: &[PhasePair],
        image: usize,
        y: &mut [T],
        epilogue: Epilogue<T>,
    ) {
        let ([_, w, c], image_len) = (self.plan.output(), y.len());
        let outputs = |pair: &PhasePair| pair.phases[0].count * pair.phases[1].count;
        let largest = pairs.iter().map(outputs).max().unwrap_or(0);
        let part_len = (largest * c).max(1);
        let mut parts = Scratch::new(pairs.len() * part_len);
        chunks(&mut parts, part_len, |start, part| {
            let pair = &pairs[start / part_len];
            let [rows, columns] = pair.phases.map(|phase| phase.count);
            let region = Region {
                images: image..image + 1,
                rows: 0..rows,
                columns,
            };
            self.phase(pair, x, &region, Grid::dense([rows, columns, c]), part);
        });
        let row_len = w * c;
        chunks(y, (GRAIN / row_len).max(1) * row_len, |start, y| {
            let rows = start / row_len..(start + y.len()) / row_len;
            for (pair, part) in pairs.iter().zip(parts.chunks(part_len)) {
                let [v, h] = pair.phases;
                for j in v.within(&rows) {
                    let from = part[j * h.count * c..].chunks(c).take(h.count);
                    let to = &mut y[(v.start + j * v.step - rows.start) * row_len..][..row_len];
                    to.chunks_mut(c)
                        .skip(h.start)
                        .step_by(h.step)
                        .zip(from)
                        .for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
            epilogue(image * image_len + start, y);
        });
    }

    /// Output rows `rows` of some images.
    fn rows(
        &self,
        x: &[T],
        pairs: &[PhasePair],
        images: Range<usize>,
        rows: Range<usize>,
        y: &mut [T],
    ) {
        let [_, w, c] = self.plan.output();
        for pair in pairs {
            let [v, h] = pair.phases;
            let grid = Grid {
                size: [rows.len(), w, c],
                first: [v.start as isize - rows.start as isize, h.start as isize],
                step: [v.step, h.step],
            };
            let region = Region {
                images: images.clone(),
                rows: v.within(&rows),
                columns: h.count,
            };
            self.phase(pair, x, &region, grid, y);
        }
    }

    /// Some outputs of a phase pair, to `grid` of y.
    fn phase(&self, pair: &PhasePair, x: &[T], region: &Region, grid: Grid, y: &mut [T]) {
        if self.in_registers {
            self.phase_in_registers(pair, x, region, grid, y);
        } else {
            self.phase_by_gemm(pair, x, region, grid, y);
        }
    }

    fn phase_in_registers(
        &self,
        pair: &PhasePair,
        x: &[T],
        region: &Region,
        grid: Grid,
        y: &mut [T],
    ) {
        let (bias, c_in) = (self.bias(), self.plan.input()[2]);
        for batch in region.batches(region.tiles()) {
            let to = grid.windows(2, &batch, 0);
            for (i, component) in pair.components.iter().enumerate() {
                let input = Grid::of_components(self.plan.input(), component.axes);
                run_widest(InRegisters {
                    x,
                    c_in,
                    filters: component.filters,
                    tiles: &input.windows(3, &batch, region.images.start),
                    windows: &to.windows,
                    outputs: Outputs {
                        strides: to.strides,
                        bias: (i == 0).then_some(&bias[..]),
                        y,
                    },
                });
            }
        }
    }

    fn phase_by_gemm(&self, pair: &PhasePair, x: &[T], region: &Region, grid: Grid, y: &mut [T]) {
        let (taps, c_in, c_out) = (self.components.taps, self.plan.input()[2], grid.size[2]);
        let (bias, layout, slots) = (
            self.bias(),
            self.filter_layout(),
            self.products() * TILE_SLOTS,
        );
        // All panels of output channels use one buffer for their products, one after the other;
        // where several components are summed, each panel needs its own until the last component.
        let summed = pair.components.len() > 1;
        let channels = if summed {
            c_out
        } else {
            layout.panel_width.min(c_out)
        };
        let [mut inputs, mut products] = [c_in, channels].map(|c| Scratch::new(slots * c));
        for batch in region.batches(region.tiles()) {
            let to = grid.windows(2, &batch, 0);
            for (i, component) in pair.components.iter().enumerate() {
                let input = Grid::of_components(self.plan.input(), component.axes);
                let from = input.windows(taps + 1, &batch, region.images.start);
                self.transform_inputs(x, &from, &mut inputs);
                let accumulate = if i == 0 {
                    Accumulate::Zero
                } else {
                    Accumulate::Existing
                };
                let panels = (0..c_out).step_by(layout.panel_width);
                for (first, filters) in panels.zip(component.filters.chunks(layout.panel_len)) {
                    let bias = &bias[first..c_out.min(first + layout.panel_width)];
                    let mut products = PanelProducts {
                        tiles: batch.tiles,
                        columns: bias.len(),
                        data: &mut products[if summed { slots * first } else { 0 }..],
                    };
                    self.multiply(&inputs, filters, accumulate, &mut products);
                    if i + 1 == pair.components.len() {
                        self.transform_outputs(&products, bias, &to, &mut y[first..]);
                    }
                }
            }
        }
    }

    /// The bias, or zeros.
    fn bias(&self) -> Cow<'_, [T]> {
        match self.plan.bias {
            Some(bias) => Cow::Borrowed(bias),
            None => Cow::Owned(vec![T::default(); self.plan.output()[2]]),
        }
    }

    /// How many products a tile has.
    fn products(&self) -> usize {
        (self.components.taps + 1).pow(2)
    }

    /// In memory an input channel's row of a panel of B follows the one before it. In registers all
    /// products of an input channel are read together.
    fn filter_layout(&self) -> FilterLayout {
        let (products, c_in) = (self.products(), self.plan.input()[2]);
        if self.in_registers {
            return FilterLayout {
                panel_width: VECTOR,
                panel_len: products * c_in * VECTOR,
                channel_stride: products * VECTOR,
                product_stride: VECTOR,
            };
        }
        // Padded by one vector: a power-of-two stride maps all products of a channel, which are
        // written together, to one cache set.
        let (panel_width, product_stride) = (nr::<f32>(), c_in * nr::<f32>() + VECTOR);
        FilterLayout {
            panel_width,
            panel_len: products * product_stride,
            channel_stride: panel_width,
            product_stride,
        }
    }

    /// The transformed filters: for each phase pair and pair of components, the panels of output
    /// channels. Each call transforms them, once for all images: training changes the weight at
    /// each step, and this is little beside the products. Nothing is kept between calls.
    fn transform_filters(&self) -> Scratch<f32> {
        let (layout, c_out) = (self.filter_layout(), self.plan.output()[2]);
        let pairs: Vec<_> = self.component_pairs().flatten().collect();
        let panels = c_out.div_ceil(layout.panel_width);
        let mut filters = Scratch::new(pairs.len() * panels * layout.panel_len);
        chunks(&mut filters, layout.panel_len, |start, to| {
            let i = start / layout.panel_len;
            let first = i % panels * layout.panel_width;
            run_widest(FilterTransform {
                plan: self.plan,
                components: pairs[i / panels],
                columns: first..c_out.min(first + layout.panel_width),
                layout,
                to,
            });
        });
        filters
    }

    /// For each phase pair, its pairs of a vertical and a horizontal component.
    fn component_pairs(&self) -> impl Iterator<Item = Vec<[&Component; 2]>> {
        let [vertical, horizontal] = &self.components.of_phases;
        vertical
            .iter()
            .flat_map(move |v| horizontal.iter().map(move |h| pairs(v, h)))
    }

    /// The phase pairs, each with its components and their part of the filters.
    fn phase_pairs<'b>(&'b self, filters: &'b [f32]) -> Vec<PhasePair<'b>> {
        let layout = self.filter_layout();
        let len = layout.panel_len * self.plan.output()[2].div_ceil(layout.panel_width);
        let mut filters = filters.chunks(len);
        let pair = |(phases, components): ([&'b Phase; 2], Vec<[&'b Component; 2]>)| {
            let components = components.into_iter().zip(filters.by_ref());
            PhasePair {
                phases,
                components: components
                    .map(|(axes, filters)| ComponentPair { axes, filters })
                    .collect(),
            }
        };
        self.plan
            .phase_pairs()
            .zip(self.component_pairs())
            .map(pair)
            .collect()
    }

    /// V = B^T X B, `[products, TILE_SLOTS, c_in]`.
    fn transform_inputs(&self, x: &[T], tiles: &TileWindows, to: &mut [f32]) {
        let c_in = self.plan.input()[2];
        run_widest(TileTransform {
            taps: self.components.taps,
            source: TileSource::Input,
            image: x,
            tiles,
            channels: 0..c_in,
            layout: TileLayout {
                product_stride: TILE_SLOTS * c_in,
                tile_stride: c_in,
                panel_width: c_in,
                panel_stride: c_in,
            },
            to,
        });
    }

    /// M[p] = V[p] U[p] for each product p and a panel of output channels:
    /// `[tiles, c_in] x [c_in, columns] -> [tiles, columns]`.
    fn multiply(
        &self,
        inputs: &[f32],
        filters: &[f32],
        accumulate: Accumulate<'_, f32>,
        to: &mut PanelProducts,
    ) {
        let (c_in, layout, columns) = (self.plan.input()[2], self.filter_layout(), to.columns);
        let rows = RowOffsets::dense::<f32>(to.tiles, [c_in, columns], columns);
        let products = inputs
            .chunks(TILE_SLOTS * c_in)
            .zip(to.data.chunks_mut(TILE_SLOTS * columns));
        for (filter, (input, c)) in filters.chunks(layout.product_stride).zip(products) {
            for k in (0..c_in).step_by(KC) {
                let segments = [KSegment {
                    a: k,
                    b: k * layout.panel_width,
                    len: KC.min(c_in - k),
                }];
                let gemm = TileProduct::new(input, filter, [1, layout.panel_width], &segments);
                let accumulate = if k == 0 {
                    accumulate
                } else {
                    Accumulate::Existing
                };
                let to = OutputPanel {
                    c: &mut *c,
                    first: 0,
                    columns,
                };
                gemm.tiles(&rows, 0, accumulate, to);
            }
        }
    }

    /// Y = A^T M A + bias, for a panel of output channels.
    fn transform_outputs(
        &self,
        products: &PanelProducts,
        bias: &[T],
        tiles: &TileWindows,
        y: &mut [T],
    ) {
        run_widest(OutputTransform {
            taps: self.components.taps,
            products: products.data,
            product_stride: TILE_SLOTS * products.columns,
            channels: products.columns,
            windows: &tiles.windows,
            outputs: Outputs {
                strides: tiles.strides,
                bias: Some(bias),
                y,
            },
        });
    }
}

/// M of a batch of tiles and a panel of output channels, `[products, TILE_SLOTS, columns]`.
struct PanelProducts<'a> {
    tiles: usize,
    columns: usize,
    data: &'a mut [f32],
}
