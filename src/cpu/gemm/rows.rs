//! Which rows of a product are computed together.

use super::TILE;

/// Up to eight rows of A, and the rows of C that they make. A tile that is not full does its first row several times.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(super) from: [usize; TILE],
    pub(super) to: [usize; TILE],
    pub(super) count: usize,
}

impl Rows {
    /// Lines of `count` rows each, in tiles: the first row of each line begins at `lines` in A and in C, and the rows
    /// after it `steps` further on in each.
    pub fn lines(lines: impl Iterator<Item = [usize; 2]>, count: usize, steps: [usize; 2]) -> Vec<Rows> {
        let mut tiles: Vec<Rows> = Vec::with_capacity((lines.size_hint().0 * count).div_ceil(TILE));
        for [mut from, mut to] in lines {
            let mut left = count;
            while left > 0 {
                if tiles.last().is_none_or(|tile| tile.count == TILE) {
                    tiles.push(Rows { from: [from; TILE], to: [to; TILE], count: 0 });
                }
                let Some(tile) = tiles.last_mut() else { break };
                let (before, after) = (tile.count, TILE.min(tile.count + left));
                for (a, c) in tile.from[before..after].iter_mut().zip(&mut tile.to[before..after]) {
                    (*a, *c) = (from, to);
                    from += steps[0];
                    to += steps[1];
                }
                tile.count = after;
                left -= after - before;
            }
        }
        tiles
    }

    /// `count` rows, the first of which is the first of A and of C.
    pub fn dense(count: usize, steps: [usize; 2]) -> Vec<Rows> {
        Rows::lines(std::iter::once([0, 0]), count, steps)
    }
}
