//! Where a product finds the terms of its left side.

use std::ops::Range;

use super::blocking::dot_width;
use super::{Operand, copy, copy_many};
use crate::Stored;

/// Where the terms of A are.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Here,
    /// In a copy of some terms of some rows, which begin so far apart; or of all terms in one
    /// piece, where the rows are dense.
    InRows {
        apart: usize,
        dense: bool,
    },
    /// In a copy of some columns, which begin so far apart, those that go together element by
    /// element; or in one piece, as above.
    InColumns {
        apart: usize,
        dense: bool,
    },
}

/// Elements between what is copied, so that it lies in all sets of a cache.
const LINE: usize = 16;

impl Place {
    /// For an A of m x k, of which `terms` are taken at a time, and n columns of B.
    ///
    /// Numbers that are multiplied as another type are written down as that. Terms that go together
    /// have to lie side by side. And where rows, or columns, are a large power of two apart, they
    /// meet in the same few sets of the caches, and what is read for one panel of B is gone at the
    /// next.
    pub fn of<F: Stored, T: Stored>(
        a: Operand<'_, T>,
        [m, k, n]: [usize; 3],
        terms: usize,
    ) -> Place {
        let far = |bytes: usize, step: usize| n >= 128 && step * size_of::<T>() >= bytes;
        let rows = Place::InRows {
            apart: terms + LINE,
            dense: false,
        };
        // An odd number of lines.
        let columns = Place::InColumns {
            apart: m | LINE,
            dense: false,
        };
        if F::DTYPE != T::DTYPE {
            return match a.col {
                1 if [a.row, terms] == [k; 2] => Place::InRows {
                    apart: k,
                    dense: true,
                },
                1 => rows,
                col if col == m => Place::InColumns {
                    apart: m,
                    dense: true,
                },
                _ => columns,
            };
        }
        match (dot_width::<F>(), a.col) {
            (1, 1) if far(4096, a.row) && m > 1 => rows,
            (1, _) if far(512, a.col) && a.row == 1 => columns,
            (1, _) => Place::Here,
            (t, 1) if k.is_multiple_of(t) => Place::Here,
            _ => columns,
        }
    }

    /// Copies the first `count` terms of m rows, if they go to columns.
    pub fn lay_columns<T: Stored, F: Stored<Compute = T::Compute>>(
        self,
        a: Operand<'_, T>,
        [m, count]: [usize; 2],
        to: &mut [F],
    ) {
        let Place::InColumns { apart, dense } = self else {
            return;
        };
        if dense {
            return copy_many(&a.data[..count * m], &mut to[..count * m]);
        }
        let to = &mut to[..count.next_multiple_of(dot_width::<F>()) * apart];
        Operand {
            row: a.col,
            col: a.row,
            ..a
        }
        .pack(count, (0, m), apart, to);
    }

    /// Copies the first `count` terms of some rows, if they go to rows.
    pub fn lay_rows<T: Stored, F: Stored<Compute = T::Compute>>(
        self,
        a: Operand<'_, T>,
        rows: Range<usize>,
        count: usize,
        to: &mut [F],
    ) {
        let Place::InRows { apart, dense } = self else {
            return;
        };
        if dense {
            return copy_many(
                &a.data[rows.start * count..rows.end * count],
                &mut to[..rows.len() * count],
            );
        }
        for (row, to) in rows.zip(to.chunks_mut(apart)) {
            copy(&a.data[row * a.row..][..count], &mut to[..count]);
        }
    }
}
