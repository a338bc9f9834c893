//! The gradient of the weight by the same schemes.
//!
//! With y = output(weight(g) input(x)), element by element between the two, the gradient of the
//! products' left factors is spread(dy) input(x), where spread is output's transpose. Summed over
//! all tiles of all images it goes back to taps through weight's transpose. So there is a matrix
//! product for each of the N x N products, with one term for each tile.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::polyphase::{Polyphase, PolyphaseComponent};
use super::transforms::{FilterGradientTransform, PixelTransform};
use super::{TILE_STRIDE, VECTOR, apart, tile_runs, tile_windows};
use crate::cpu::gemm::{Accumulate, KSegment, OutputTile, RowOffsets, TileProduct, nr};
use crate::cpu::simd::run_widest;
use crate::cpu::{Scratch, chunks};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::tensor::window::Geometry;
use crate::{DType, Stored};

/// Channels of the small image that a task works on, at most: with more, their sums would not stay
/// near.
const PART: usize = 128;

/// Tiles of a task, at least; and tasks for each part of the channels, at most, for the memory that
/// their sums take.
const LONG: usize = 1024;
const TASKS: usize = 8;

/// dw[s, ky, kx, b] = the sum over all pixels of small[.., s] big[.. under (ky, kx), b], of images
/// of f32 or bf16.
pub(crate) fn backward_weight<T: Stored>(
    g: &Geometry,
    polyphase: &Polyphase,
    images: [&[T]; 2],
    dw: &mut [T::Compute],
) {
    match T::DTYPE {
        DType::F32 => backward_weight_as::<T, f32>(g, polyphase, images, dw),
        _ => backward_weight_as::<T, bf16>(g, polyphase, images, dw),
    }
}

/// As [`backward_weight`], where T is S.
fn backward_weight_as<T: Stored, S: Stored<Compute = f32>>(
    g: &Geometry,
    polyphase: &Polyphase,
    [small, big]: [&[T]; 2],
    dw: &mut [T::Compute],
) {
    let (Some(small), Some(big), Some(dw)) = (
        as_type::<_, S>(small),
        as_type::<_, S>(big),
        as_type_mut(dw),
    ) else {
        unreachable!("Winograd's algorithm is chosen for f32 and bf16 only");
    };
    let (axes, taps) = (&polyphase.components, polyphase.taps);
    let ([h, w, c_small], c_big) = (g.small, g.big[2]);
    let products = (taps + 1) * (taps + 1);
    let pairs: Vec<_> = axes[0][0]
        .iter()
        .flat_map(|v| axes[1][0].iter().map(move |h| [v, h]))
        .collect();
    let part = PART.min(c_small);
    let (parts, tiles) = (c_small.div_ceil(part), g.n * h.div_ceil(2) * w.div_ceil(2));
    let groups = (tiles / LONG).clamp(1, TASKS);
    // One pair of lattices after the other, for the memory that sums take.
    // For each part of the channels and group of tiles: [products, part, c_big].
    let (size, [kh, kw]) = (products * part * c_big, g.kernel);
    let mut sums = Scratch::new(parts * groups * size);
    for pair in pairs {
        sums.par_chunks_mut(size).enumerate().for_each(|(i, sums)| {
            let (first, group) = (i / groups * part, i % groups);
            let channels = first..c_small.min(first + part);
            let bound = |group: usize| group * tiles / groups;
            Task {
                g,
                pair,
                taps,
                channels,
                part,
            }
            .sum([small, big], bound(group)..bound(group + 1), sums);
        });
        // Back to taps.
        chunks(dw, kh * kw * c_big, |start, dw| {
            let (s, mut sum, mut kernel) = (
                start / (kh * kw * c_big),
                vec![0.0; products * c_big],
                vec![0.0; taps * taps * c_big],
            );
            let sums = &sums[s / part * groups * size..][..groups * size];
            for (product, sum) in sum.chunks_mut(c_big).enumerate() {
                let rows = sums
                    .chunks(size)
                    .map(|group| &group[(product * part + s % part) * c_big..][..c_big]);
                sum.fill(0.0);
                rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            }
            run_widest(FilterGradientTransform {
                taps,
                from: &sum,
                apart: c_big,
                channels: c_big,
                to: &mut kernel,
            });
            for (tap, kernel) in kernel.chunks(c_big).enumerate() {
                let at = pair[0].taps[tap / taps] * kw + pair[1].taps[tap % taps];
                dw[at * c_big..][..c_big].copy_from_slice(kernel);
            }
        });
    }
}

/// The products of a pair of lattices, for some channels of the small image.
struct Task<'a> {
    g: &'a Geometry,
    pair: [&'a PolyphaseComponent; 2],
    taps: usize,
    channels: Range<usize>,
    /// Rows that each product's sums have room for.
    part: usize,
}

impl Task<'_> {
    /// Their sums over some tiles.
    fn sum<T: Stored<Compute = f32>>(
        &self,
        [small, big]: [&[T]; 2],
        tiles: Range<usize>,
        sums: &mut [f32],
    ) {
        let ([h, w, _], c_big, n, g) = (self.g.small, self.g.big[2], self.taps + 1, self.g);
        let own = self.channels.len();
        let wide = nr::<f32>().min(c_big);
        let plane = TILE_STRIDE * c_big.next_multiple_of(wide);
        // Room to the next tile's: terms a power of two apart would fall into few sets of the
        // cache.
        let room = own + VECTOR;
        let (mut left, mut right) = (
            Scratch::new(n * n * TILE_STRIDE * room),
            Scratch::new(n * n * plane),
        );
        // A pixel of the small image is at its own place.
        let component = PolyphaseComponent {
            first: 0,
            step: 1,
            taps: Vec::new(),
        };
        for (pair, (count, tile_runs)) in tile_runs(0..h, w, tiles).enumerate() {
            let tile_windows = |size, pair, n| tile_windows(size, pair, n, &tile_runs, 0);
            let (taps, tile_windows, windows) = (
                self.taps,
                tile_windows(g.small, [&component; 2], 2),
                tile_windows(g.big, self.pair, n),
            );
            let (apart_y, apart_x) = (apart(g.small, [&component; 2]), apart(g.big, self.pair));
            run_widest(PixelTransform {
                taps,
                spread: true,
                x: small,
                tile_windows: &tile_windows,
                apart: apart_y,
                channels: self.channels.clone(),
                step: [TILE_STRIDE * room, room],
                panel: [own; 2],
                to: &mut left,
            });
            run_widest(PixelTransform {
                taps,
                spread: false,
                x: big,
                tile_windows: &windows,
                apart: apart_x,
                channels: 0..c_big,
                step: [plane, wide],
                panel: [wide, TILE_STRIDE * wide],
                to: &mut right,
            });
            let begin = if pair == 0 {
                Accumulate::Zero
            } else {
                Accumulate::Existing
            };
            for (i, sum) in sums.chunks_mut(self.part * c_big).enumerate() {
                let factors = [&left[i * TILE_STRIDE * room..], &right[i * plane..]];
                multiply(factors, count, room, [own, c_big], (begin, sum));
            }
        }
    }
}

/// sum = begin + the products of all pairs of channels, over some terms: of [terms, m], `step`
/// apart, and of panels of [TILE_STRIDE, panel].
fn multiply(
    [left, right]: [&[f32]; 2],
    terms: usize,
    step: usize,
    [m, n]: [usize; 2],
    (begin, sum): (Accumulate<'_, f32>, &mut [f32]),
) {
    let (runs, wide) = (
        [KSegment {
            a: 0,
            b: 0,
            len: terms,
        }],
        nr::<f32>().min(n),
    );
    for first in (0..n).step_by(wide) {
        let columns = wide.min(n - first);
        let sums = TileProduct::new(left, right, [step, wide], &runs);
        sums.tiles(
            &RowOffsets::dense::<f32>(m, [1, n], columns),
            first * TILE_STRIDE,
            begin,
            OutputTile {
                c: sum,
                first,
                columns,
            },
        );
    }
}
