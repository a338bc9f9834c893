//! The order of the elements of rows.

use rayon::prelude::*;

use crate::Element;
use crate::cpu::{GRAIN, chunks};
use crate::tensor::dtype::as_type;

/// Where the elements of each row of `length` are, in ascending (or descending) order: of equals the
/// first first, not-a-number as the largest.
pub(crate) fn argsort<T: Element>(x: &[T], length: usize, descending: bool, at: &mut [i64]) {
    if at.is_empty() {
        return;
    }
    chunks(at, (GRAIN / length).max(1) * length, |start, at| {
        let rows = x[start..]
            .chunks_exact(length)
            .zip(at.chunks_exact_mut(length));
        // All elements of up to 32 bits are exact in f32.
        if size_of::<T>() <= 4 && u32::try_from(length).is_ok() {
            rows.for_each(|(x, at)| sort_short(x, descending, at));
        } else {
            rows.for_each(|(x, at)| sort_long(x, descending, at));
        }
    });
}

/// By integers that have an element's rank in the upper half and its place in the lower one: those
/// are compared without branches. One sort serves all types.
fn sort_short<T: Element>(x: &[T], descending: bool, at: &mut [i64]) {
    let flip = if descending { u32::MAX } else { 0 };
    let key = |(i, &x): (usize, &T)| u64::from(rank(x.to_f64() as f32) ^ flip) << 32 | i as u64;
    let mut keys: Vec<u64> = x.iter().enumerate().map(key).collect();
    if keys.len() > GRAIN {
        keys.par_sort_unstable();
    } else {
        keys.sort_unstable();
    }
    for (at, key) in at.iter_mut().zip(keys) {
        *at = (key & u64::from(u32::MAX)) as i64;
    }
}

/// Integers in the order of floats: both zeros are equal, and not-a-number is above infinity.
fn rank(x: f32) -> u32 {
    if x.is_nan() {
        return u32::MAX;
    }
    // -0 + 0 is 0.
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// The same with a rank of 64 bits, then the place.
fn sort_long<T: Element>(x: &[T], descending: bool, at: &mut [i64]) {
    let flip = if descending { u64::MAX } else { 0 };
    let ranks: Vec<u64> = match as_type::<T, i64>(x) {
        Some(x) => x.iter().map(|&x| x as u64 ^ 1 << 63).collect(),
        None => x.iter().map(|x| long_rank(x.to_f64())).collect(),
    };
    let mut keys: Vec<(u64, i64)> = ranks.iter().map(|rank| rank ^ flip).zip(0..).collect();
    if keys.len() > GRAIN {
        keys.par_sort_unstable();
    } else {
        keys.sort_unstable();
    }
    for (at, (_, place)) in at.iter_mut().zip(keys) {
        *at = place;
    }
}

/// As [`rank`].
fn long_rank(x: f64) -> u64 {
    if x.is_nan() {
        return u64::MAX;
    }
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// dx[r, at[r, j]] = dy[r, j] for rows of `length` and `k` different places in each, 0 elsewhere.
pub(crate) fn place<T: Element>(at: &[i64], dy: &[T], [length, k]: [usize; 2], dx: &mut [T]) {
    if dx.is_empty() {
        return;
    }
    chunks(dx, (GRAIN / length).max(1) * length, |start, dx| {
        dx.fill(T::default());
        let first = start / length * k;
        for (row, dx) in dx.chunks_exact_mut(length).enumerate() {
            let own = first + row * k..first + (row + 1) * k;
            for (&at, &dy) in at[own.clone()].iter().zip(&dy[own]) {
                dx[at as usize] = dy;
            }
        }
    });
}
