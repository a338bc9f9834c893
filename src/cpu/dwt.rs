//! The Haar wavelet on 2 x 2 blocks, and back.

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]` of x `[n, h, w, c]`.
pub(crate) fn forward<T: Float>(x: &[T], [h, w, c]: [usize; 3], y: &mut [T]) {
    let half_row = w.div_ceil(2) * 4 * c;
    if y.is_empty() {
        return;
    }
    // What an odd image is continued with.
    let zeros = vec![T::ZERO; w * c];
    chunks(y, (GRAIN / half_row).max(1) * half_row, |start, y| {
        for (i, y) in y.chunks_exact_mut(half_row).enumerate() {
            let (image, top) = divide(start / half_row + i, h.div_ceil(2));
            let row = |r: usize| if r < h { &x[(image * h + r) * w * c..][..w * c] } else { &zeros[..] };
            let rows = [row(2 * top), row(2 * top + 1)];
            analyse_row(rows, &zeros[..c], y, c);
        }
    });
}

vectorize! {
    /// Two rows of pixels to one row of sub-bands.
    ///
    /// In two sweeps, the second from the cache: each writes to one place, so that the compiler has few enough overlaps to
    /// rule out and makes vectors.
    fn analyse_row<T: Float>(rows: [&[T]; 2], zeros: &[T], y: &mut [T], c: usize) {
        let [top, bottom] = rows;
        let half = T::from_f64(0.5);
        for ((y, top), bottom) in y.chunks_exact_mut(4 * c).zip(top.chunks(2 * c)).zip(bottom.chunks(2 * c)) {
            let (low, high) = y.split_at_mut(c);
            let ((a, b), (c, d)) = (top.split_at(c), bottom.split_at(c));
            let (b, d) = if b.is_empty() { (zeros, zeros) } else { (b, d) };
            for ((((low, &a), &b), &c), &d) in low.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *low = ((a + b) + (c + d)) * half;
            }
            for ((((high, &a), &b), &c), &d) in high.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (diff_top, diff_bottom) = (a - b, c - d);
                *high = [((a + b) - (c + d)) * half, (diff_top + diff_bottom) * half, (diff_top - diff_bottom) * half];
            }
        }
    }
}

/// The image x `[n, h, w, c]` of sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]`.
pub(crate) fn inverse<T: Float>(y: &[T], [h, w, c]: [usize; 3], x: &mut [T]) {
    let (row, half_row) = (w * c, w.div_ceil(2) * 4 * c);
    if x.is_empty() {
        return;
    }
    // Each row of pixels by itself: its neighbour reads the same sub-bands from the cache.
    chunks(x, (GRAIN / row).max(1) * row, |start, x| {
        for (i, x) in x.chunks_exact_mut(row).enumerate() {
            let (image, r) = divide(start / row + i, h);
            let y = &y[(image * h.div_ceil(2) + r / 2) * half_row..][..half_row];
            let sign = if r % 2 == 0 { T::ONE } else { -T::ONE };
            synthesise_row(y, sign, x, c);
        }
    });
}

vectorize! {
    /// One row of sub-bands to the upper (sign 1) or lower (sign -1) of its two rows of pixels.
    fn synthesise_row<T: Float>(y: &[T], sign: T, x: &mut [T], c: usize) {
        let half = T::from_f64(0.5);
        for (y, x) in y.chunks_exact(4 * c).zip(x.chunks_mut(2 * c)) {
            let (low, high) = y.split_at(c);
            let (left, right) = x.split_at_mut(c);
            if right.is_empty() {
                for ((left, &low), high) in left.iter_mut().zip(low).zip(high.chunks_exact(3)) {
                    *left = ((low + sign * high[0]) + (high[1] + sign * high[2])) * half;
                }
                continue;
            }
            for (((left, right), &low), high) in left.iter_mut().zip(right).zip(low).zip(high.chunks_exact(3)) {
                let (sum, diff) = (low + sign * high[0], high[1] + sign * high[2]);
                *left = (sum + diff) * half;
                *right = (sum - diff) * half;
            }
        }
    }
}

fn divide(a: usize, b: usize) -> (usize, usize) {
    (a / b, a % b)
}
