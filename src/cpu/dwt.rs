//! The Haar wavelet on 2 x 2 blocks, and back.

use crate::cpu::simd::convert::write_as_compute;
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Element, Float, Stored};

/// Sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]` of x `[n, h, w, c]`.
pub(crate) fn forward<T: Stored>(x: &[T], [_, h, w, c]: [usize; 4], y: &mut [T]) {
    let (row, half_row) = (w * c, w.div_ceil(2) * 4 * c);
    if y.is_empty() {
        return;
    }
    // What an odd image is continued with.
    let zeros = vec![T::default(); row];
    chunks(y, (GRAIN / half_row).max(1) * half_row, |start, y| {
        let mut buffer = None;
        for (i, y) in (start / half_row..).zip(y.chunks_exact_mut(half_row)) {
            let (image, top) = divide(i, h.div_ceil(2));
            let x = &x[(image * h + 2 * top) * row..];
            let bottom = if 2 * top + 1 < h {
                &x[row..2 * row]
            } else {
                &zeros[..]
            };
            write_as_compute(y, &mut buffer, |y| {
                analyse_row([&x[..row], bottom], &zeros[..c], y, c)
            });
        }
    });
}

vectorize! {
    /// Two rows of pixels to one row of sub-bands. The compiler makes vectors of 4 channels if it
    /// knows that there are 4.
    fn analyse_row<T: Stored>(rows: [&[T]; 2], zeros: &[T], y: &mut [T::Compute], c: usize) {
        match c {
            4 => analyse(rows, zeros, y, 4),
            c => analyse(rows, zeros, y, c),
        }
    }

    /// One row of sub-bands to the upper (sign 1) or lower (sign -1) of its two rows of pixels.
    fn synthesise_row<T: Stored>(y: &[T], sign: T::Compute, x: &mut [T::Compute], c: usize) {
        match c {
            4 => synthesise(y, sign, x, 4),
            c => synthesise(y, sign, x, c),
        }
    }
}

/// In two sweeps, the second from the cache: each writes to one place, so that the compiler has few
/// enough overlaps to rule out and makes vectors.
#[inline(always)]
fn analyse<T: Stored>([top, bottom]: [&[T]; 2], zeros: &[T], y: &mut [T::Compute], c: usize) {
    let half = <T::Compute as Element>::from_f64(0.5);
    for ((y, top), bottom) in y
        .chunks_exact_mut(4 * c)
        .zip(top.chunks(2 * c))
        .zip(bottom.chunks(2 * c))
    {
        let (low, high) = y.split_at_mut(c);
        let ((a, b), (c, d)) = (top.split_at(c), bottom.split_at(c));
        let (b, d) = if b.is_empty() { (zeros, zeros) } else { (b, d) };
        for ((((low, &a), &b), &c), &d) in low.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *low = ((a.to_compute() + b.to_compute()) + (c.to_compute() + d.to_compute())) * half;
        }
        for ((((high, &a), &b), &c), &d) in high
            .as_chunks_mut::<3>()
            .0
            .iter_mut()
            .zip(a)
            .zip(b)
            .zip(c)
            .zip(d)
        {
            let [a, b, c, d] = [
                a.to_compute(),
                b.to_compute(),
                c.to_compute(),
                d.to_compute(),
            ];
            let (diff_top, diff_bottom) = (a - b, c - d);
            *high = [
                ((a + b) - (c + d)) * half,
                (diff_top + diff_bottom) * half,
                (diff_top - diff_bottom) * half,
            ];
        }
    }
}

/// The image x `[n, h, w, c]` of sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]`.
pub(crate) fn inverse<T: Stored>(y: &[T], [_, h, w, c]: [usize; 4], x: &mut [T]) {
    let (row, half_row) = (w * c, w.div_ceil(2) * 4 * c);
    if x.is_empty() {
        return;
    }
    chunks(x, (GRAIN / row).max(1) * row, |start, x| {
        let mut buffer = None;
        // Each row of pixels by itself: its neighbour reads the same sub-bands from the cache.
        for (i, x) in (start / row..).zip(x.chunks_exact_mut(row)) {
            let (image, r) = divide(i, h);
            let y = &y[(image * h.div_ceil(2) + r / 2) * half_row..][..half_row];
            let sign = if r % 2 == 0 {
                T::Compute::ONE
            } else {
                -T::Compute::ONE
            };
            write_as_compute(x, &mut buffer, |x| synthesise_row(y, sign, x, c));
        }
    });
}

#[inline(always)]
fn synthesise<T: Stored>(y: &[T], sign: T::Compute, x: &mut [T::Compute], c: usize) {
    let half = <T::Compute as Element>::from_f64(0.5);
    let (mut pairs, bands) = (x.chunks_exact_mut(2 * c), y.chunks_exact(4 * c));
    for (x, y) in pairs.by_ref().zip(bands.clone()) {
        let ((left, right), (low, high)) = (x.split_at_mut(c), y.split_at(c));
        for (((left, right), &low), high) in left
            .iter_mut()
            .zip(right)
            .zip(low)
            .zip(high.as_chunks::<3>().0)
        {
            let (sum, diff) = (
                low.to_compute() + sign * high[0].to_compute(),
                high[1].to_compute() + sign * high[2].to_compute(),
            );
            *left = (sum + diff) * half;
            *right = (sum - diff) * half;
        }
    }
    // The last column of an odd width has no neighbour.
    for (x, y) in pairs
        .into_remainder()
        .chunks_exact_mut(c)
        .zip(y.rchunks_exact(4 * c))
    {
        let (low, high) = y.split_at(c);
        for ((x, &low), high) in x.iter_mut().zip(low).zip(high.as_chunks::<3>().0) {
            *x = ((low.to_compute() + sign * high[0].to_compute())
                + (high[1].to_compute() + sign * high[2].to_compute()))
                * half;
        }
    }
}

fn divide(a: usize, b: usize) -> (usize, usize) {
    (a / b, a % b)
}
