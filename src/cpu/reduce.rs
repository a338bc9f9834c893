//! Sums over the middle of `[outer, length, inner]`, in an order that depends on the sizes alone;
//! products and extremes of rows.

use std::cmp::Ordering;

use crate::cpu::simd::convert::as_compute;
use crate::cpu::{GRAIN, chunks, map_over_threads, vectorize};
use crate::{Element, Float, Stored};

/// Partial sums that run side by side, one a vector lane: breaks the chain of dependent additions.
const LANES: usize = 16;

/// Elements that are summed one after the other, by each lane.
const BLOCK: usize = 4096;

/// y[o, i] = sum over l of x[o, l, i], in the type it is computed in.
pub(crate) fn sum<T: Stored>(x: &[T], outer: usize, inner: usize, y: &mut [T::Compute]) {
    let length = if y.is_empty() { 0 } else { x.len() / y.len() };
    if length == 0 {
        return y.fill(T::Compute::ZERO);
    }
    if inner == 1 {
        let rows = (GRAIN / length).max(1);
        return chunks(y, rows, |start, y| {
            let mut buffer = None;
            let x = as_compute(&x[start * length..][..y.len() * length], &mut buffer);
            y.iter_mut()
                .zip(x.chunks_exact(length))
                .for_each(|(y, x)| *y = sum_all(x));
        });
    }
    let block_rows = (GRAIN / inner).max(1);
    for (o, y) in (0..outer).zip(y.chunks_mut(inner)) {
        let x = &x[o * length * inner..][..length * inner];
        // Blocks of rows are summed side by side, then their sums one after the other.
        let partial = map_over_threads(x.len(), block_rows * inner, &|block| {
            sum_rows(as_compute(&x[block], &mut None), inner)
        });
        y.copy_from_slice(&partial[0]);
        partial[1..]
            .iter()
            .for_each(|p| y.iter_mut().zip(p).for_each(|(y, &p)| *y = *y + p));
    }
}

/// The sum of a slice: large ones in blocks, so that rounding errors grow with the logarithm of the
/// length.
pub(crate) fn sum_all<T: Float>(x: &[T]) -> T {
    if x.len() > BLOCK {
        let middle = (x.len() / 2).next_multiple_of(LANES);
        return sum_all(&x[..middle]) + sum_all(&x[middle..]);
    }
    sum_block(x)
}

vectorize! {
    fn sum_block<T: Float>(x: &[T]) -> T {
        fold_rows([x, x], T::ZERO, |x, _| x, |a, b| a + b)
    }

    /// sum += each row of x.
    fn add_rows<T: Float>(x: &[T], sum: &mut [T]) {
        for row in x.chunks_exact(sum.len()) {
            for (sum, &x) in sum.iter_mut().zip(row) {
                *sum = *sum + x;
            }
        }
    }
}

/// Several short rows are taken as one, so that vectors are full and one sum does not wait for the
/// other.
fn sum_rows<T: Float>(x: &[T], inner: usize) -> Vec<T> {
    let wide = 64usize.div_ceil(inner) * inner;
    let (whole, rest) = x.split_at(x.len() / wide * wide);
    let mut sums = vec![T::ZERO; wide];
    add_rows(whole, &mut sums);
    let (sum, others) = sums.split_at_mut(inner);
    add_rows(others, sum);
    add_rows(rest, sum);
    sums.truncate(inner);
    sums
}

/// The root of the sum of x^2 over each row of `length`.
pub(crate) fn norm<T: Float>(x: &[T], length: usize, y: &mut [T]) {
    chunks(y, (GRAIN / length.max(1)).max(1), |start, y| {
        for (i, y) in y.iter_mut().enumerate() {
            *y = sum_of_squares(&x[(start + i) * length..][..length]).sqrt();
        }
    });
}

/// In blocks, as [`sum_all`]; those of a long row over threads.
fn sum_of_squares<T: Float>(x: &[T]) -> T {
    if x.len() > BLOCK {
        let (first, second) = x.split_at((x.len() / 2).next_multiple_of(LANES));
        let (first, second) = if x.len() > GRAIN {
            rayon::join(|| sum_of_squares(first), || sum_of_squares(second))
        } else {
            (sum_of_squares(first), sum_of_squares(second))
        };
        return first + second;
    }
    squares_of_block(x)
}

/// The product of each row of `length`; 1 of no elements.
pub(crate) fn product<T: Float>(x: &[T], length: usize, y: &mut [T]) {
    if length == 0 {
        return y.fill(T::ONE);
    }
    chunks(y, (GRAIN / length).max(1), |start, y| {
        let rows = x[start * length..].chunks_exact(length);
        y.iter_mut().zip(rows).for_each(|(y, x)| *y = product_of(x));
    });
}

/// dx = dy times the product of all other elements of the row.
pub(crate) fn product_backward<T: Float>(x: &[T], dy: &[T], length: usize, dx: &mut [T]) {
    if dx.is_empty() {
        return;
    }
    chunks(dx, (GRAIN / length).max(1) * length, |start, dx| {
        let rows = dx
            .chunks_exact_mut(length)
            .zip(x[start..].chunks_exact(length));
        for ((dx, x), &dy) in rows.zip(&dy[start / length..]) {
            product_slopes(x, dy, dx);
        }
    });
}

vectorize! {
    fn squares_of_block<T: Float>(x: &[T]) -> T {
        fold_rows([x, x], T::ZERO, |x, _| x * x, |a, b| a + b)
    }

    fn product_of<T: Float>(x: &[T]) -> T {
        fold_rows([x, x], T::ONE, |x, _| x, |a, b| a * b)
    }

    /// With the product of all elements but zeros: over x where there is no 0; that of the others
    /// for the only 0; else 0.
    fn product_slopes<T: Float>(x: &[T], dy: T, dx: &mut [T]) {
        let zeros = x.iter().filter(|&&x| x == T::ZERO).count();
        let others = fold_rows([x, x], T::ONE, |x, _| if x == T::ZERO { T::ONE } else { x }, |a, b| a * b);
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = match zeros {
                0 => others / x * dy,
                1 if x == T::ZERO => others * dy,
                _ => T::ZERO,
            };
        }
    }
}

/// Where the largest (or smallest) element of each row of `length` is, the first of equals;
/// not-a-number before all.
pub(crate) fn extreme<T: Element>(x: &[T], length: usize, largest: bool, at: &mut [i64]) {
    let better = |x: T, best: T| (if largest { x > best } else { x < best }) || is_nan(x);
    chunks(at, (GRAIN / length).max(1), |start, at| {
        for (row, at) in x[start * length..].chunks_exact(length).zip(at) {
            // First the value, which vectorises, then its place.
            let mut lanes = [row[0]; LANES];
            let (full, rest) = row.split_at(row.len() / LANES * LANES);
            let keep = |lane: &mut T, x: T| *lane = if better(x, *lane) { x } else { *lane };
            full.chunks_exact(LANES)
                .for_each(|x| (0..LANES).for_each(|l| keep(&mut lanes[l], x[l])));
            rest.iter().for_each(|&x| keep(&mut lanes[0], x));
            let best = lanes[1..]
                .iter()
                .fold(lanes[0], |best, &x| if better(x, best) { x } else { best });
            let place = row
                .iter()
                .position(|&x| x == best || (is_nan(x) && is_nan(best)));
            *at = place.unwrap_or(0) as i64;
        }
    });
}

/// Where the `k` largest of each row of `length` are, from the largest on, the first of equals
/// first.
pub(crate) fn topk<T: Element>(x: &[T], length: usize, k: usize, at: &mut [i64]) {
    if at.is_empty() {
        return;
    }
    chunks(at, (GRAIN / length).max(1) * k, |start, at| {
        let mut order: Vec<usize> = Vec::with_capacity(length);
        for (row, at) in x[start / k * length..]
            .chunks_exact(length)
            .zip(at.chunks_exact_mut(k))
        {
            order.clear();
            order.extend(0..length);
            first(&mut order, k, &|a, b| {
                descending(row[*a], row[*b]).then(a.cmp(b))
            });
            at.iter_mut()
                .zip(&order)
                .for_each(|(at, &i)| *at = i as i64);
        }
    });
}

/// y[r, j] = x[r, at[r, j]] for rows of `length` and `k` places in each.
pub(crate) fn pick<T: Element>(x: &[T], at: &[i64], length: usize, k: usize, y: &mut [T]) {
    let rows = x.chunks_exact(length).zip(at.chunks_exact(k));
    let picked = rows.flat_map(|(row, at)| at.iter().map(|&i| row[i as usize]));
    y.iter_mut().zip(picked).for_each(|(y, x)| *y = x);
}

/// dx = dy at the place of each row of `length`, 0 elsewhere.
pub(crate) fn extreme_backward<T: Element>(at: &[i64], dy: &[T], length: usize, dx: &mut [T]) {
    dx.fill(T::default());
    let rows = dx.chunks_exact_mut(length).zip(at.iter().zip(dy));
    rows.for_each(|(row, (&i, &dy))| row[i as usize] = dy);
}

/// Brings the `k` first by `order` to the front, in order.
fn first(numbers: &mut [usize], k: usize, order: &dyn Fn(&usize, &usize) -> Ordering) {
    if k < numbers.len() {
        numbers.select_nth_unstable_by(k, order);
    }
    numbers[..k].sort_unstable_by(order);
}

fn descending<T: Element>(a: T, b: T) -> Ordering {
    b.partial_cmp(&a)
        .unwrap_or_else(|| is_nan(b).cmp(&is_nan(a)))
}

#[inline(always)]
pub(crate) fn is_nan<T: Element>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// Folds the terms of two rows of one length: `LANES` folds side by side, joined by halves.
#[inline(always)]
pub(crate) fn fold_rows<T: Float>(
    [a, b]: [&[T]; 2],
    start: T,
    term: impl Fn(T, T) -> T,
    join: impl Fn(T, T) -> T,
) -> T {
    let mut lanes = [start; LANES];
    let full = a.len() / LANES * LANES;
    let ((a, a_rest), (b, b_rest)) = (a.split_at(full), b.split_at(full));
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for l in 0..LANES {
            lanes[l] = join(lanes[l], term(a[l], b[l]));
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = join(*lane, term(a, b));
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] = join(lanes[l], lanes[l + width]);
        }
    }
    lanes[0]
}
