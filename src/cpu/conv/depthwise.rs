//! Convolutions that give each channel a kernel of its own: no sums over channels, so plain loops
//! along them.

use std::ops::Range;

use crate::cpu::conv::indirect::{ConvPlan, InputView};
use crate::cpu::gemm::factor;
use crate::cpu::vectorize;
use crate::tensor::window::Geometry;
use crate::{Float, Stored};

/// The weight, for each pair of phases and each tap all channels.
pub(crate) fn pack<T: Stored, F: Stored<Compute = T::Compute>>(plan: &ConvPlan<'_, T>) -> Vec<F> {
    let ([kh, kw], channels) = (plan.kernel, plan.groups);
    let mut packed = Vec::with_capacity(plan.weight.len());
    for (v, h) in plan.pairs() {
        for (ky, kx) in v
            .taps
            .iter()
            .flat_map(|&(ky, _)| h.taps.iter().map(move |&(kx, _)| (ky, kx)))
        {
            packed.extend(
                (0..channels).map(|c| factor::<T, F>(plan.weight[(c * kh + ky) * kw + kx])),
            );
        }
    }
    packed
}

/// Output rows `rows` of one image.
pub(crate) fn rows<T: Stored, F: Stored<Compute = T::Compute>>(
    plan: &ConvPlan<'_, T>,
    (data, view): (&[F], InputView),
    rows: &Range<usize>,
    packed: &[F],
    y: &mut [T],
) {
    let [_, width, c] = plan.output;
    let (mut rest, mut sums) = (packed, vec![T::Compute::ZERO; c]);
    for (v, h) in plan.pairs() {
        let (weight, after) = rest.split_at(v.taps.len() * h.taps.len() * c);
        rest = after;
        for j in v.within(rows) {
            let (first, step) = view.window([v, h], j);
            let line = &mut y[(v.start + j * v.step - rows.start) * width * c..][..width * c];
            for (i, y) in line.chunks_mut(c).skip(h.start).step_by(h.step).enumerate() {
                let mut weights = weight.chunks(c);
                match plan.bias {
                    Some(bias) => sums
                        .iter_mut()
                        .zip(bias)
                        .for_each(|(sum, bias)| *sum = bias.to_compute()),
                    None => sums.fill(T::Compute::ZERO),
                }
                for (_, dy) in &v.taps {
                    for ((_, dx), w) in h.taps.iter().zip(weights.by_ref()) {
                        let (below, right) =
                            ((dy - v.taps[0].1) as usize, (dx - h.taps[0].1) as usize);
                        let x = &data[first + i * step + (below * view.width + right) * c..][..c];
                        add_product(&mut sums, x, w);
                    }
                }
                y.iter_mut()
                    .zip(&sums)
                    .for_each(|(y, &sum)| *y = T::from_compute(sum));
            }
        }
    }
}

/// Adds the products of some lines of pixels, counted through all images, to `dw`, [c, kh, kw].
pub(crate) fn add_products<T: Stored>(
    g: &Geometry,
    small: &[T],
    lines: Range<usize>,
    big: &[T],
    dw: &mut [T::Compute],
) {
    let (c, [h, w, _]) = (g.small[2], g.big);
    let taps = g.kernel[0] * g.kernel[1];
    let mut sum = vec![T::Compute::ZERO; c];
    for tap in 0..taps {
        let (down, right) = (
            tap / g.kernel[1] * g.window.dilation[0],
            tap % g.kernel[1] * g.window.dilation[1],
        );
        let (covered_rows, columns) = (g.covered(0, down), g.covered(1, right));
        sum.fill(T::Compute::ZERO);
        for (line, small) in lines.clone().zip(small.chunks(g.small[1] * c)) {
            let (image, line) = (line / g.small[0], line % g.small[0]);
            if columns.is_empty() || !covered_rows.contains(&line) {
                continue;
            }
            let row = image * h + line * g.window.stride[0] + down - g.window.padding[0];
            let first = row * w + columns.start * g.window.stride[1] + right - g.window.padding[1];
            let small = &small[columns.start * c..][..columns.len() * c];
            add_line(small, &big[first * c..], g.window.stride[1], &mut sum);
        }
        dw.iter_mut()
            .skip(tap)
            .step_by(taps)
            .zip(&sum)
            .for_each(|(dw, &sum)| *dw = *dw + sum);
    }
}

vectorize! {
    /// y += x w.
    fn add_product<T: Stored>(y: &mut [T::Compute], x: &[T], w: &[T]) {
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
            *y = *y + x.to_compute() * w.to_compute();
        }
    }

    /// sum += small big, pixel by pixel; those of `big` are `stride` apart.
    fn add_line<T: Stored>(small: &[T], big: &[T], stride: usize, sum: &mut [T::Compute]) {
        let c = sum.len();
        for (small, big) in small.chunks(c).zip(big.chunks(stride.saturating_mul(c))) {
            for ((sum, &small), &big) in sum.iter_mut().zip(small).zip(big) {
                *sum = *sum + small.to_compute() * big.to_compute();
            }
        }
    }
}
