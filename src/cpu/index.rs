//! Picking elements and rows by number, and adding gradients back to where they were picked from.
//!
//! Indices have been checked to lie within the axis. x is `[outer, length, inner]`.

use crate::cpu::{GRAIN, over_threads};
use crate::{Element, Float};

/// y[o, m, i] = x[o, indices[o, m, i], i].
pub(crate) fn gather<T: Element>(x: &[T], indices: &[i64], inner: usize, outer: usize, y: &mut [T]) {
    over_threads(y, y.len() / outer.max(1), GRAIN, &|o, y| {
        let (x, indices) = (part(x, o, outer), part(indices, o, outer));
        for (y, indices) in y.chunks_mut(inner).zip(indices.chunks(inner)) {
            y.iter_mut().zip(indices).enumerate().for_each(|(i, (y, &index))| *y = x[index as usize * inner + i]);
        }
    });
}

/// dx[o, indices[o, m, i], i] += dy[o, m, i], from zeros, one m after the other.
pub(crate) fn scatter<T: Float>(dy: &[T], indices: &[i64], inner: usize, outer: usize, dx: &mut [T]) {
    dx.fill(T::ZERO);
    over_threads(dx, dx.len() / outer.max(1), GRAIN, &|o, dx| {
        let (dy, indices) = (part(dy, o, outer), part(indices, o, outer));
        for (dy, indices) in dy.chunks(inner).zip(indices.chunks(inner)) {
            dy.iter().zip(indices).enumerate().for_each(|(i, (&dy, &index))| {
                let at = index as usize * inner + i;
                dx[at] = dx[at] + dy;
            });
        }
    });
}

/// y[o, m, :] = x[o, indices[m], :].
pub(crate) fn rows<T: Element>(x: &[T], indices: &[i64], inner: usize, outer: usize, y: &mut [T]) {
    over_threads(y, y.len() / outer.max(1), GRAIN, &|o, y| {
        let x = part(x, o, outer);
        for (y, &index) in y.chunks_mut(inner).zip(indices) {
            y.copy_from_slice(&x[index as usize * inner..][..inner]);
        }
    });
}

/// dx[o, indices[m], :] += dy[o, m, :], from zeros, one m after the other.
pub(crate) fn add_rows<T: Float>(dy: &[T], indices: &[i64], inner: usize, outer: usize, dx: &mut [T]) {
    dx.fill(T::ZERO);
    over_threads(dx, dx.len() / outer.max(1), GRAIN, &|o, dx| {
        for (dy, &index) in part(dy, o, outer).chunks(inner).zip(indices) {
            let dx = &mut dx[index as usize * inner..][..inner];
            dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = *dx + dy);
        }
    });
}

fn part<T>(x: &[T], o: usize, outer: usize) -> &[T] {
    let size = x.len() / outer;
    &x[o * size..][..size]
}
