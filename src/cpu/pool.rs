//! Averages and maxima over windows, image by image.
//!
//! Averages go row by row: for each row of outputs, each kernel element is met once, over all
//! outputs of the row that have it inside the image: a loop over whole pixels, which are contiguous
//! where the stride is 1. So the rows of input and output involved stay in the L1 cache, and what
//! follows one another is vectorized along the channels.
//!
//! Maxima go window by window: some channels' largest elements so far, and which they are, stay in
//! registers. The pass back needs only the latter, and neither reads x nor compares.

use std::ops::Range;

use crate::cpu::{GRAIN, Parts, chunks, pairs_over_threads, vectorize};
use crate::tensor::window::Geometry;
use crate::{Element, Float};

/// Outputs side by side that meet one kernel element: elements of the small image, and of the big
/// one, of which each pixel's `c` are `step` elements after those of the pixel before.
struct Run {
    small: Range<usize>,
    big: Range<usize>,
    c: usize,
    step: usize,
}

/// The kernel elements that lie over the image in some of the windows that begin `first` to `last`
/// elements along an axis of the padded image.
fn over(g: &Geometry, axis: usize, first: usize, last: usize) -> Range<usize> {
    let (padding, dilation) = (g.window.padding[axis], g.window.dilation[axis]);
    let start = padding.saturating_sub(last).div_ceil(dilation);
    start
        ..(padding + g.big[axis])
            .saturating_sub(first)
            .div_ceil(dilation)
            .min(g.kernel[axis])
}

/// Calls `body` for each row of outputs of one image and each kernel element over the image, in
/// order. Kernel elements that no window has over the image are not walked through: a kernel may be
/// far larger than the image and its padding.
fn runs(g: &Geometry, mut body: impl FnMut(Run)) {
    let (stride, padding, dilation, c) = (
        g.window.stride,
        g.window.padding,
        g.window.dilation,
        g.big[2],
    );
    let across = over(g, 1, 0, (g.small[1] - 1) * stride[1]);
    let columns: Vec<Range<usize>> = across
        .clone()
        .map(|kx| g.covered(1, kx * dilation[1]))
        .collect();
    for (i, top) in (0..g.small[0]).map(|i| (i, i * stride[0])) {
        for row in over(g, 0, top, top).map(|ky| top + ky * dilation[0] - padding[0]) {
            for (kx, columns) in across
                .clone()
                .zip(&columns)
                .filter(|(_, columns)| !columns.is_empty())
            {
                let first =
                    row * g.big[1] + columns.start * stride[1] + kx * dilation[1] - padding[1];
                let small =
                    (i * g.small[1] + columns.start) * c..(i * g.small[1] + columns.end) * c;
                let big = first * c..(first + (columns.len() - 1) * stride[1] + 1) * c;
                // Contiguous pixels are one long one.
                let (c, step) = if stride[1] == 1 {
                    (big.len(), big.len())
                } else {
                    (c, stride[1] * c)
                };
                body(Run {
                    small,
                    big,
                    c,
                    step,
                });
            }
        }
    }
}

/// Calls `body(output, first, taps)` for each window of one image: the output's number; where the
/// first kernel element over the image lies; and for each of those its number and how far behind
/// the first it lies, in elements.
fn windows(g: &Geometry, mut body: impl FnMut(usize, usize, &[(u32, usize)])) {
    let (stride, padding, dilation, [_, width, c]) =
        (g.window.stride, g.window.padding, g.window.dilation, g.big);
    let along = |axis: usize| {
        (0..g.small[axis]).map(move |i| over(g, axis, i * stride[axis], i * stride[axis]))
    };
    let columns: Vec<Range<usize>> = along(1).collect();
    let mut taps = Vec::new();
    for (i, down) in along(0).enumerate() {
        let row = i * stride[0] + down.start * dilation[0] - padding[0];
        // Most windows of a row have the same elements over the image.
        let mut last = 0..0;
        for (j, across) in columns.iter().enumerate() {
            if last != *across {
                last = across.clone();
                let elements = down
                    .clone()
                    .flat_map(|ky| across.clone().map(move |kx| (ky, kx)));
                taps.clear();
                taps.extend(elements.map(|(ky, kx)| {
                    let to =
                        (ky - down.start) * dilation[0] * width + (kx - across.start) * dilation[1];
                    ((ky * g.kernel[1] + kx) as u32, to * c)
                }));
            }
            let column = j * stride[1] + across.start * dilation[1] - padding[1];
            body(i * g.small[1] + j, (row * width + column) * c, &taps);
        }
    }
}

/// Images of a task: each element of the big image is read and written some times.
fn together(g: &Geometry) -> usize {
    (GRAIN / 2).div_ceil(g.big.iter().product::<usize>().max(1))
}

/// Calls `body(image, its part of out)` for each image.
fn images<T: Float>(
    g: &Geometry,
    size: usize,
    out: &mut [T],
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    if size > 0 {
        chunks(out, together(g) * size, |start, out| {
            out.chunks_mut(size)
                .enumerate()
                .for_each(|(i, out)| body(start / size + i, out));
        });
    }
}

/// y = the mean over each window, zeros of the padding included.
pub(crate) fn average<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let ([size_x, size_y], scale) = (sizes(g), share(g));
    images(g, size_y, y, |image, y| {
        let x = &x[image * size_x..][..size_x];
        y.fill(T::ZERO);
        runs(g, |run| {
            add_scaled(
                &mut y[run.small],
                &x[run.big],
                scale,
                [run.c, run.c, run.step],
            )
        });
    });
}

/// dx = the sum of dy / (kh kw) over the windows an element lies in.
pub(crate) fn backward_average<T: Float>(g: &Geometry, dy: &[T], dx: &mut [T]) {
    let ([size_x, size_y], scale) = (sizes(g), share(g));
    images(g, size_x, dx, |image, dx| {
        let dy = &dy[image * size_y..][..size_y];
        dx.fill(T::ZERO);
        runs(g, |run| {
            add_scaled(
                &mut dx[run.big],
                &dy[run.small],
                scale,
                [run.c, run.step, run.c],
            )
        });
    });
}

/// y = the largest element of each window; not-a-number where there is one.
pub(crate) fn maximum<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let ([size_x, size_y], c) = (sizes(g), g.big[2]);
    images(g, size_y, y, |image, y| {
        let (x, mut at) = (&x[image * size_x..][..size_x], vec![0; c]);
        windows(g, |output, first, taps| {
            largest(&mut y[output * c..][..c], &mut at, &x[first..], taps)
        });
    });
}

/// The same, and in `positions` which kernel element that is: the first of equal ones, or the first
/// that is not a number.
pub(crate) fn maximum_at<T: Float, N: Number>(
    g: &Geometry,
    x: &[T],
    y: &mut [T],
    positions: &mut [N],
) {
    let ([size_x, size_y], c) = (sizes(g), g.big[2]);
    let some = together(g) * size_y;
    pairs_over_threads(
        Parts(y, some),
        Parts(positions, some),
        &|i, y, positions| {
            let (mut at, x) = (vec![0; c], &x[i * together(g) * size_x..]);
            for ((y, positions), x) in y
                .chunks_mut(size_y)
                .zip(positions.chunks_mut(size_y))
                .zip(x.chunks(size_x))
            {
                windows(g, |output, first, taps| {
                    largest(&mut y[output * c..][..c], &mut at, &x[first..], taps);
                    positions[output * c..]
                        .iter_mut()
                        .zip(&at)
                        .for_each(|(number, &at)| *number = N::of(at));
                });
            }
        },
    );
}

/// A kernel element's number, as it is kept from the pass forward to the one back.
pub(crate) trait Number: Element {
    /// This number.
    fn of(number: u32) -> Self;
    /// As an index.
    fn index(self) -> usize;
}

macro_rules! positions {
    ($($t:ty)*) => {$(impl Number for $t {
        #[inline(always)]
        fn of(number: u32) -> $t { number as $t }
        #[inline(always)]
        fn index(self) -> usize { self as usize }
    })*};
}
positions! { u8 i64 }

/// dx = the sum of dy of the windows of which an element is the largest, by the positions of
/// [`maximum_at`].
pub(crate) fn backward_maximum<T: Float, N: Number>(
    g: &Geometry,
    dy: &[T],
    positions: &[N],
    dx: &mut [T],
) {
    let ([size_x, size_y], [_, width, c]) = (sizes(g), g.big);
    let (stride, padding, dilation) = (g.window.stride, g.window.padding, g.window.dilation);
    // From a window's corner, which may lie in the padding, to each kernel element. What is before
    // the image wraps until the corner is added to it.
    let kernel = (0..g.kernel[0])
        .flat_map(|ky| (0..g.kernel[1]).map(move |kx| ky * dilation[0] * width + kx * dilation[1]));
    let taps: Vec<usize> = kernel
        .map(|to| {
            to.wrapping_sub(padding[0] * width + padding[1])
                .wrapping_mul(c)
        })
        .collect();
    images(g, size_x, dx, |image, dx| {
        let (dy, positions) = (
            &dy[image * size_y..][..size_y],
            &positions[image * size_y..][..size_y],
        );
        dx.fill(T::ZERO);
        let corners = (0..g.small[0]).flat_map(|i| {
            (0..g.small[1]).map(move |j| (i * stride[0] * width + j * stride[1]) * c)
        });
        for ((dy, positions), corner) in dy.chunks(c).zip(positions.chunks(c)).zip(corners) {
            for (channel, (&dy, number)) in dy.iter().zip(positions).enumerate() {
                let dx = &mut dx[taps[number.index()].wrapping_add(corner + channel)];
                *dx = *dx + dy;
            }
        }
    });
}

vectorize! {
    /// y += x scale, by pixels of c elements that begin so far apart in y and in x.
    fn add_scaled<T: Float>(y: &mut [T], x: &[T], scale: T, lengths: [usize; 3]) {
        let [c, step_y, step_x] = lengths;
        for (y, x) in y.chunks_mut(step_y).zip(x.chunks(step_x)) {
            for (y, &x) in y[..c].iter_mut().zip(&x[..c]) {
                *y = *y + x * scale;
            }
        }
    }

    /// y = the largest of each channel over the elements of one window, and at = their positions. x
    /// begins with the first element's channels; of each element there are its number and how far
    /// behind the first it lies.
    fn largest<T: Float>(y: &mut [T], at: &mut [u32], x: &[T], taps: &[(u32, usize)]) {
        let (blocks, rest) = y.as_chunks_mut();
        let (at_blocks, at_rest) = at.as_chunks_mut();
        for (block, (y, at)) in blocks.iter_mut().zip(at_blocks).enumerate() {
            (*y, *at) = largest_of(&x[LANES * block..], taps, |x| *x.first_chunk().expect("a window lies within the image"));
        }
        // Fewer channels: those of the next pixel are looked at too, for nothing. The last pixel
        // has zeros behind it.
        let ends = |x: &[T]| std::array::from_fn(|lane| x.get(lane).copied().unwrap_or(T::ZERO));
        if !rest.is_empty() {
            let x = &x[LANES * blocks.len()..];
            let (most, number) = largest_of(x, taps, |x| x.first_chunk().copied().unwrap_or_else(|| ends(x)));
            rest.copy_from_slice(&most[..rest.len()]);
            at_rest.copy_from_slice(&number[..at_rest.len()]);
        }
    }
}

/// Channels at once.
const LANES: usize = 8;

/// The largest of these channels, and the number of the element it is of. They stay in registers: a
/// loop that may leave y in memory as it is would be one of conditional stores, which some
/// processors take many times as long for.
#[inline(always)]
fn largest_of<T: Float>(
    x: &[T],
    taps: &[(u32, usize)],
    load: impl Fn(&[T]) -> [T; LANES],
) -> ([T; LANES], [u32; LANES]) {
    let (mut most, mut number) = ([T::from_f64(f64::NEG_INFINITY); LANES], [taps[0].0; LANES]);
    for &(tap, to) in taps {
        let x = load(&x[to..]);
        for lane in 0..LANES {
            let more = (x[lane] > most[lane]) | (x[lane].is_nan() & !most[lane].is_nan());
            most[lane] = if more { x[lane] } else { most[lane] };
            number[lane] = if more { tap } else { number[lane] };
        }
    }
    (most, number)
}

/// Elements of a big and of a small image.
fn sizes(g: &Geometry) -> [usize; 2] {
    [g.big.iter().product(), g.small.iter().product()]
}

fn share<T: Float>(g: &Geometry) -> T {
    T::from_f64(1.0 / (g.kernel[0] * g.kernel[1]) as f64)
}
