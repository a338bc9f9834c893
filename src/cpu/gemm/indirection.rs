//! Row offsets: where the rows of A begin, and those of C that they make.
//!
//! The micro-kernel finds each of its rows through an offset, so rows need not lie at one distance.
//! With the offsets of a convolution's windows, a GEMM reads them where they lie in the image, and
//! im2col's copy is not written (M. Dukhan, "The Indirect Convolution Algorithm",
//! arXiv:1907.02129).

use super::blocking::{MR, tile_rows};
use crate::Stored;

/// Offsets of rows in A and in C, tile by tile; and, for AMX, line by line.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct RowOffsets {
    pub(super) tiles: Vec<RowTile>,
    /// Where the first rows of all lines begin in A and in C.
    pub(super) lines: Vec<[usize; 2]>,
    /// Rows of a line.
    pub(super) count: usize,
    /// From one row of a line to the next, in A and in C.
    pub(super) steps: [usize; 2],
    /// The largest offset in A, and in C: what is compared with their lengths.
    pub(super) last: [usize; 2],
}

/// Rows that one micro-kernel computes. A tile that is not full repeats its first row.
pub(super) struct RowTile {
    /// Where they begin in A.
    pub a: [usize; MR],
    /// Where they begin in C.
    pub c: [usize; MR],
    pub count: usize,
}

impl RowOffsets {
    /// Lines of `count` rows each. `lines` are the offsets of each line's first row in A and in C;
    /// the rows after it follow at distances of `steps` in each. C is computed `columns` at a time.
    pub fn lines<T: Stored>(
        lines: impl Iterator<Item = [usize; 2]>,
        count: usize,
        steps: [usize; 2],
        columns: usize,
    ) -> RowOffsets {
        RowOffsets::of_height(tile_rows::<T>(columns), lines, count, steps)
    }

    /// `count` rows, the first of which is the first of A and of C.
    pub fn dense<T: Stored>(count: usize, steps: [usize; 2], columns: usize) -> RowOffsets {
        RowOffsets::lines::<T>(std::iter::once([0, 0]), count, steps, columns)
    }

    /// As [`RowOffsets::lines`], in tiles of `height` rows.
    pub(super) fn of_height(
        height: usize,
        lines: impl Iterator<Item = [usize; 2]>,
        count: usize,
        steps: [usize; 2],
    ) -> RowOffsets {
        let lines: Vec<[usize; 2]> = lines.filter(|_| count > 0).collect();
        let capacity = (lines.len() * count).div_ceil(height);
        let mut tiles: Vec<RowTile> = Vec::with_capacity(capacity);
        let mut last = [0; 2];
        for &[mut a, mut c] in &lines {
            if let Some(steps_on) = count.checked_sub(1) {
                last = [
                    last[0].max(a + steps_on * steps[0]),
                    last[1].max(c + steps_on * steps[1]),
                ];
            }
            let mut left = count;
            while left > 0 {
                if tiles.last().is_none_or(|tile| tile.count == height) {
                    tiles.push(RowTile {
                        a: [a; MR],
                        c: [c; MR],
                        count: 0,
                    });
                }
                let Some(tile) = tiles.last_mut() else { break };
                let (before, after) = (tile.count, height.min(tile.count + left));
                for row in before..after {
                    (tile.a[row], tile.c[row]) = (a, c);
                    a += steps[0];
                    c += steps[1];
                }
                tile.count = after;
                left -= after - before;
            }
        }
        RowOffsets {
            tiles,
            lines,
            count,
            steps,
            last,
        }
    }
}
