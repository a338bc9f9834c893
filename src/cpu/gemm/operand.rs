//! The sides of a product.

use super::blocking::{dot_width, nr};
use super::{copy, factor, pair_rows};
use crate::Stored;
use crate::cpu::Scratch;

/// A matrix inside a slice: element (i, j) is `data[i * row + j * col]`. Transposing one is
/// swapping the steps.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, T> {
    pub(super) data: &'a [T],
    pub(super) row: usize,
    pub(super) col: usize,
    /// What makes its elements of those in `data`, which begin with the element of this number.
    pub(super) made: Option<(usize, Prologue<'a, T>)>,
}

/// Makes as many elements as the second slice holds of those in the first, from the element of this
/// number on.
pub(crate) type Prologue<'a, T> = &'a (dyn Fn(usize, &[T], &mut [T]) + Sync);

impl<'a, T: Stored> Operand<'a, T> {
    /// A dense matrix of `columns` columns, row after row; with `transposed` its transpose, as a
    /// view.
    pub fn new(data: &'a [T], columns: usize, transposed: bool) -> Self {
        let [row, col] = if transposed {
            [1, columns]
        } else {
            [columns, 1]
        };
        Operand {
            data,
            row,
            col,
            made: None,
        }
    }

    /// A dense matrix of `columns` columns of what `make` makes of `data`, as the right side of a
    /// product: some rows at a time, where they are packed. They begin at multiples of
    /// [`MR`](super::MR).
    pub fn computed(data: &'a [T], columns: usize, make: Prologue<'a, T>) -> Self {
        Operand {
            made: Some((0, make)),
            ..Operand::new(data, columns, false)
        }
    }

    pub(super) fn skip(self, rows: usize, cols: usize) -> Self {
        let by = rows * self.row + cols * self.col;
        Operand {
            data: &self.data[by..],
            made: self.made.map(|(first, make)| (first + by, make)),
            ..self
        }
    }

    /// Its first `count` rows, at least: as they are, or made in `room`.
    pub(super) fn rows<'r>(self, count: usize, room: &'r mut Option<Scratch<T>>) -> Operand<'r, T>
    where
        'a: 'r,
    {
        let Some((first, make)) = self.made else {
            return self;
        };
        let room = room.insert(Scratch::new(count * self.row));
        make(first, &self.data[..room.len()], room);
        Operand {
            data: room,
            made: None,
            ..self
        }
    }

    /// Its first `rows` rows, where they are what packing would make of them: of a panel's width,
    /// or half of it, side by side.
    pub(super) fn as_panel<F: Stored>(
        self,
        rows: usize,
        columns: usize,
        room: &'a mut Option<Scratch<T>>,
    ) -> Option<&'a [T]> {
        let fits = columns == nr::<F>() || columns == nr::<F>() / 2;
        let fits = fits && dot_width::<F>() == 1 && [self.row, self.col] == [columns, 1];
        fits.then(|| &self.rows(rows, room).data[..rows * columns])
    }

    /// Its first `rows` rows of columns `first..first + count` as a panel `wide` columns wide, rows
    /// that go together element by element; what is left of the width and of the last pair of rows
    /// is 0.
    pub(super) fn pack<F: Stored<Compute = T::Compute>>(
        self,
        rows: usize,
        (first, count): (usize, usize),
        wide: usize,
        to: &mut [F],
    ) {
        let (t, from) = (dot_width::<F>(), &self.data[first * self.col..]);
        if self.col > 1 && (t > 1 && !rows.is_multiple_of(t) || count < wide) {
            to.fill(F::default());
        }
        if self.col > 1 {
            // A transposed matrix, by squares: more columns at a time could meet in the same set of
            // the first-level cache.
            let at = |p: usize, j: usize| (p / t * wide + j) * t + p % t;
            for (j, p) in (0..count)
                .step_by(4)
                .flat_map(|j| (0..rows).step_by(4).map(move |p| (j, p)))
            {
                if t == 1 && j + 4 <= count && p + 4 <= rows {
                    let columns: [&[T]; 4] =
                        std::array::from_fn(|i| &from[(j + i) * self.col + p..][..4]);
                    (0..4).for_each(|i| {
                        to[at(p + i, j)..][..4]
                            .copy_from_slice(&columns.map(|column| factor(column[i])))
                    });
                    continue;
                }
                for (j, p) in
                    (j..count.min(j + 4)).flat_map(|j| (p..rows.min(p + 4)).map(move |p| (j, p)))
                {
                    to[at(p, j)] = factor(from[j * self.col + p]);
                }
            }
            return;
        }
        if t > 1 {
            to.chunks_mut(wide * t)
                .for_each(|to| to[count * t..].fill(F::default()));
            pair_rows(from, [rows, count, self.row], to, wide);
            return;
        }
        for (p, to) in to.chunks_mut(wide).enumerate() {
            copy(&from[p * self.row..][..count], to);
            to[count..].fill(F::default());
        }
    }
}
