//! The Haar wavelet on 2 x 2 blocks, and back.

use crate::cpu::wide::{narrowed, widened};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Real};

/// Sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]` of x `[n, h, w, c]`.
pub(crate) fn forward<T: Real>(x: &[T], [h, w, c]: [usize; 3], y: &mut [T]) {
    let (row, half_row) = (w * c, w.div_ceil(2) * 4 * c);
    if y.is_empty() {
        return;
    }
    // What an odd image is continued with.
    let zeros = vec![T::Wide::ZERO; row];
    // The row of pixels at the top of a row of sub-bands, among those of all images, and whether one is below it.
    let top = |i: usize| {
        let (image, top) = divide(i, h.div_ceil(2));
        (image * h + 2 * top, 2 * top + 1 < h)
    };
    chunks(y, (GRAIN / half_row).max(1) * half_row, |start, y| {
        let first = start / half_row;
        let (last, below) = top(first + y.len() / half_row - 1);
        let from = top(first).0;
        let [mut room_x, mut room_y] = [const { None }; 2];
        let x = widened(&x[from * row..(last + 1 + usize::from(below)) * row], &mut room_x);
        narrowed(y, &mut room_y, |y| {
            for (i, y) in y.chunks_exact_mut(half_row).enumerate() {
                let (top, below) = top(first + i);
                let x = &x[(top - from) * row..];
                let bottom = if below { &x[row..2 * row] } else { &zeros[..] };
                analyse_row([&x[..row], bottom], &zeros[..c], y, c);
            }
        });
    });
}

vectorize! {
    /// Two rows of pixels to one row of sub-bands. The compiler makes vectors of 4 channels if it knows that there are 4.
    fn analyse_row<T: Float>(rows: [&[T]; 2], zeros: &[T], y: &mut [T], c: usize) {
        match c {
            4 => analyse(rows, zeros, y, 4),
            c => analyse(rows, zeros, y, c),
        }
    }

    /// One row of sub-bands to the upper (sign 1) or lower (sign -1) of its two rows of pixels.
    fn synthesise_row<T: Float>(y: &[T], sign: T, x: &mut [T], c: usize) {
        match c {
            4 => synthesise(y, sign, x, 4),
            c => synthesise(y, sign, x, c),
        }
    }
}

/// In two sweeps, the second from the cache: each writes to one place, so that the compiler has few enough overlaps to
/// rule out and makes vectors.
#[inline(always)]
fn analyse<T: Float>([top, bottom]: [&[T]; 2], zeros: &[T], y: &mut [T], c: usize) {
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

/// The image x `[n, h, w, c]` of sub-bands y `[n, ceil(h / 2), ceil(w / 2), 4 c]`.
pub(crate) fn inverse<T: Real>(y: &[T], [h, w, c]: [usize; 3], x: &mut [T]) {
    let (row, half_row) = (w * c, w.div_ceil(2) * 4 * c);
    if x.is_empty() {
        return;
    }
    // Each row of pixels by itself: its neighbour reads the same sub-bands from the cache.
    let bands = |i: usize| {
        let (image, r) = divide(i, h);
        (image * h.div_ceil(2) + r / 2, r % 2 == 0)
    };
    chunks(x, (GRAIN / row).max(1) * row, |start, x| {
        let first = start / row;
        let (from, last) = (bands(first).0, bands(first + x.len() / row - 1).0);
        let [mut room_x, mut room_y] = [const { None }; 2];
        let y = widened(&y[from * half_row..(last + 1) * half_row], &mut room_y);
        narrowed(x, &mut room_x, |x| {
            for (i, x) in x.chunks_exact_mut(row).enumerate() {
                let (band, upper) = bands(first + i);
                let sign = if upper { T::Wide::ONE } else { -T::Wide::ONE };
                synthesise_row(&y[(band - from) * half_row..][..half_row], sign, x, c);
            }
        });
    });
}

#[inline(always)]
fn synthesise<T: Float>(y: &[T], sign: T, x: &mut [T], c: usize) {
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

fn divide(a: usize, b: usize) -> (usize, usize) {
    (a / b, a % b)
}
