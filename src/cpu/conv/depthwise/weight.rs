//! The gradient of a depthwise layer's weight.
//!
//! ```text
//! for each block of rows of an image, as many channels as fit in L2:
//!     copy them, zero-padded                               [blocks, rows, columns, 16]
//!     for each block of 16 channels, each run of up to 8 taps of a row of the kernel:
//!         for each pixel (i, j) of the small image:        an accumulator for each tap
//!             dw[tap] += small[i, j] big[window of (i, j), tap]
//! ```
//!
//! Of narrow kernels three rows are summed at once, or an FMA would wait for the one before it.

use std::ops::Range;

use super::{BLOCK, copy_blocks, plane, strip};
use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::InputView;
use crate::cpu::conv::weight::{TapPixels, row_blocks};
use crate::cpu::simd::{Kernel, Lanes, run_widest};
use crate::cpu::{Scratch, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::tensor::window::Geometry;
use crate::{DType, Element, Float, Stored};

/// Taps of a row that are summed at once, at most.
const TAPS: usize = 8;

/// Taps of a row up to which [`ROWS`] rows are summed at once.
const FEW_TAPS: usize = 3;
const ROWS: usize = 3;

/// Elements of the largest copy of a block of channels. It would be larger only for windows that
/// are nearly all padding.
const MAX_COPY: usize = 1 << 20;

/// Adds to dw, [c, kh, kw], what rows `rows` of the small image, counted through all images,
/// contribute.
pub(crate) fn add_weight_gradient<T: Stored>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let longest = row_blocks(g, rows.clone(), true)
        .map(|rows| rows.len())
        .max();
    let view = big_view(g, 0..longest.unwrap_or(0));
    let elements = view.height.saturating_mul(view.width).saturating_mul(BLOCK);
    if <T::Compute as Element>::DTYPE == DType::F32
        && g.window.dilation[1] == 1
        && elements <= MAX_COPY
    {
        add_in_registers(g, [small, big], rows, dw);
    } else {
        add_by_taps(g, [small, big], rows, dw);
    }
}

/// What rows `rows` of a small image read of the big one.
fn big_view(g: &Geometry, rows: Range<usize>) -> InputView {
    let span = |axis: usize, windows: usize| {
        let windows = windows
            .saturating_sub(1)
            .saturating_mul(g.window.stride[axis]);
        let kernel = (g.kernel[axis] - 1).saturating_mul(g.window.dilation[axis]);
        windows.saturating_add(kernel).saturating_add(1)
    };
    let first = rows.start.saturating_mul(g.window.stride[0]);
    InputView {
        top: first as isize - g.window.padding[0] as isize,
        left: -(g.window.padding[1] as isize),
        height: span(0, rows.len()),
        width: span(1, g.small[1]),
        channels: BLOCK,
        copied: true,
    }
}

/// As [`add_weight_gradient`], for f32 and taps of a row side by side.
fn add_in_registers<T: Stored>(
    g: &Geometry,
    images: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let ([_, w, c], taps) = (g.small, g.kernel[0] * g.kernel[1]);
    let longest = row_blocks(g, rows.clone(), true)
        .map(|rows| rows.len())
        .max();
    let longest = 0..longest.unwrap_or(0);
    let big = big_view(g, longest.clone());
    let planes = [longest.len() * w, big.height * big.width].map(plane);
    let strip = strip(c, planes[0] + planes[1]);
    let mut sums = Sums {
        copies: planes.map(|plane| Scratch::new(strip * plane)),
        sums: vec![T::Compute::ZERO; strip * taps * BLOCK],
    };
    for first in (0..c).step_by(strip * BLOCK) {
        let channels = first..c.min(first + strip * BLOCK);
        sums.sums.fill(T::Compute::ZERO);
        for rows in row_blocks(g, rows.clone(), true) {
            sums.add(g, images, rows, &channels);
        }
        let dw = dw.chunks_mut(taps).skip(first).take(channels.len());
        for (c, dw) in dw.enumerate() {
            let sums = &sums.sums[c / BLOCK * taps * BLOCK + c % BLOCK..];
            let sums = sums.iter().step_by(BLOCK);
            dw.iter_mut()
                .zip(sums)
                .for_each(|(dw, &sum)| *dw = *dw + sum);
        }
    }
}

/// The gradient of some channels' weights so far.
struct Sums<C> {
    /// Where rows of the small and the big image are copied to.
    copies: [Scratch<C>; 2],
    /// [blocks, taps, BLOCK].
    sums: Vec<C>,
}

impl<C: Float> Sums<C> {
    /// Adds what rows of one image contribute to these channels.
    fn add<T: Stored<Compute = C>>(
        &mut self,
        g: &Geometry,
        images: [&[T]; 2],
        rows: Range<usize>,
        channels: &Range<usize>,
    ) {
        let ([h, w, _], taps) = (g.small, g.kernel[0] * g.kernel[1]);
        let (image, first) = (rows.start / h, rows.start % h);
        let rows = first..first + rows.len();
        let small = InputView {
            top: first as isize,
            left: 0,
            height: rows.len(),
            width: w,
            channels: BLOCK,
            copied: true,
        };
        let views = [small, big_view(g, rows)];
        let (blocks, lens) = (
            channels.len().div_ceil(BLOCK),
            views.map(|view| view.height * view.width),
        );
        for (i, size) in [g.small, g.big].into_iter().enumerate() {
            let len = size.iter().product::<usize>();
            let pixels = Pixels {
                image: &images[i][image * len..][..len],
                size,
                channels: channels.clone(),
            };
            let copy = &mut self.copies[i][..blocks * plane(lens[i])];
            copy_blocks(&pixels, &views[i], copy);
        }
        for (i, sums) in self.sums.chunks_mut(taps * BLOCK).take(blocks).enumerate() {
            let copies = [0, 1].map(|of| {
                let copy = &self.copies[of][i * plane(lens[of])..];
                as_type(&copy[..lens[of] * BLOCK])
            });
            if let ([Some(small), Some(big)], Some(sums)) = (copies, as_type_mut(sums)) {
                let width = views[1].width;
                run_widest(TapSums {
                    g,
                    small,
                    big,
                    width,
                    sums,
                });
            }
        }
    }
}

/// A block of rows, [`BLOCK`] channels.
struct TapSums<'a> {
    g: &'a Geometry,
    /// [rows, columns, BLOCK].
    small: &'a [f32],
    /// [rows, width, BLOCK], zero-padded.
    big: &'a [f32],
    width: usize,
    /// [kh, kw, BLOCK].
    sums: &'a mut [f32],
}

impl Kernel for TapSums<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(mut self) {
        let [kh, kw] = self.g.kernel;
        // As equal runs as there are: 9 taps are 5 and 4.
        let run = kw.div_ceil(kw.div_ceil(TAPS));
        for kx in (0..kw).step_by(run) {
            let (taps, mut ky) = (run.min(kw - kx), 0);
            while taps <= FEW_TAPS && ky + ROWS <= kh {
                match taps {
                    1 => self.add::<V, ROWS, 1>(ky, kx),
                    2 => self.add::<V, ROWS, 2>(ky, kx),
                    _ => self.add::<V, ROWS, 3>(ky, kx),
                }
                ky += ROWS;
            }
            for ky in ky..kh {
                match taps {
                    1 => self.add::<V, 1, 1>(ky, kx),
                    2 => self.add::<V, 1, 2>(ky, kx),
                    3 => self.add::<V, 1, 3>(ky, kx),
                    4 => self.add::<V, 1, 4>(ky, kx),
                    5 => self.add::<V, 1, 5>(ky, kx),
                    6 => self.add::<V, 1, 6>(ky, kx),
                    7 => self.add::<V, 1, 7>(ky, kx),
                    _ => self.add::<V, 1, 8>(ky, kx),
                }
            }
        }
    }
}

impl TapSums<'_> {
    /// Adds to the sums of R rows of K taps, from tap (ky, kx) on.
    #[inline(always)]
    fn add<V: Lanes<f32>, const R: usize, const K: usize>(&mut self, ky: usize, kx: usize) {
        let ([_, w, _], [_, kw], window) = (self.g.small, self.g.kernel, self.g.window);
        let line = self.width * BLOCK;
        for lane in (0..BLOCK).step_by(V::N) {
            let mut sums = [[V::splat(0.0); K]; R];
            for (i, small) in self.small.chunks_exact(w * BLOCK).enumerate() {
                let rows: [&[f32]; R] = std::array::from_fn(|r| {
                    let y = i * window.stride[0] + (ky + r) * window.dilation[0];
                    &self.big[y * line + kx * BLOCK + lane..(y + 1) * line]
                });
                for (j, small) in small.as_chunks::<BLOCK>().0.iter().enumerate() {
                    let small = V::read(&small[lane..]);
                    for r in 0..R {
                        let x = j * window.stride[1] * BLOCK;
                        let big = &rows[r][x..][..(K - 1) * BLOCK + V::N];
                        for k in 0..K {
                            sums[r][k] = sums[r][k].add_product(V::read(&big[k * BLOCK..]), small);
                        }
                    }
                }
            }
            for r in 0..R {
                for k in 0..K {
                    let to = &mut self.sums[((ky + r) * kw + kx + k) * BLOCK + lane..];
                    sums[r][k].add(V::read(to)).write(to);
                }
            }
        }
    }
}

/// As [`add_weight_gradient`], for any type and window, one tap after the other.
fn add_by_taps<T: Stored>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let ([_, width, c], taps) = (g.small, g.kernel[0] * g.kernel[1]);
    let mut sum = vec![T::Compute::ZERO; c];
    for rows in row_blocks(g, rows, false) {
        let small = &small[rows.start * width * c..rows.end * width * c];
        for tap in 0..taps {
            let pixels = TapPixels::new(g, tap);
            sum.fill(T::Compute::ZERO);
            for (row, small) in rows.clone().zip(small.chunks(width * c)) {
                let (columns, first) = pixels.row(row);
                if !columns.is_empty() {
                    let small = &small[columns.start * c..][..columns.len() * c];
                    add_row(small, &big[first * c..], g.window.stride[1], &mut sum);
                }
            }
            dw.iter_mut()
                .skip(tap)
                .step_by(taps)
                .zip(&sum)
                .for_each(|(dw, &sum)| *dw = *dw + sum);
        }
    }
}

vectorize! {
    /// sum += small big, pixel by pixel; those of `big` are `stride` pixels apart.
    fn add_row<T: Stored>(small: &[T], big: &[T], stride: usize, sum: &mut [T::Compute]) {
        let c = sum.len();
        for (small, big) in small.chunks(c).zip(big.chunks(stride.saturating_mul(c))) {
            for ((sum, &small), &big) in sum.iter_mut().zip(small).zip(big) {
                *sum = *sum + small.to_compute() * big.to_compute();
            }
        }
    }
}
