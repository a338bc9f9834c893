//! Resizing along one axis at a time, by a table of which elements make each new one.

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// A sparse matrix: row i is the list of (element, weight) that add up to new element i.
#[derive(Clone)]
pub(crate) struct Table {
    rows: Vec<Vec<(usize, f64)>>,
    columns: usize,
}

impl Table {
    /// The `rows` are over elements `0..columns`.
    pub fn new(rows: Vec<Vec<(usize, f64)>>, columns: usize) -> Table {
        Table { rows, columns }
    }

    /// The way back: what each old element gave to which new ones.
    pub fn transpose(&self) -> Table {
        let mut rows = vec![Vec::new(); self.columns];
        for (i, row) in self.rows.iter().enumerate() {
            row.iter()
                .for_each(|&(j, weight)| rows[j].push((i, weight)));
        }
        Table {
            rows,
            columns: self.rows.len(),
        }
    }

    /// What each new element is made of.
    pub fn rows(&self) -> &[Vec<(usize, f64)>] {
        &self.rows
    }

    /// How many elements it makes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// y `[outer, rows, inner]` of x `[outer, columns, inner]`.
    pub fn apply<T: Float>(&self, x: &[T], inner: usize, y: &mut [T]) {
        if y.is_empty() {
            return;
        }
        let rows: Vec<Vec<(usize, T)>> = self
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|&(j, weight)| (j, T::from_f64(weight)))
                    .collect()
            })
            .collect();
        chunks(y, (GRAIN / inner).max(1) * inner, |start, y| {
            for (i, y) in (start / inner..).zip(y.chunks_exact_mut(inner)) {
                let x = &x[i / rows.len() * self.columns * inner..][..self.columns * inner];
                combine(&rows[i % rows.len()], x, y);
            }
        });
    }
}

vectorize! {
    /// y = sum of weight x[element], two elements at a time.
    fn combine<T: Float>(row: &[(usize, T)], x: &[T], y: &mut [T]) {
        let inner = y.len();
        let at = |j: usize| &x[j * inner..][..inner];
        let (pairs, last) = row.as_chunks::<2>();
        match (pairs.first(), last.first()) {
            (Some(&[(j, v), (k, w)]), _) => y.iter_mut().zip(at(j)).zip(at(k)).for_each(|((y, &a), &b)| *y = a * v + b * w),
            (None, Some(&(j, w))) => y.iter_mut().zip(at(j)).for_each(|(y, &a)| *y = a * w),
            (None, None) => return y.fill(T::ZERO),
        }
        for &[(j, v), (k, w)] in pairs.iter().skip(1) {
            y.iter_mut().zip(at(j)).zip(at(k)).for_each(|((y, &a), &b)| *y = *y + (a * v + b * w));
        }
        if let (false, Some(&(j, w))) = (pairs.is_empty(), last.first()) {
            y.iter_mut().zip(at(j)).for_each(|(y, &a)| *y = *y + a * w);
        }
    }
}
