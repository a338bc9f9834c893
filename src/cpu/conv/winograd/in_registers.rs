//! F(2x2, 2x2) for few channels: the products of three tiles are accumulated side by side and stay
//! in registers from the first input channel to the last, so neither transformed inputs nor
//! products are written to memory beyond the L1 cache.
//!
//! ```text
//! for each 3 tiles:
//!     B^T X B of all input channels                    to an array in L1
//!     for each vector of output channels:
//!         for each input channel, product p of 9:      27 accumulators
//!             m[tile][p] += w[channel][p] x[tile][p][channel]
//!         y += A^T m A                                 per tile
//! ```

use super::tiles::{Outputs, TileWindow, TileWindows, VECTOR};
use super::transforms::{F22, MinimalFilter, along_both_axes};
use crate::Stored;
use crate::cpu::simd::{Kernel, Lanes};

/// Input channels at most: the filters of one vector of outputs then take 18 KiB of the L1 cache.
pub(crate) const MAX_CHANNELS_IN: usize = 32;

/// Tiles side by side: their 27 accumulators and a vector of the filter fit into 32 registers.
const TILES_IN_REGISTERS: usize = 3;

/// The products of one tile.
const PRODUCTS: usize = 9;

/// Transformed inputs of the tiles in registers.
type Inputs = [[f32; MAX_CHANNELS_IN]; PRODUCTS * TILES_IN_REGISTERS];

/// One component of a convolution, for a batch of tiles.
pub(super) struct InRegisters<'a, T> {
    pub x: &'a [T],
    pub c_in: usize,
    /// Transformed: `[output vectors, c_in, 9, VECTOR]`.
    pub filters: &'a [f32],
    /// What each tile reads.
    pub tiles: &'a TileWindows,
    /// What each tile writes.
    pub windows: &'a [TileWindow],
    pub outputs: Outputs<'a, T>,
}

impl<T: Stored<Compute = f32>> Kernel for InRegisters<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(mut self) {
        let mut inputs: Inputs = [[0.0; MAX_CHANNELS_IN]; PRODUCTS * TILES_IN_REGISTERS];
        let tiles = self.tiles.windows.chunks(TILES_IN_REGISTERS);
        for (from, to) in tiles.zip(self.windows.chunks(TILES_IN_REGISTERS)) {
            for (window, inputs) in from.iter().zip(inputs.as_chunks_mut::<PRODUCTS>().0) {
                for c in (0..self.c_in).step_by(V::N) {
                    let x = window.read::<V, T, 3>(self.x, self.tiles.strides, c);
                    let x = along_both_axes(x, F22::input_transform);
                    for p in 0..PRODUCTS {
                        x[p / 3][p % 3].write(&mut inputs[p][c..]);
                    }
                }
            }
            let filters = self.filters.chunks_exact(self.c_in * PRODUCTS * VECTOR);
            for (i, filters) in filters.enumerate() {
                for lane in (0..VECTOR).step_by(V::N) {
                    let sums = multiply::<V>(&inputs, filters, lane);
                    let c = i * VECTOR + lane;
                    // One by one, so that the sums stay in registers.
                    add_outputs(sums[0], to.first(), c, &mut self.outputs);
                    add_outputs(sums[1], to.get(1), c, &mut self.outputs);
                    add_outputs(sums[2], to.get(2), c, &mut self.outputs);
                }
            }
        }
    }
}

/// The products of all tiles, accumulated over the input channels, for a vector of outputs from
/// `lane` on.
#[inline(always)]
fn multiply<V: Lanes<f32>>(
    inputs: &Inputs,
    filters: &[f32],
    lane: usize,
) -> [[[V; 3]; 3]; TILES_IN_REGISTERS] {
    let mut sums = [[[V::splat(0.0); 3]; 3]; TILES_IN_REGISTERS];
    let channels = filters.chunks_exact(PRODUCTS * VECTOR);
    for (k, filter) in (0..MAX_CHANNELS_IN).zip(channels) {
        for p in 0..PRODUCTS {
            let w = V::read(&filter[p * VECTOR + lane..]);
            for t in 0..TILES_IN_REGISTERS {
                sums[t][p / 3][p % 3] =
                    sums[t][p / 3][p % 3].add_product(w, V::splat(inputs[t * PRODUCTS + p][k]));
            }
        }
    }
    sums
}

#[inline(always)]
fn add_outputs<V: Lanes<f32>, T: Stored<Compute = f32>>(
    sums: [[V; 3]; 3],
    window: Option<&TileWindow>,
    c: usize,
    outputs: &mut Outputs<T>,
) {
    if let Some(window) = window {
        outputs.add(*window, c, along_both_axes(sums, F22::output_transform));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::run_widest;

    /// Small integers, so that every width of registers gives the same bits; more tiles than fit
    /// into registers, one at an edge.
    #[test]
    fn narrow_registers_do_the_same() {
        fn integers(n: usize) -> Vec<f32> {
            (0..n).map(|i| (i * 7919 % 17) as f32).collect()
        }
        let (c, width) = (MAX_CHANNELS_IN, 12);
        let (x, bias) = (integers(5 * width * c), integers(c));
        let filters = integers(2 * c * PRODUCTS * VECTOR);
        // Four tiles side by side, of the last one of which the last column does not exist.
        let window = |n: usize, tile: usize| TileWindow {
            start: 2 * tile * c,
            rows: (1 << n) - 1,
            columns: (1 << (n - usize::from(tile == 3))) - 1,
        };
        let strides = [width * c, c];
        let tiles = TileWindows {
            windows: (0..4).map(|tile| window(3, tile)).collect(),
            strides,
        };
        let windows: Vec<TileWindow> = (0..4).map(|tile| window(2, tile)).collect();
        let kernel = |y| InRegisters {
            x: &x,
            c_in: c,
            filters: &filters,
            tiles: &tiles,
            windows: &windows,
            outputs: Outputs {
                strides,
                bias: Some(&bias),
                y,
            },
        };
        let [mut narrow, mut widest] = [vec![1.0; 2 * width * c], vec![1.0; 2 * width * c]];
        kernel(&mut narrow[..]).run::<[f32; 4]>();
        run_widest(kernel(&mut widest[..]));
        assert_eq!(narrow, widest);
        let written = narrow
            .chunks(c)
            .map(|pixel| pixel.iter().any(|&y| y != 1.0))
            .collect::<Vec<_>>();
        assert_eq!(written[..width], [&[true; 7][..], &[false; 5]].concat());
    }
}
