//! Which rows of a product are computed together.

use super::blocking::{MR, tile_rows};
use crate::Stored;

/// RowOffsets of A, and the rows of C that they make, tile by tile.
pub(crate) struct RowOffsets {
    pub(super) tiles: Vec<Tile>,
    /// The last row of A, and of C, which none of the others is behind.
    pub(super) last: [usize; 2],
}

/// A tile that is not full does its first row several times.
pub(super) struct Tile {
    pub from: [usize; MR],
    pub to: [usize; MR],
    pub count: usize,
}

impl RowOffsets {
    /// Lines of `count` rows each: the first row of each line begins at `lines` in A and in C, and
    /// the rows after it `steps` further on in each. `columns` of C are computed at a time.
    pub fn lines<T: Stored>(
        lines: impl Iterator<Item = [usize; 2]>,
        count: usize,
        steps: [usize; 2],
        columns: usize,
    ) -> RowOffsets {
        RowOffsets::of_height(tile_rows::<T>(columns), lines, count, steps)
    }

    /// In tiles of so many rows.
    pub(super) fn of_height(
        height: usize,
        lines: impl Iterator<Item = [usize; 2]>,
        count: usize,
        steps: [usize; 2],
    ) -> RowOffsets {
        let mut tiles: Vec<Tile> =
            Vec::with_capacity((lines.size_hint().0 * count).div_ceil(height));
        let mut last = [0; 2];
        for [mut from, mut to] in lines {
            if let Some(steps_on) = count.checked_sub(1) {
                last = [
                    last[0].max(from + steps_on * steps[0]),
                    last[1].max(to + steps_on * steps[1]),
                ];
            }
            let mut left = count;
            while left > 0 {
                if tiles.last().is_none_or(|tile| tile.count == height) {
                    tiles.push(Tile {
                        from: [from; MR],
                        to: [to; MR],
                        count: 0,
                    });
                }
                let Some(tile) = tiles.last_mut() else { break };
                let (before, after) = (tile.count, height.min(tile.count + left));
                for (a, c) in tile.from[before..after]
                    .iter_mut()
                    .zip(&mut tile.to[before..after])
                {
                    (*a, *c) = (from, to);
                    from += steps[0];
                    to += steps[1];
                }
                tile.count = after;
                left -= after - before;
            }
        }
        RowOffsets { tiles, last }
    }

    /// `count` rows, the first of which is the first of A and of C.
    pub fn dense<T: Stored>(count: usize, steps: [usize; 2], columns: usize) -> RowOffsets {
        RowOffsets::lines::<T>(std::iter::once([0, 0]), count, steps, columns)
    }
}
