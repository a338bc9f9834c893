//! Tiles of 2 x 2 outputs, and the pixels that they read and write. Where an image has an odd
//! number of rows or columns, its last tiles have outputs that do not exist: they are computed and
//! not written. Inputs that do not exist, padding or beyond it, are read as zeros.

use std::ops::Range;

use super::components::Component;
use crate::Stored;
use crate::cpu::simd::Lanes;

/// Channels that are transformed at a time: one vector of the widest.
pub(crate) const VECTOR: usize = 16;

/// Tiles that are transformed and multiplied together. With 128 channels 64 transformed tiles take
/// 288 KiB (2 x 2 taps) or 512 KiB (3 x 3).
pub(super) const TILES: usize = 64;

/// Tiles that a buffer has space for, for each product. Padded by one: a power-of-two stride maps
/// all products of a tile, which are written together, to one cache set.
pub(super) const TILE_SLOTS: usize = TILES + 1;

/// Some rows of the outputs of a phase pair, `columns` outputs each, of some images.
pub(super) struct Region {
    pub images: Range<usize>,
    pub rows: Range<usize>,
    pub columns: usize,
}

/// Tiles of one row, side by side.
struct TileRun {
    /// Counted from the region's first.
    image: usize,
    /// Of the first tile's first output.
    row: usize,
    column: usize,
    tiles: usize,
}

/// At most [`TILES`] tiles.
pub(super) struct TileBatch {
    pub tiles: usize,
    runs: Vec<TileRun>,
}

impl Region {
    /// Tiles of each image, down and across.
    fn image_tiles(&self) -> [usize; 2] {
        [self.rows.len().div_ceil(2), self.columns.div_ceil(2)]
    }

    /// All tiles.
    pub fn tiles(&self) -> Range<usize> {
        let [down, across] = self.image_tiles();
        0..self.images.len() * down * across
    }

    /// Tiles `tiles`, counted row by row through all images, in batches.
    pub fn batches(&self, tiles: Range<usize>) -> impl Iterator<Item = TileBatch> {
        tiles
            .clone()
            .step_by(TILES)
            .map(move |first| self.batch(first..tiles.end.min(first + TILES)))
    }

    fn batch(&self, tiles: Range<usize>) -> TileBatch {
        let ([down, across], mut next, mut runs) = (self.image_tiles(), tiles.start, Vec::new());
        while next < tiles.end {
            let (row, column) = (next / across, next % across);
            let count = (across - column).min(tiles.end - next);
            runs.push(TileRun {
                image: row / down,
                row: self.rows.start + 2 * (row % down),
                column: 2 * column,
                tiles: count,
            });
            next += count;
        }
        TileBatch {
            tiles: tiles.len(),
            runs,
        }
    }
}

/// The pixels of an image at `first + step i` along each axis: a polyphase component of an input,
/// or the outputs of a phase.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Height, width and channels of the image.
    pub size: [usize; 3],
    pub first: [isize; 2],
    pub step: [usize; 2],
}

impl Grid {
    /// All pixels.
    pub fn dense(size: [usize; 3]) -> Grid {
        Grid {
            size,
            first: [0, 0],
            step: [1, 1],
        }
    }

    /// The inputs that a component of each axis reads.
    pub fn of_components(size: [usize; 3], axes: [&Component; 2]) -> Grid {
        Grid {
            size,
            first: axes.map(|component| component.first),
            step: axes.map(|component| component.step),
        }
    }

    /// For each tile of a batch n x n pixels of this grid: the outputs themselves, or the inputs
    /// that they read. They begin at the pixel with the row and column of the tile's first output.
    /// Images are counted from `first_image` on.
    pub fn windows(&self, n: usize, batch: &TileBatch, first_image: usize) -> TileWindows {
        let [height, width, c] = self.size;
        let mut windows = Vec::with_capacity(TILES);
        for run in &batch.runs {
            let [top, left] = [(run.row, 0), (run.column, 1)]
                .map(|(i, axis)| (i * self.step[axis]) as isize + self.first[axis]);
            let rows = self.existing(0, top, n);
            // The index of a pixel above or to the left of the image wraps around, and wraps back
            // where the distance to an existing pixel is added.
            let line = ((first_image + run.image) * height)
                .wrapping_add(top as usize)
                .wrapping_mul(width);
            for tile in 0..run.tiles {
                let left = left + (2 * tile * self.step[1]) as isize;
                windows.push(TileWindow {
                    start: line.wrapping_add(left as usize).wrapping_mul(c),
                    rows,
                    columns: self.existing(1, left, n),
                });
            }
        }
        TileWindows {
            windows,
            strides: [self.step[0] * width * c, self.step[1] * c],
        }
    }

    /// Which of n rows or columns from `at` on exist, a bit for each.
    fn existing(&self, axis: usize, at: isize, n: usize) -> u8 {
        let (step, size) = (self.step[axis], self.size[axis]);
        if at >= 0 && at as usize + (n - 1) * step < size {
            return (1 << n) - 1;
        }
        (0..n).fold(0, |bits, k| {
            bits | u8::from((at as usize).wrapping_add(k * step) < size) << k
        })
    }
}

/// The windows of a batch's tiles, and the distances of their rows and of their columns.
pub(super) struct TileWindows {
    pub windows: Vec<TileWindow>,
    pub strides: [usize; 2],
}

/// n x n pixels of an image: where the first begins, and which rows and columns exist, a bit for
/// each. Pixels that do not exist are zeros to read, and are not written.
#[derive(Clone, Copy)]
pub(super) struct TileWindow {
    pub start: usize,
    pub rows: u8,
    pub columns: u8,
}

impl TileWindow {
    /// Where pixel (i, j) begins, if it exists.
    #[inline(always)]
    fn pixel(self, [i, j]: [usize; 2], strides: [usize; 2]) -> Option<usize> {
        let exists = self.rows >> i & self.columns >> j & 1 == 1;
        exists.then(|| self.start.wrapping_add(i * strides[0] + j * strides[1]))
    }

    /// Whether all of n x n pixels exist.
    #[inline(always)]
    fn is_whole(self, n: usize) -> bool {
        self.rows & self.columns == (1 << n) - 1
    }

    /// A vector of channels from `c` on of each of N x N pixels.
    #[inline(always)]
    pub fn read<V: Lanes<f32>, T: Stored<Compute = f32>, const N: usize>(
        self,
        x: &[T],
        strides: [usize; 2],
        c: usize,
    ) -> [[V; N]; N] {
        if self.is_whole(N) {
            return V::read_square(&x[self.start + c..], strides);
        }
        let mut pixels = [[V::splat(0.0); N]; N];
        for i in 0..N {
            for j in 0..N {
                if let Some(at) = self.pixel([i, j], strides) {
                    pixels[i][j] = V::read(&x[at + c..]);
                }
            }
        }
        pixels
    }
}

/// Where outputs are accumulated.
pub(super) struct Outputs<'a, T> {
    pub strides: [usize; 2],
    /// What the outputs begin with: the bias or, without one, what y holds.
    pub bias: Option<&'a [T]>,
    pub y: &'a mut [T],
}

impl<T: Stored<Compute = f32>> Outputs<'_, T> {
    /// Adds a tile's 2 x 2 results, for a vector of channels from `c` on.
    #[inline(always)]
    pub fn add<V: Lanes<f32>>(&mut self, window: TileWindow, c: usize, pixels: [[V; 2]; 2]) {
        let mut sums = match self.bias {
            Some(bias) => [[V::read(&bias[c..]); 2]; 2],
            None => window.read(self.y, self.strides, c),
        };
        for i in 0..2 {
            for j in 0..2 {
                sums[i][j] = sums[i][j].add(pixels[i][j]);
            }
        }
        if window.is_whole(2) {
            return V::write_square(sums, &mut self.y[window.start + c..], self.strides);
        }
        for i in 0..2 {
            for j in 0..2 {
                if let Some(at) = window.pixel([i, j], self.strides) {
                    sums[i][j].write(&mut self.y[at + c..]);
                }
            }
        }
    }
}
