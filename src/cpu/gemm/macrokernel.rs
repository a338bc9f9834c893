//! The macro-kernel: loops 4 to 1, for the rows of one task.

use super::blocking::{KC, PREFETCH_MIN_BYTES, ROW_BATCH, Size, dot_width, k_block};
use super::dispatch::Microkernel;
use super::epilogue::Accumulate;
use super::indirection::RowOffsets;
use super::microkernel::{KSegment, OutputPanel, TileProduct};
use super::operand::Operand;
use super::pack::{ALayout, PackedB};
use crate::Stored;

/// [m, k] x [k, n] -> [m, n]: C = `accumulate` + A B on this thread.
pub(super) fn macro_kernel<F, T, O>(
    a: Operand<'_, T>,
    b: PackedB<'_, F>,
    accumulate: Accumulate<'_, O>,
    c: &mut [O],
) where
    F: Microkernel<Compute = T::Compute>,
    T: Stored,
    O: Stored<Compute = T::Compute>,
{
    let PackedB { width, k, n, .. } = b;
    let (m, terms) = (c.len() / n, k_block::<F, O>(k));
    let layout = ALayout::choose::<F, T>(a, Size { m, k, n }, terms);
    let [row, step] = layout.steps::<F, T>(a);
    let mut packed = layout.buffer::<F>(m, terms);
    let packed = packed.as_deref_mut().unwrap_or_default();
    let [full, last] = [m / ROW_BATCH * ROW_BATCH, m % ROW_BATCH]
        .map(|rows| RowOffsets::dense::<F>(rows.min(ROW_BATCH), [row, n], n.min(width)));
    let prefetch = matches!(layout, ALayout::InPlace)
        && a.col_stride == 1
        && k * size_of::<T>() >= PREFETCH_MIN_BYTES;
    // Loop 4: terms. The panels of B that are read meanwhile stay in L1, one after the other.
    for pc in (0..k).step_by(terms) {
        let (count, a) = (terms.min(k - pc), a.skip(0, pc));
        layout.pack_columns(a, [m, count], packed);
        let panels = b.segments(pc, count, step);
        let accumulate = match pc {
            0 => accumulate,
            _ => Accumulate::Existing,
        };
        // A batch of rows, whose block of A stays in L2.
        let batches = std::iter::repeat_n(&full, m / ROW_BATCH).chain([&last]);
        for (ib, rows) in (0..m).step_by(ROW_BATCH).zip(batches) {
            layout.pack_rows(a, ib..m.min(ib + ROW_BATCH), count, packed);
            let a = layout.rows_from(a, ib, packed);
            // Loop 2: columns, a panel of B at a time.
            for (jr, segments) in (0..n).step_by(width).zip(&panels) {
                let product =
                    TileProduct::new(a, b.data, [step, width * dot_width::<F>()], segments)
                        .prefetch_next_tile(prefetch && jr == 0);
                let output = OutputPanel {
                    c: &mut c[ib * n..],
                    first: jr,
                    columns: width.min(n - jr),
                };
                // Loop 1: rows, a tile of C at a time.
                product.tiles(rows, 0, accumulate, output);
            }
        }
    }
}

impl<F: Stored> PackedB<'_, F> {
    /// For each panel, where terms `first..first + count` lie: in A, whose terms are `step` apart,
    /// and in B, whose panels are cut after every KC terms, so that a longer block has several
    /// segments.
    fn segments(&self, first: usize, count: usize, step: usize) -> Vec<Vec<KSegment>> {
        let (width, t) = (self.width, dot_width::<F>());
        let terms = count.next_multiple_of(t);
        let [packed_terms, columns] = [self.packed[0].next_multiple_of(t), self.packed[1]];
        let columns = columns.next_multiple_of(width);
        let panel = |panel: usize| {
            let segment = |at: usize| {
                let rows = (KC * t).min(packed_terms - first - at);
                KSegment {
                    a: at / t * step,
                    b: (first + at) * columns + panel * rows * width,
                    len: rows.min(terms - at) / t,
                }
            };
            (0..terms).step_by(KC * t).map(segment).collect()
        };
        (0..self.n.div_ceil(width)).map(panel).collect()
    }
}
