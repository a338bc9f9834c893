//! The products of few channels: those of three tiles are summed up side by side, and stay in the
//! registers from the first channel to the last, so that neither transformed inputs nor products
//! are written to memory.

use super::VECTOR;
use super::transforms::{F2x2, MinimalFilter, TileWindow, both, write_outputs};
use crate::Stored;
use crate::cpu::simd::{Kernel, Lanes};

/// Channels in, at most: the weight of one vector of outputs then fills half of the first-level
/// cache.
pub(crate) const CHANNELS: usize = 32;

/// Tiles side by side: their 27 sums, and a vector of the weight, fit into 32 registers.
const TOGETHER: usize = 3;

/// output(weight input(x)), with two taps along both axes, for one pair of lattices.
pub(super) struct InRegisters<'a, T> {
    pub x: &'a [T],
    pub c_in: usize,
    /// For each vector of outputs and each input channel nine vectors.
    pub weight: &'a [f32],
    /// The inputs of each tile, and its outputs; and how far apart their pixels are.
    pub tile_windows: [&'a [TileWindow]; 2],
    pub apart: [[usize; 2]; 2],
    /// What the outputs begin with, if not with what is there.
    pub bias: Option<&'a [T]>,
    pub y: &'a mut [T],
}

impl<T: Stored<Compute = f32>> Kernel for InRegisters<'_, T> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let mut inputs = [[0.0; CHANNELS]; 9 * TOGETHER];
        for (from, to) in self.tile_windows[0]
            .chunks(TOGETHER)
            .zip(self.tile_windows[1].chunks(TOGETHER))
        {
            for (square, inputs) in from.iter().zip(inputs.as_chunks_mut::<9>().0) {
                for c in (0..self.c_in).step_by(V::N) {
                    let x = both(
                        square.read::<V, T, 3>(self.x, self.apart[0], c),
                        F2x2::input_transform,
                    );
                    for p in 0..9 {
                        x[p / 3][p % 3].write(&mut inputs[p][c..]);
                    }
                }
            }
            for (i, weight) in self.weight.chunks_exact(self.c_in * 9 * VECTOR).enumerate() {
                for lane in (0..VECTOR).step_by(V::N) {
                    let sums = multiply::<V>(&inputs, weight, lane);
                    let (apart, bias) = (self.apart[1], (self.bias, i * VECTOR + lane));
                    // One by one, so that the sums stay in registers.
                    restore(sums[0], to.first(), apart, bias, self.y);
                    restore(sums[1], to.get(1), apart, bias, self.y);
                    restore(sums[2], to.get(2), apart, bias, self.y);
                }
            }
        }
    }
}

/// The sums of the products of all tiles, for the outputs from `lane` on.
#[inline(always)]
fn multiply<V: Lanes<f32>>(
    inputs: &[[f32; CHANNELS]; 9 * TOGETHER],
    weight: &[f32],
    lane: usize,
) -> [[[V; 3]; 3]; TOGETHER] {
    let mut sums = [[[V::splat(0.0); 3]; 3]; TOGETHER];
    for (k, weight) in (0..CHANNELS).zip(weight.chunks_exact(9 * VECTOR)) {
        for p in 0..9 {
            let w = V::read(&weight[p * VECTOR + lane..]);
            for t in 0..TOGETHER {
                sums[t][p / 3][p % 3] =
                    sums[t][p / 3][p % 3].add_product(w, V::splat(inputs[t * 9 + p][k]));
            }
        }
    }
    sums
}

#[inline(always)]
fn restore<V: Lanes<f32>, T: Stored<Compute = f32>>(
    sums: [[V; 3]; 3],
    to: Option<&TileWindow>,
    apart: [usize; 2],
    bias: (Option<&[T]>, usize),
    y: &mut [T],
) {
    if let Some(to) = to {
        write_outputs(both(sums, F2x2::output_transform), to, apart, bias, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::run_widest;

    /// Whole numbers, so that every width of registers gives the same bits; more tiles than go
    /// together, one at an edge.
    #[test]
    fn narrow_registers_do_the_same() {
        fn numbers(n: usize) -> Vec<f32> {
            (0..n).map(|i| (i * 7919 % 17) as f32).collect()
        }
        let (c, width) = (CHANNELS, 12);
        let (x, weight, bias) = (
            numbers(5 * width * c),
            numbers(2 * c * 9 * VECTOR),
            numbers(c),
        );
        let square = |j: usize, columns| TileWindow {
            start: j * c,
            rows: 0b111,
            columns,
        };
        let from = [
            square(0, 0b111),
            square(2, 0b111),
            square(4, 0b111),
            square(6, 0b011),
        ];
        let to = [
            square(0, 0b11),
            square(2, 0b11),
            square(4, 0b11),
            square(6, 0b01),
        ];
        let apart = [[width * c, c]; 2];
        let few = |y| InRegisters {
            x: &x,
            c_in: c,
            weight: &weight,
            tile_windows: [&from, &to],
            apart,
            bias: Some(&bias),
            y,
        };
        let [mut narrow, mut widest] = [vec![1.0; 2 * width * c], vec![1.0; 2 * width * c]];
        few(&mut narrow[..]).run::<[f32; 4]>();
        run_widest(few(&mut widest[..]));
        assert_eq!(narrow, widest);
        let written = narrow
            .chunks(c)
            .map(|pixel| pixel.iter().any(|&y| y != 1.0))
            .collect::<Vec<_>>();
        assert_eq!(written[..width], [&[true; 7][..], &[false; 5]].concat());
    }
}
