//! Packing: B into panels that the micro-kernel reads as one stream, and A where it cannot be read
//! where it lies.
//!
//! ```text
//! a panel of B   b[0, 0..nr]  b[1, 0..nr]  b[2, 0..nr] ...
//! in VNNI pairs  b[0, 0] b[1, 0]  b[0, 1] b[1, 1] ... b[0, nr-1] b[1, nr-1]  b[2, 0] b[3, 0] ...
//! ```
//!
//! Why: in a row-major B a row of n elements lies between the NR elements of one term and those of
//! the next. Each term would begin in another cache line, for a large n in another page, and where
//! n is a power of two all of them would compete for a few sets of L1. Packed, term p + 1 begins
//! where term p ends: cache lines are used whole, the CPU prefetches them, and KC x NR elements
//! stay in L1 while the rows of A pass over them. The copy costs k n moves for m k n multiply-adds.
//!
//! Columns that a panel lacks are 0, and so is the second element of an odd last row's pairs.
//! Packing converts too: bf16 to f32, where products are computed in f32 (`dispatch`).

use std::ops::Range;

use super::blocking::{KC, ROW_BATCH, Size, dot_width, nr};
use super::dispatch::{TILE_TERMS, multiplies_by_tiles};
use super::operand::Operand;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::Stored;
use crate::cpu::simd::convert::convert;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::has_avx512;
use crate::cpu::{Scratch, chunks, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};

/// An element in the type F that products are computed in: as it is stored, or converted.
#[inline(always)]
pub(crate) fn to_operand<T: Stored, F: Stored<Compute = T::Compute>>(x: T) -> F {
    match as_type(std::slice::from_ref(&x)) {
        Some(&[x]) => x,
        _ => F::from_compute(x.to_compute()),
    }
}

/// Elements in the type F that products are computed in: the slice itself where they are stored so,
/// else converted, in the front of `buffer`.
pub(crate) fn to_operands<'a, T: Stored, F: Stored<Compute = T::Compute>>(
    x: &'a [T],
    buffer: &'a mut [F],
) -> &'a [F] {
    as_type(x).unwrap_or_else(|| {
        copy_long(x, &mut buffer[..x.len()]);
        &buffer[..x.len()]
    })
}

/// Copies a short slice, converted to F. Chunks of constant length keep the compiler from calling
/// memcpy, whose call takes longer than such a copy.
#[inline(always)]
pub(crate) fn copy_short<T: Stored, F: Stored<Compute = T::Compute>>(from: &[T], to: &mut [F]) {
    if let Some(from) = as_type::<T, F>(from) {
        let ((from, last), (to, rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        let rest = if to.len() > from.len() {
            to[from.len()].as_mut_slice()
        } else {
            rest
        };
        return rest.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    }
    to.iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = to_operand(*from));
}

/// Copies a long slice, converted to F.
pub(crate) fn copy_long<T: Stored, F: Stored<Compute = T::Compute>>(from: &[T], to: &mut [F]) {
    match (as_type(from), as_type_mut(to)) {
        (Some(from), _) => to.copy_from_slice(from),
        (None, Some(to)) => convert(from, to),
        (None, None) => unreachable!("operands are of the storage or the compute type"),
    }
}

/// Interleaves rows two by two into VNNI pairs, a0 b0 a1 b1 ...; an odd last row is paired with
/// zeros. There are `count` rows of `elements` elements, `step` apart; pairs of rows are written
/// 2 `width` apart.
pub(crate) fn interleave_rows<'a, T: Stored, F: Stored<Compute = T::Compute>>(
    rows: &[T],
    [count, elements, step]: [usize; 3],
    to: &'a mut [F],
    width: usize,
) -> &'a [F] {
    let rows: &[F] = as_type(rows).expect("VNNI pairs are multiplied as they are stored");
    interleave(
        rows,
        [elements, step],
        &mut to[..count / 2 * 2 * width],
        width,
    );
    if count % 2 == 1 {
        let odd = &rows[(count - 1) * step..][..elements];
        let (to, _) = to[(count - 1) * width..].as_chunks_mut::<2>();
        to.iter_mut()
            .zip(odd)
            .for_each(|(to, &a)| *to = [a, F::default()]);
    }
    &to[..count.next_multiple_of(2) * width]
}

vectorize! {
    fn interleave<T: Stored>(rows: &[T], from: [usize; 2], to: &mut [T], width: usize) {
        let [elements, step] = from;
        for (i, to) in to.chunks_exact_mut(2 * width).enumerate() {
            let (a, b) = (&rows[2 * i * step..][..elements], &rows[(2 * i + 1) * step..][..elements]);
            for ((to, &a), &b) in to.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
                *to = [a, b];
            }
        }
    }
}

/// Transposes `[pairs, elements]` of VNNI pairs to `[elements, pairs]`: terms of a row of A side by
/// side, as tiles read them. Rows are so many pairs apart in each; what lies behind a row's pairs
/// is left as it is.
pub(crate) fn transpose_pairs<F: Stored>(
    from: &[F],
    [pairs, elements, from_row]: [usize; 3],
    to: &mut [F],
    to_row: usize,
) {
    let (from, to) = (from.as_chunks::<2>().0, to.as_chunks_mut::<2>().0);
    if pairs * elements == 0 {
        return;
    }
    assert!(
        (pairs - 1) * from_row + elements <= from.len(),
        "rows lie within the pairs"
    );
    assert!(
        (elements - 1) * to_row + pairs <= to.len(),
        "and within the copy"
    );
    for (i, j) in (0..pairs)
        .step_by(16)
        .flat_map(|i| (0..elements).step_by(16).map(move |j| (i, j)))
    {
        #[cfg(target_arch = "x86_64")]
        if has_avx512() && size_of::<F>() == 2 && i + 16 <= pairs && j + 16 <= elements {
            let (from, to) = (
                from[i * from_row + j..].as_ptr(),
                to[j * to_row + i..].as_mut_ptr(),
            );
            // SAFETY: the square lies within both, and the CPU has the instructions.
            unsafe { x86::transpose_16x16(from.cast(), from_row, to.cast(), to_row) };
            continue;
        }
        for (i, j) in
            (i..pairs.min(i + 16)).flat_map(|i| (j..elements.min(j + 16)).map(move |j| (i, j)))
        {
            to[j * to_row + i] = from[i * from_row + j];
        }
    }
}

/// B [k, n] in panels: for each block of KC terms, for each panel of columns, the rows of the
/// block.
#[derive(Clone, Copy)]
pub(super) struct PackedB<'a, F> {
    pub data: &'a [F],
    /// Columns of a panel.
    pub width: usize,
    pub k: usize,
    pub n: usize,
    /// The k and n that `data` was packed for, of which these are the first.
    pub packed: [usize; 2],
}

impl<'a, F> PackedB<'a, F> {
    /// All of `data`.
    pub fn new(data: &'a [F], width: usize, [k, n]: [usize; 2]) -> Self {
        let packed = [k, n];
        PackedB {
            data,
            width,
            k,
            n,
            packed,
        }
    }

    /// The first k terms and n columns of it.
    pub fn part(self, [k, n]: [usize; 2]) -> Self {
        PackedB { k, n, ..self }
    }
}

/// Packs B [k, n] into panels of [`nr`] columns.
pub(super) fn pack_b<F: Stored<Compute = T::Compute>, T: Stored>(
    b: Operand<'_, T>,
    k: usize,
    n: usize,
) -> Scratch<F> {
    let (width, t) = (nr::<F>(), dot_width::<F>());
    let columns = n.next_multiple_of(width);
    let mut packed = Scratch::new(k.next_multiple_of(t) * columns);
    chunks(&mut packed, KC * t * columns, |start, to| {
        let (first, rows) = (start / columns, to.len() / columns);
        let (count, mut computed) = (rows.min(k - first), None);
        let b = b.skip(first, 0).rows(count, &mut computed);
        for (column, to) in (0..n)
            .step_by(width)
            .zip(to.chunks_mut((rows * width).max(1)))
        {
            b.pack_panel(count, column..n.min(column + width), width, to);
        }
    });
    packed
}

impl<'a, T: Stored> Operand<'a, T> {
    /// Its first `rows` rows, where packing would copy them as they are: dense rows as wide as one
    /// panel, or half a panel.
    pub(super) fn as_panel<F: Stored>(
        self,
        rows: usize,
        columns: usize,
        buffer: &'a mut Option<Scratch<T>>,
    ) -> Option<&'a [T]> {
        self.is_panel::<F>(columns)
            .then(|| &self.rows(rows, buffer).data[..rows * columns])
    }

    /// Whether rows of so many columns are a panel as they lie.
    pub(super) fn is_panel<F: Stored>(self, columns: usize) -> bool {
        let fits = columns == nr::<F>() || columns == nr::<F>() / 2;
        let dense = [self.row_stride, self.col_stride] == [columns, 1];
        fits && dense && dot_width::<F>() == 1
    }

    /// Packs the first `count` terms of m rows that lie side by side: pairs of terms first, some
    /// rows of them at a time, then their transpose.
    fn pack_transposed_rows<F: Stored<Compute = T::Compute>>(
        self,
        [m, count]: [usize; 2],
        to: &mut [F],
        stride: usize,
    ) {
        // 16 pairs of terms of all rows stay in L1 up to 512 rows.
        let mut pairs = Scratch::new(TILE_TERMS * m);
        for first in (0..count).step_by(TILE_TERMS) {
            let terms = TILE_TERMS.min(count - first);
            let rows = &self.data[first * self.col_stride..];
            let pairs = interleave_rows(rows, [terms, m, self.col_stride], &mut pairs, m);
            let sizes = [terms.div_ceil(2), m, m];
            transpose_pairs(pairs, sizes, &mut to[first..], stride / 2);
        }
    }

    /// Packs the first `rows` rows of some columns into a panel `width` columns wide.
    fn pack_panel<F: Stored<Compute = T::Compute>>(
        self,
        rows: usize,
        columns: Range<usize>,
        width: usize,
        to: &mut [F],
    ) {
        let (t, count) = (dot_width::<F>(), columns.len());
        let from = &self.data[columns.start * self.col_stride..];
        if self.col_stride > 1 {
            if t > 1 && !rows.is_multiple_of(t) || count < width {
                to.fill(F::default());
            }
            return pack_transposed(from, self.col_stride, [rows, count], to, width);
        }
        if t > 1 {
            to.chunks_mut(width * t)
                .for_each(|to| to[count * t..].fill(F::default()));
            interleave_rows(from, [rows, count, self.row_stride], to, width);
            return;
        }
        for (p, to) in to.chunks_mut(width).enumerate() {
            copy_short(&from[p * self.row_stride..][..count], to);
            to[count..].fill(F::default());
        }
    }
}

/// Packs the columns of a transposed matrix, each of them dense and `stride` from the next, in
/// squares of 4 x 4: the elements of more columns could map to one set of L1.
fn pack_transposed<T: Stored, F: Stored<Compute = T::Compute>>(
    from: &[T],
    stride: usize,
    [rows, columns]: [usize; 2],
    to: &mut [F],
    width: usize,
) {
    let t = dot_width::<F>();
    let at = |p: usize, j: usize| (p / t * width + j) * t + p % t;
    for (j, p) in (0..columns)
        .step_by(4)
        .flat_map(|j| (0..rows).step_by(4).map(move |p| (j, p)))
    {
        if t == 1 && j + 4 <= columns && p + 4 <= rows {
            let square: [&[T]; 4] = std::array::from_fn(|i| &from[(j + i) * stride + p..][..4]);
            (0..4).for_each(|i| {
                to[at(p + i, j)..][..4].copy_from_slice(&square.map(|column| to_operand(column[i])))
            });
            continue;
        }
        for (j, p) in
            (j..columns.min(j + 4)).flat_map(|j| (p..rows.min(p + 4)).map(move |p| (j, p)))
        {
            to[at(p, j)] = to_operand(from[j * stride + p]);
        }
    }
}

/// Where the micro-kernel reads A.
#[derive(Clone, Copy)]
pub(super) enum ALayout {
    /// Where it lies.
    InPlace,
    /// In a copy of some terms of a batch of rows, `stride` apart. If `dense`, rows that hold
    /// nothing but those terms are copied in one piece.
    PackedRows { stride: usize, dense: bool },
    /// In a copy of some terms of all rows, `stride` apart, of an A that lies column by column:
    /// tiles read VNNI pairs side by side.
    TransposedRows { stride: usize },
    /// In a copy of some terms of all rows, column after column, `stride` apart, with VNNI pairs
    /// side by side. If `dense`, columns that follow one another are copied in one piece.
    PackedColumns { stride: usize, dense: bool },
}

/// Elements of a cache line of f32. Rows of a copy are set apart by a line more than they need, and
/// columns by `m | LINE`, whose number of whole lines is odd, so that neighbouring columns begin in
/// different sets of the caches. A power of two between them would put all of them into the same
/// few.
const LINE: usize = 16;

/// Columns of B from which on A is read often enough that cache misses cost more than a copy.
const MANY_COLUMNS: usize = 128;

/// Bytes between rows from which on A is copied. Each row is in a page of its own then, and rows
/// that are a power of two apart share few cache sets: what is read for one panel of B is evicted
/// before the next.
const CONFLICT_ROWS: usize = 4096;

/// The same for an A that lies column by column, of which a tile reads half a cache line for each
/// term: KC = 128 terms that are 512 bytes apart are 128 lines in 8 of L1's 64 sets, which hold 64.
const CONFLICT_COLUMNS: usize = 512;

impl ALayout {
    /// For A [m, k], of which `terms` are taken at a time, and n columns of B. A copy is made where
    /// A has to be converted, where VNNI pairs do not lie side by side, where AMX tiles would load
    /// rows that begin within a cache line, or where conflict misses would cost more.
    pub fn choose<F: Stored, T: Stored>(
        a: Operand<'_, T>,
        Size { m, k, n }: Size,
        terms: usize,
    ) -> ALayout {
        let conflicts =
            |bytes: usize, step: usize| n >= MANY_COLUMNS && step * size_of::<T>() >= bytes;
        let rows = |stride, dense| ALayout::PackedRows { stride, dense };
        let columns = |stride, dense| ALayout::PackedColumns { stride, dense };
        if multiplies_by_tiles::<F>() && F::DTYPE == T::DTYPE && n > nr::<F>() / 2 {
            let aligned = terms.next_multiple_of(TILE_TERMS);
            // Rows that begin within a cache line take six times as long to load: with several
            // panels of B a copy that begins at lines pays.
            let is_aligned = (a.row_stride * size_of::<T>()).is_multiple_of(64);
            return match a.col_stride {
                1 if k.is_multiple_of(2) && (is_aligned || n <= 2 * nr::<F>()) => ALayout::InPlace,
                _ if a.row_stride == 1 => ALayout::TransposedRows { stride: aligned },
                1 => rows(aligned, false),
                _ => columns(m | LINE, false),
            };
        }
        if F::DTYPE != T::DTYPE {
            return match a.col_stride {
                // Rows follow one another and are taken whole.
                1 if a.row_stride == k && terms == k => rows(k, true),
                1 => rows(terms + LINE, false),
                stride if stride == m => columns(m, true),
                _ => columns(m | LINE, false),
            };
        }
        match (dot_width::<F>(), a.col_stride) {
            (1, 1) if conflicts(CONFLICT_ROWS, a.row_stride) && m > 1 => rows(terms + LINE, false),
            (1, stride) if conflicts(CONFLICT_COLUMNS, stride) && a.row_stride == 1 => {
                columns(m | LINE, false)
            }
            (1, _) => ALayout::InPlace,
            (t, 1) if k.is_multiple_of(t) => ALayout::InPlace,
            _ => columns(m | LINE, false),
        }
    }

    /// From one row to the next, and from one term or VNNI pair to the next.
    pub fn steps<F: Stored, T: Stored>(self, a: Operand<'_, T>) -> [usize; 2] {
        let t = dot_width::<F>();
        match self {
            ALayout::InPlace => [a.row_stride, a.col_stride * t],
            ALayout::PackedRows { stride, .. } => [stride, t],
            ALayout::TransposedRows { stride } => [stride, t],
            ALayout::PackedColumns { stride, .. } => [t, stride * t],
        }
    }

    /// Memory for `terms` terms of m rows.
    pub fn buffer<F: Stored>(self, m: usize, terms: usize) -> Option<Scratch<F>> {
        match self {
            ALayout::InPlace => None,
            ALayout::PackedRows { stride, .. } => Some(Scratch::new(m.min(ROW_BATCH) * stride)),
            ALayout::TransposedRows { stride } => Some(Scratch::new(m * stride)),
            ALayout::PackedColumns { stride, .. } => Some(Scratch::new(
                terms.next_multiple_of(dot_width::<F>()) * stride,
            )),
        }
    }

    /// Packs the first `count` terms of all m rows, if A is packed by columns.
    pub fn pack_columns<T: Stored, F: Stored<Compute = T::Compute>>(
        self,
        a: Operand<'_, T>,
        [m, count]: [usize; 2],
        to: &mut [F],
    ) {
        let (stride, dense) = match self {
            ALayout::TransposedRows { stride } => {
                return a.pack_transposed_rows([m, count], to, stride);
            }
            ALayout::PackedColumns { stride, dense } => (stride, dense),
            _ => return,
        };
        if dense {
            return copy_long(&a.data[..count * m], &mut to[..count * m]);
        }
        let to = &mut to[..count.next_multiple_of(dot_width::<F>()) * stride];
        let transposed = Operand {
            row_stride: a.col_stride,
            col_stride: a.row_stride,
            ..a
        };
        transposed.pack_panel(count, 0..m, stride, to);
    }

    /// Packs the first `count` terms of some rows, if A is packed by rows.
    pub fn pack_rows<T: Stored, F: Stored<Compute = T::Compute>>(
        self,
        a: Operand<'_, T>,
        rows: Range<usize>,
        count: usize,
        to: &mut [F],
    ) {
        let ALayout::PackedRows { stride, dense } = self else {
            return;
        };
        if dense {
            return copy_long(
                &a.data[rows.start * count..rows.end * count],
                &mut to[..rows.len() * count],
            );
        }
        for (row, to) in rows.zip(to.chunks_mut(stride)) {
            copy_short(&a.data[row * a.row_stride..][..count], &mut to[..count]);
            // The other half of an odd last term's pair.
            to[count..count.next_multiple_of(dot_width::<F>())].fill(F::default());
        }
    }

    /// The rows from `first` on: of A itself, or of what was packed of it.
    pub fn rows_from<'a, T: Stored, F: Stored>(
        self,
        a: Operand<'a, T>,
        first: usize,
        packed: &'a [F],
    ) -> &'a [F] {
        match self {
            ALayout::InPlace => {
                let data = as_type(a.data).expect("A is multiplied as it is stored");
                &data[first * a.row_stride..]
            }
            ALayout::PackedRows { .. } => packed,
            ALayout::TransposedRows { stride } => &packed[first * stride..],
            ALayout::PackedColumns { .. } => &packed[first * dot_width::<F>()..],
        }
    }
}
