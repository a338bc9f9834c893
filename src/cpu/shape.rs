//! Moving elements about: every rearrangement is a walk over the source with a step for each axis
//! of the result.

use crate::Element;
use crate::cpu::{GRAIN, over_threads};

/// Rows that are transposed together: 16 floats are a cache line, so that each line read is used
/// whole.
const TILE: usize = 16;

/// Axes of a result, outermost first: how long each is, and how far to move in the source for a
/// step along it.
///
/// A permutation has the source's strides in another order, repetition has steps of 0, reversal
/// negative ones.
type Axes = Vec<(usize, isize)>;

/// The same walk in as few axes as possible: an axis that continues where the next one ends is one
/// with it.
fn merged(axes: impl IntoIterator<Item = (usize, isize)>) -> Axes {
    let mut out = Axes::new();
    for (length, step) in axes.into_iter().filter(|&(length, _)| length != 1) {
        match out.last_mut() {
            Some(outer) if outer.1 == step * length as isize => *outer = (outer.0 * length, step),
            _ => out.push((length, step)),
        }
    }
    out
}

/// y = the elements of x along the walk that begins at `start`.
pub(crate) fn take<T: Element>(x: &[T], start: isize, axes: &[(usize, isize)], y: &mut [T]) {
    walk(x, start, &merged(axes.iter().copied()), y);
}

fn walk<T: Element>(x: &[T], start: isize, axes: &[(usize, isize)], y: &mut [T]) {
    if y.is_empty() {
        return;
    }
    match *axes {
        [] => y[0] = x[start as usize],
        [(length, 1)] => y.copy_from_slice(&x[start as usize..][..length]),
        [(_, 0)] => y.fill(x[start as usize]),
        [(length, step)] => {
            (0..length).for_each(|i| y[i] = x[(start + i as isize * step) as usize])
        }
        [(_, 1), (length, step)] if step > 0 => over_threads(y, TILE * length, GRAIN, &|i, y| {
            transpose(&x[start as usize + i * TILE..], step as usize, length, y);
        }),
        [(length, step), ref inner @ ..] => {
            let part = y.len() / length;
            over_threads(y, part, GRAIN, &|i, y| {
                walk(x, start + i as isize * step, inner, y)
            });
        }
    }
}

/// y[i, j] = x[j * step + i] for a few rows i, in squares, so that both sides stay in the cache.
fn transpose<T: Element>(x: &[T], step: usize, length: usize, y: &mut [T]) {
    for j in (0..length).step_by(TILE) {
        let width = TILE.min(length - j);
        for (i, y) in y.chunks_mut(length).enumerate() {
            y[j..j + width]
                .iter_mut()
                .zip(x[j * step + i..].iter().step_by(step))
                .for_each(|(y, &x)| *y = x);
        }
    }
}

/// One axis that is padded: its length in x, the elements before, its length in y.
pub(crate) type Padded = (usize, usize, usize);

/// The same padding in as few axes as possible: one that gets nothing is taken into the one around
/// it.
fn merged_padding(axes: impl IntoIterator<Item = Padded>) -> Vec<Padded> {
    let mut out: Vec<Padded> = Vec::new();
    for (inside, before, all) in axes {
        match out.last_mut() {
            Some(outer) if inside == all => *outer = (outer.0 * all, outer.1 * all, outer.2 * all),
            _ => out.push((inside, before, all)),
        }
    }
    out
}

/// y = x with zeros around it.
pub(crate) fn pad<T: Element>(x: &[T], axes: &[Padded], y: &mut [T]) {
    pad_axes(x, &merged_padding(axes.iter().copied()), y);
}

fn pad_axes<T: Element>(x: &[T], axes: &[Padded], y: &mut [T]) {
    match *axes {
        [] => y.copy_from_slice(x),
        [(inside, before, _)] => {
            y[..before].fill(T::default());
            y[before..before + inside].copy_from_slice(x);
            y[before + inside..].fill(T::default());
        }
        [(inside, before, all), ref inner @ ..] => {
            let part = x.len() / inside.max(1);
            over_threads(
                y,
                y.len() / all.max(1),
                GRAIN,
                &|i, y| match i.checked_sub(before) {
                    Some(i) if i < inside => pad_axes(&x[i * part..][..part], inner, y),
                    _ => y.fill(T::default()),
                },
            );
        }
    }
}

/// y = the parts side by side: for each of the outer rows, a row of each part.
pub(crate) fn concat<T: Element>(xs: &[&[T]], outer: usize, y: &mut [T]) {
    over_threads(y, y.len() / outer.max(1), GRAIN, &|i, mut y| {
        for x in xs {
            let row = x.len() / outer;
            let (mine, rest) = y.split_at_mut(row);
            mine.copy_from_slice(&x[i * row..][..row]);
            y = rest;
        }
    });
}

/// y = the lower or upper triangle of each matrix `[rows, columns]` of x, zeros elsewhere: below
/// and on the diagonal, or above and on it.
pub(crate) fn triangle<T: Element>(
    x: &[T],
    [rows, columns]: [usize; 2],
    diagonal: i64,
    upper: bool,
    y: &mut [T],
) {
    over_threads(y, columns, GRAIN, &|row, y| {
        // The first column above the diagonal, or on it for an upper triangle.
        let column = (row % rows) as i64 + i64::from(!upper);
        let column = column.saturating_add(diagonal).clamp(0, columns as i64);
        let (before, behind) = y.split_at_mut(column as usize);
        let (kept, zeros, start) = if upper {
            (behind, before, column as usize)
        } else {
            (before, behind, 0)
        };
        kept.copy_from_slice(&x[row * columns + start..][..kept.len()]);
        zeros.fill(T::default());
    });
}
