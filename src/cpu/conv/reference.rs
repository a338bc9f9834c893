//! Convolution by its definition, in plain loops: what every fast path is tested against, and the
//! fallback where none applies.
//!
//! The three operations of a layer are one sum seen from three sides. With `small` and `big` the
//! two images of the window,
//!
//! ```text
//! small[n, i, j, s]     = bias[s] + sum over ky, kx, b of  big[n, y, x, b] weight[s, ky, kx, b]
//! big[n, y, x, b]       = bias[b] + sum over i, j, s   of  small[n, i, j, s] weight[s, ky, kx, b]
//! weight'[s, ky, kx, b] =           sum over n, i, j   of  small[n, i, j, s] big[n, y, x, b]
//!
//! where y = i stride - padding + ky dilation and x = j stride - padding + kx dilation lie inside the big image.
//! ```
//!
//! With groups, channel s meets only the channels b of its own group, and the weight's last axis
//! counts within the group. Everything is summed in the compute type (f32 for bf16) and rounded
//! once.

use crate::tensor::window::Geometry;
use crate::{Float, Stored};

/// One meeting of the two images: a pixel of the small one, a kernel element, and the pixel of the
/// big one under it.
struct Meeting {
    small: usize,
    tap: usize,
    big: usize,
}

/// Calls `body` for each pixel of one small image and each kernel element that lies over the big
/// image.
fn meetings(g: &Geometry, mut body: impl FnMut(Meeting)) {
    for i in 0..g.small[0] {
        for (ky, y) in taps(g, 0, i) {
            for j in 0..g.small[1] {
                for (kx, x) in taps(g, 1, j) {
                    let (small, tap) = (i * g.small[1] + j, ky * g.kernel[1] + kx);
                    body(Meeting {
                        small,
                        tap,
                        big: y * g.big[1] + x,
                    });
                }
            }
        }
    }
}

/// Along one axis, the kernel elements of the window at `at` that lie over the big image, and where
/// they do.
fn taps(g: &Geometry, axis: usize, at: usize) -> impl Iterator<Item = (usize, usize)> {
    let (start, dilation) = (at * g.window.stride[axis], g.window.dilation[axis]);
    let (padding, size) = (g.window.padding[axis], g.big[axis]);
    (0..g.kernel[axis]).filter_map(move |k| {
        let inside = (start + k * dilation)
            .checked_sub(padding)
            .filter(|&inside| inside < size);
        inside.map(|inside| (k, inside))
    })
}

/// Channels of each group in the small and in the big image.
fn channels(g: &Geometry) -> [usize; 2] {
    [g.small[2] / g.window.groups, g.big[2] / g.window.groups]
}

/// Calls `body(s, b, weight index)` for each pair of channels that a kernel element joins.
fn pairs(g: &Geometry, tap: usize, mut body: impl FnMut(usize, usize, usize)) {
    let ([small, big], taps) = (channels(g), g.kernel[0] * g.kernel[1]);
    for s in 0..g.small[2] {
        let group = s / small;
        for b in 0..big {
            body(s, group * big + b, (s * taps + tap) * big + b);
        }
    }
}

/// Each image of `y` from the one of `x`: `begin`s as the bias, adds what `add` says, and rounds.
fn images<T: Stored>(
    sizes: [usize; 2],
    x: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    add: impl Fn(&[T], &mut [T::Compute]),
) {
    if y.is_empty() {
        return;
    }
    let mut sums = vec![T::Compute::ZERO; sizes[1]];
    for (n, y) in y.chunks_mut(sizes[1]).enumerate() {
        match bias {
            Some(bias) => sums
                .iter_mut()
                .zip(bias.iter().cycle())
                .for_each(|(sum, b)| *sum = b.to_compute()),
            None => sums.fill(T::Compute::ZERO),
        }
        add(&x[n * sizes[0]..][..sizes[0]], &mut sums);
        y.iter_mut()
            .zip(&sums)
            .for_each(|(y, &sum)| *y = T::from_compute(sum));
    }
}

/// small = the convolution of big.
pub(crate) fn forward<T: Stored>(
    g: &Geometry,
    big: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    small: &mut [T],
) {
    let sizes = [g.big.iter().product(), g.small.iter().product()];
    images(sizes, big, bias, small, |big, sums| {
        meetings(g, |at| {
            pairs(g, at.tap, |s, b, w| {
                let sum = &mut sums[at.small * g.small[2] + s];
                *sum = *sum + big[at.big * g.big[2] + b].to_compute() * weight[w].to_compute();
            });
        });
    });
}

/// big = the transposed convolution of small, which is the gradient of [`forward`] with respect to
/// big.
pub(crate) fn backward_input<T: Stored>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) {
    let sizes = [g.small.iter().product(), g.big.iter().product()];
    images(sizes, small, bias, big, |small, sums| {
        meetings(g, |at| {
            pairs(g, at.tap, |s, b, w| {
                let sum = &mut sums[at.big * g.big[2] + b];
                *sum =
                    *sum + small[at.small * g.small[2] + s].to_compute() * weight[w].to_compute();
            });
        });
    });
}

/// dw = the gradient of the weight in either direction.
pub(crate) fn backward_weight<T: Stored>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    dw: &mut [T::Compute],
) {
    dw.fill(T::Compute::ZERO);
    let sizes = [g.small, g.big].map(|size| size.iter().product::<usize>());
    for n in 0..g.n {
        let (small, big) = (
            &small[n * sizes[0]..][..sizes[0]],
            &big[n * sizes[1]..][..sizes[1]],
        );
        meetings(g, |at| {
            pairs(g, at.tap, |s, b, w| {
                dw[w] = dw[w]
                    + small[at.small * g.small[2] + s].to_compute()
                        * big[at.big * g.big[2] + b].to_compute();
            });
        });
    }
}
