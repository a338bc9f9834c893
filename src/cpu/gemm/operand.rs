//! Operands of a GEMM: strided views, or values computed while packing.

use crate::Stored;
use crate::cpu::Scratch;

/// A matrix inside a slice: element (i, j) is `data[i * row_stride + j * col_stride]`. Swapping the
/// strides transposes it.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, T> {
    pub(super) data: &'a [T],
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    /// What computes its elements from `data`, and the index of the first element of `data`.
    pub(super) prologue: Option<(usize, Prologue<'a, T>)>,
}

/// Computes as many elements as the second slice holds from those of the first. They begin at this
/// index of the whole matrix.
pub(crate) type Prologue<'a, T> = &'a (dyn Fn(usize, &[T], &mut [T]) + Sync);

impl<'a, T: Stored> Operand<'a, T> {
    /// A dense row-major matrix of `columns` columns or, if `transposed`, a view of its transpose.
    pub fn new(data: &'a [T], columns: usize, transposed: bool) -> Self {
        let [row_stride, col_stride] = if transposed {
            [1, columns]
        } else {
            [columns, 1]
        };
        Operand {
            data,
            row_stride,
            col_stride,
            prologue: None,
        }
    }

    /// A dense matrix of `columns` columns that `prologue` computes from `data`: some rows at a
    /// time, while they are packed. Only B may be computed. The rows begin at multiples of
    /// [`MR`](super::MR).
    pub fn computed(data: &'a [T], columns: usize, prologue: Prologue<'a, T>) -> Self {
        Operand {
            prologue: Some((0, prologue)),
            ..Operand::new(data, columns, false)
        }
    }

    /// Element (i, j) of a matrix that is not computed.
    pub(super) fn at(self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Without the first `rows` rows and `columns` columns.
    pub(super) fn skip(self, rows: usize, columns: usize) -> Self {
        let by = rows * self.row_stride + columns * self.col_stride;
        Operand {
            data: &self.data[by..],
            prologue: self.prologue.map(|(first, compute)| (first + by, compute)),
            ..self
        }
    }

    /// At least its first `count` rows: a view of them, or computed into `buffer`.
    pub(super) fn rows<'r>(self, count: usize, buffer: &'r mut Option<Scratch<T>>) -> Operand<'r, T>
    where
        'a: 'r,
    {
        let Some((first, compute)) = self.prologue else {
            return self;
        };
        let rows = buffer.insert(Scratch::new(count * self.row_stride));
        compute(first, &self.data[..rows.len()], rows);
        Operand {
            data: rows,
            prologue: None,
            ..self
        }
    }
}
