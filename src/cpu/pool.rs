//! Averages and maxima over windows, image by image and row by row.
//!
//! For each row of outputs, each kernel element is met once, over all outputs of the row that have it inside the image: a loop over
//! whole pixels, which are contiguous where the stride is 1. So the rows of input and output involved stay in the L1 cache, and
//! what follows one another is vectorized along the channels.

use std::ops::Range;

use crate::Float;
use crate::cpu::conv2d::covered;
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::window::Geometry;

/// Outputs side by side that meet one kernel element: elements of the small image, and of the big one, of which each pixel's `c`
/// are `step` elements after those of the pixel before.
struct Run {
    small: Range<usize>,
    big: Range<usize>,
    c: usize,
    step: usize,
}

/// Calls `body` for each row of outputs of one image and each kernel element over the image, in order. Kernel elements that no
/// window has over the image are not walked through: a kernel may be far larger than the image and its padding.
fn runs(g: &Geometry, mut body: impl FnMut(Run)) {
    let (stride, padding, dilation, c) = (g.window.stride, g.window.padding, g.window.dilation, g.big[2]);
    // Kernel elements that lie over the image in a window that begins `first`, at the earliest, to `last` behind the padding's edge.
    let over = |axis: usize, first: usize, last: usize| {
        let start = padding[axis].saturating_sub(last).div_ceil(dilation[axis]);
        start..(padding[axis] + g.big[axis]).saturating_sub(first).div_ceil(dilation[axis]).min(g.kernel[axis])
    };
    let across = over(1, 0, (g.small[1] - 1) * stride[1]);
    let columns: Vec<Range<usize>> = across.clone().map(|kx| covered(g, 1, kx * dilation[1])).collect();
    for (i, top) in (0..g.small[0]).map(|i| (i, i * stride[0])) {
        for row in over(0, top, top).map(|ky| top + ky * dilation[0] - padding[0]) {
            for (kx, columns) in across.clone().zip(&columns).filter(|(_, columns)| !columns.is_empty()) {
                let first = row * g.big[1] + columns.start * stride[1] + kx * dilation[1] - padding[1];
                let small = (i * g.small[1] + columns.start) * c..(i * g.small[1] + columns.end) * c;
                let big = first * c..(first + (columns.len() - 1) * stride[1] + 1) * c;
                // Contiguous pixels are one long one.
                let (c, step) = if stride[1] == 1 { (big.len(), big.len()) } else { (c, stride[1] * c) };
                body(Run { small, big, c, step });
            }
        }
    }
}

/// Calls `body(image, its part of out)` for each image.
fn images<T: Float>(g: &Geometry, size: usize, out: &mut [T], body: impl Fn(usize, &mut [T]) + Sync) {
    if size > 0 {
        // Images of a task: each element of the big image is read and written some times.
        let least = (GRAIN / 2).div_ceil(g.big.iter().product::<usize>().max(1));
        chunks(out, least * size, |start, out| {
            out.chunks_mut(size).enumerate().for_each(|(i, out)| body(start / size + i, out));
        });
    }
}

/// y = the mean over each window, zeros of the padding included.
pub(crate) fn average<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let ([size_x, size_y], scale) = (sizes(g), share(g));
    images(g, size_y, y, |image, y| {
        let x = &x[image * size_x..][..size_x];
        y.fill(T::ZERO);
        runs(g, |run| add_scaled(&mut y[run.small], &x[run.big], scale, [run.c, run.c, run.step]));
    });
}

/// dx = the sum of dy / (kh kw) over the windows an element lies in.
pub(crate) fn backward_average<T: Float>(g: &Geometry, dy: &[T], dx: &mut [T]) {
    let ([size_x, size_y], scale) = (sizes(g), share(g));
    images(g, size_x, dx, |image, dx| {
        let dy = &dy[image * size_y..][..size_y];
        dx.fill(T::ZERO);
        runs(g, |run| add_scaled(&mut dx[run.big], &dy[run.small], scale, [run.c, run.step, run.c]));
    });
}

/// y = the largest element of each window; not-a-number where there is one.
pub(crate) fn maximum<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let [size_x, size_y] = sizes(g);
    images(g, size_y, y, |image, y| {
        let x = &x[image * size_x..][..size_x];
        y.fill(T::from_f64(f64::NEG_INFINITY));
        runs(g, |run| larger(&mut y[run.small], &x[run.big], [run.c, run.step]));
    });
}

/// dx = dy at the first element of its window that is equal to the largest.
pub(crate) fn backward_maximum<T: Float>(g: &Geometry, [x, y, dy]: [&[T]; 3], dx: &mut [T]) {
    let [size_x, size_y] = sizes(g);
    images(g, size_x, dx, |image, dx| {
        let x = &x[image * size_x..][..size_x];
        let [y, dy] = [y, dy].map(|t| &t[image * size_y..][..size_y]);
        // Of each output's dy what no element of its window has taken yet: all of it, then nothing.
        let mut left = dy.to_vec();
        dx.fill(T::ZERO);
        runs(g, |run| {
            let sides = [&x[run.big.clone()], &y[run.small.clone()]];
            take(&mut dx[run.big], &mut left[run.small], sides, [run.c, run.step]);
        });
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

    /// y = the larger of y and x, by pixels of c elements that begin `step` apart in x.
    fn larger<T: Float>(y: &mut [T], x: &[T], lengths: [usize; 2]) {
        let [c, step] = lengths;
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks(step)) {
            for (y, &x) in y.iter_mut().zip(&x[..c]) {
                *y = if x > *y || x.is_nan() { x } else { *y };
            }
        }
    }

    /// Moves what is left to dx where x is the largest of its window, y. Without a branch: a maximum is anywhere.
    fn take<T: Float>(dx: &mut [T], left: &mut [T], sides: [&[T]; 2], lengths: [usize; 2]) {
        let ([x, y], [c, step]) = (sides, lengths);
        let big = dx.chunks_mut(step).zip(x.chunks(step));
        for ((dx, x), (left, y)) in big.zip(left.chunks_exact_mut(c).zip(y.chunks_exact(c))) {
            for ((dx, &x), (left, &y)) in dx[..c].iter_mut().zip(&x[..c]).zip(left.iter_mut().zip(y)) {
                let largest = x == y || x.is_nan();
                *dx = *dx + left.only_if(largest);
                *left = left.only_if(!largest);
            }
        }
    }
}

/// Elements of a big and of a small image.
fn sizes(g: &Geometry) -> [usize; 2] {
    [g.big.iter().product(), g.small.iter().product()]
}

fn share<T: Float>(g: &Geometry) -> T {
    T::from_f64(1.0 / (g.kernel[0] * g.kernel[1]) as f64)
}
