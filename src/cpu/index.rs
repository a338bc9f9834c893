//! Picking elements and rows by number, and adding gradients back to where they were picked from.
//!
//! Indices have been checked to lie within the axis. x is `[outer, length, inner]`, and m of each
//! `length` are picked; the three sizes are length, m and inner.

use crate::cpu::{GRAIN, over_threads};
use crate::{Element, Float};

/// y[o, m, i] = x[o, indices[o, m, i], i].
pub(crate) fn gather<T: Element>(x: &[T], indices: &[i64], [_, m, inner]: [usize; 3], y: &mut [T]) {
    let outer = y.len() / (m * inner);
    over_threads(y, y.len() / outer.max(1), GRAIN, &|o, y| {
        let (x, indices) = (part(x, o, outer), part(indices, o, outer));
        for (y, indices) in y.chunks_mut(inner).zip(indices.chunks(inner)) {
            y.iter_mut()
                .zip(indices)
                .enumerate()
                .for_each(|(i, (y, &index))| *y = x[index as usize * inner + i]);
        }
    });
}

/// dx[o, indices[o, m, i], i] += dy[o, m, i], from zeros, one m after the other.
pub(crate) fn scatter<T: Float>(
    dy: &[T],
    indices: &[i64],
    [length, _, inner]: [usize; 3],
    dx: &mut [T],
) {
    let outer = dx.len() / (length * inner);
    dx.fill(T::ZERO);
    ranges(dx, inner, outer, &|o, first, dx| {
        let (dy, indices) = (part(dy, o, outer), part(indices, o, outer));
        for (dy, indices) in dy.chunks(inner).zip(indices.chunks(inner)) {
            dy.iter()
                .zip(indices)
                .enumerate()
                .for_each(|(i, (&dy, &index))| {
                    // Below the first row it wraps to beyond the last: those elements are another
                    // range's.
                    if let Some(dx) = dx.get_mut((index as usize * inner + i).wrapping_sub(first)) {
                        *dx = *dx + dy;
                    }
                });
        }
    });
}

/// y[o, m, :] = x[o, indices[m], :].
pub(crate) fn rows<T: Element>(x: &[T], indices: &[i64], [_, m, inner]: [usize; 3], y: &mut [T]) {
    let outer = y.len() / (m * inner);
    over_threads(y, y.len() / outer.max(1), GRAIN, &|o, y| {
        let x = part(x, o, outer);
        for (y, &index) in y.chunks_mut(inner).zip(indices) {
            y.copy_from_slice(&x[index as usize * inner..][..inner]);
        }
    });
}

/// dx[o, indices[m], :] += dy[o, m, :], from zeros, one m after the other.
pub(crate) fn add_rows<T: Float>(
    dy: &[T],
    indices: &[i64],
    [length, _, inner]: [usize; 3],
    dx: &mut [T],
) {
    let outer = dx.len() / (length * inner);
    dx.fill(T::ZERO);
    ranges(dx, inner, outer, &|o, first, dx| {
        for (dy, &index) in part(dy, o, outer).chunks(inner).zip(indices) {
            if let Some(dx) = dx.get_mut((index as usize * inner).wrapping_sub(first)..) {
                dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = *dx + dy);
            }
        }
    });
}

/// Ranges of rows that dx is cut into at most, as each looks at all indices.
const RANGES: usize = 16;

/// Calls `body(o, first, range)` for ranges of whole rows of dx `[outer, length, inner]`; each
/// begins at element `first` of its o. A row is in one range alone, which adds to it in the order
/// of the indices.
fn ranges<T: Float>(
    dx: &mut [T],
    inner: usize,
    outer: usize,
    body: &(dyn Fn(usize, usize, &mut [T]) + Sync),
) {
    let whole = dx.len() / outer.max(1);
    let size = (whole / RANGES).max(GRAIN).next_multiple_of(inner.max(1));
    over_threads(dx, whole, GRAIN, &|o, dx| {
        over_threads(dx, size, size, &|i, dx| body(o, i * size, dx))
    });
}

fn part<T>(x: &[T], o: usize, outer: usize) -> &[T] {
    let size = x.len() / outer;
    &x[o * size..][..size]
}
