//! Convolution by its definition, in plain loops: what the fuzz target and the unit tests compare
//! every fast path with (`tests/ops/conv2d.rs` has one of its own, in f64), and what runs where a
//! zero-padded copy would be too large (`MAX_PADDED`).
//!
//! The three operations of a layer sum the same terms, each into another operand. With the small
//! image (a pixel for each place of the window) and the big one (which it slides over),
//!
//! ```text
//! small[n, i, j, s] = bias[s] + sum over ky, kx, b of  big[n, y, x, b]   weight[s, ky, kx, b]
//! big[n, y, x, b]   = bias[b] + sum over i, j, s of    small[n, i, j, s] weight[s, ky, kx, b]
//! dw[s, ky, kx, b]  =           sum over n, i, j of    small[n, i, j, s] big[n, y, x, b]
//!
//! where y = i stride - padding + ky dilation and x = j stride - padding + kx dilation
//! lie inside the big image.
//! ```
//!
//! With groups, channel s meets only the channels b of its own group, and the weight's last axis
//! counts within the group. Sums are accumulated in the compute type (f32 for bf16) and rounded
//! once.

use crate::tensor::window::Geometry;
use crate::{Float, Stored};

/// The elements that one term of the sums multiplies: indices into a small image, a big image and
/// the weight.
struct Term {
    small: usize,
    big: usize,
    weight: usize,
}

/// Calls `add` for each term of one image.
fn for_each_term(g: &Geometry, mut add: impl FnMut(Term)) {
    let ([h, w, c_small], [_, big_w, c_big], [kh, kw]) = (g.small, g.big, g.kernel);
    let [group_small, group_big] = [c_small, c_big].map(|c| c / g.window.groups);
    for i in 0..h {
        for ky in 0..kh {
            let Some(y) = inside(g, 0, i, ky) else {
                continue;
            };
            for j in 0..w {
                for kx in 0..kw {
                    let Some(x) = inside(g, 1, j, kx) else {
                        continue;
                    };
                    for s in 0..c_small {
                        for b in 0..group_big {
                            let channel = s / group_small * group_big + b;
                            add(Term {
                                small: (i * w + j) * c_small + s,
                                big: (y * big_w + x) * c_big + channel,
                                weight: ((s * kh + ky) * kw + kx) * group_big + b,
                            });
                        }
                    }
                }
            }
        }
    }
}

/// The row (axis 0) or column (1) of the big image under kernel index k of window i, if it lies
/// inside.
fn inside(g: &Geometry, axis: usize, i: usize, k: usize) -> Option<usize> {
    let at = i * g.window.stride[axis] + k * g.window.dilation[axis];
    at.checked_sub(g.window.padding[axis])
        .filter(|&at| at < g.big[axis])
}

/// small = the convolution of big.
pub(crate) fn forward<T: Stored>(
    g: &Geometry,
    big: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    small: &mut [T],
) {
    let lengths = [g.big, g.small].map(|size| size.iter().product());
    for_each_image(lengths, big, bias, small, |big, sums| {
        for_each_term(g, |at| {
            let product = big[at.big].to_compute() * weight[at.weight].to_compute();
            sums[at.small] = sums[at.small] + product;
        });
    });
}

/// big = the transposed convolution of small: the gradient of [`forward`] with respect to big.
pub(crate) fn transposed<T: Stored>(
    g: &Geometry,
    small: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    big: &mut [T],
) {
    let lengths = [g.small, g.big].map(|size| size.iter().product());
    for_each_image(lengths, small, bias, big, |small, sums| {
        for_each_term(g, |at| {
            let product = small[at.small].to_compute() * weight[at.weight].to_compute();
            sums[at.big] = sums[at.big] + product;
        });
    });
}

/// dw = the gradient of [`forward`] with respect to the weight.
pub(crate) fn backward_weight<T: Stored>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    dw: &mut [T::Compute],
) {
    dw.fill(T::Compute::ZERO);
    let [small_len, big_len] = [g.small, g.big].map(|size| size.iter().product::<usize>());
    for n in 0..g.n {
        let (small, big) = (&small[n * small_len..], &big[n * big_len..]);
        for_each_term(g, |at| {
            let product = small[at.small].to_compute() * big[at.big].to_compute();
            dw[at.weight] = dw[at.weight] + product;
        });
    }
}

/// Each image of y from the one of x, of these lengths: sums that start from the bias, with what
/// `add` adds to them, rounded.
fn for_each_image<T: Stored>(
    [x_len, y_len]: [usize; 2],
    x: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    add: impl Fn(&[T], &mut [T::Compute]),
) {
    if y.is_empty() {
        return;
    }
    let mut sums = vec![T::Compute::ZERO; y_len];
    for (n, y) in y.chunks_mut(y_len).enumerate() {
        match bias {
            Some(bias) => sums
                .iter_mut()
                .zip(bias.iter().cycle())
                .for_each(|(sum, b)| *sum = b.to_compute()),
            None => sums.fill(T::Compute::ZERO),
        }
        add(&x[n * x_len..][..x_len], &mut sums);
        y.iter_mut()
            .zip(&sums)
            .for_each(|(y, &sum)| *y = T::from_compute(sum));
    }
}
