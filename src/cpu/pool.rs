//! Averages and maxima over windows, image by image.

use crate::Float;
use crate::cpu::conv2d::covered;
use crate::cpu::{chunks, vectorize};
use crate::window::Geometry;

/// Calls `body(output pixel, input pixel)` for each element of each window that lies within one image.
fn pairs(g: &Geometry, mut body: impl FnMut(usize, usize)) {
    let (stride, padding, dilation) = (g.window.stride, g.window.padding, g.window.dilation);
    for tap in 0..g.kernel[0] * g.kernel[1] {
        let (down, right) = (tap / g.kernel[1] * dilation[0], tap % g.kernel[1] * dilation[1]);
        for i in covered(g, 0, down) {
            let row = i * stride[0] + down - padding[0];
            for j in covered(g, 1, right) {
                body(i * g.small[1] + j, row * g.big[1] + j * stride[1] + right - padding[1]);
            }
        }
    }
}

/// Calls `body(image, its part of out)` for each image.
fn images<T: Float>(g: &Geometry, size: usize, out: &mut [T], body: impl Fn(usize, &mut [T]) + Sync) {
    if size > 0 {
        // Images of a task: enough for a quarter of a million elements.
        let least = (1usize << 18).div_ceil(g.big.iter().product::<usize>().max(1));
        chunks(out, least * size, |start, out| {
            out.chunks_mut(size).enumerate().for_each(|(i, out)| body(start / size + i, out));
        });
    }
}

/// y = the mean over each window, zeros of the padding included.
pub(crate) fn average<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let (c, [size_x, size_y], scale) = (g.big[2], sizes(g), share(g));
    images(g, size_y, y, |image, y| {
        let x = &x[image * size_x..][..size_x];
        y.fill(T::ZERO);
        pairs(g, |to, from| {
            let x = &x[from * c..][..c];
            add_scaled(&mut y[to * c..][..c], x, scale);
        });
    });
}

/// dx = the sum of dy / (kh kw) over the windows an element lies in.
pub(crate) fn backward_average<T: Float>(g: &Geometry, dy: &[T], dx: &mut [T]) {
    let (c, [size_x, size_y], scale) = (g.big[2], sizes(g), share(g));
    images(g, size_x, dx, |image, dx| {
        let dy = &dy[image * size_y..][..size_y];
        dx.fill(T::ZERO);
        pairs(g, |from, to| {
            let dy = &dy[from * c..][..c];
            add_scaled(&mut dx[to * c..][..c], dy, scale);
        });
    });
}

/// y = the largest element of each window; not-a-number where there is one.
pub(crate) fn maximum<T: Float>(g: &Geometry, x: &[T], y: &mut [T]) {
    let (c, [size_x, size_y]) = (g.big[2], sizes(g));
    images(g, size_y, y, |image, y| {
        let x = &x[image * size_x..][..size_x];
        y.fill(T::from_f64(f64::NEG_INFINITY));
        pairs(g, |to, from| {
            let x = &x[from * c..][..c];
            larger(&mut y[to * c..][..c], x);
        });
    });
}

/// dx = dy at the first element of its window that is equal to the largest.
pub(crate) fn backward_maximum<T: Float>(g: &Geometry, [x, y, dy]: [&[T]; 3], dx: &mut [T]) {
    let (c, [size_x, size_y]) = (g.big[2], sizes(g));
    images(g, size_x, dx, |image, dx| {
        let x = &x[image * size_x..][..size_x];
        let [y, dy] = [y, dy].map(|t| &t[image * size_y..][..size_y]);
        let mut given = vec![false; size_y];
        dx.fill(T::ZERO);
        pairs(g, |from, to| {
            for k in 0..c {
                let (from, to) = (from * c + k, to * c + k);
                if !given[from] && (x[to] == y[from] || x[to].is_nan()) {
                    given[from] = true;
                    dx[to] = dx[to] + dy[from];
                }
            }
        });
    });
}

vectorize! {
    /// y += x scale.
    fn add_scaled<T: Float>(y: &mut [T], x: &[T], scale: T) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = *y + x * scale;
        }
    }

    /// y = the larger of y and x.
    fn larger<T: Float>(y: &mut [T], x: &[T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x > *y || x.is_nan() { x } else { *y };
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
