//! The gradient of a convolution's weight with the windows read where they lie.
//!
//! In an image framed by the zeros of its padding, the elements under one row of the kernel lie
//! side by side: kw pixels of all their channels. So for each row of the kernel dw is a matrix
//! product with one term for each pixel, whose right side is the image itself, seen from a window's
//! stride to the next. Nothing is copied but the frame; and where terms go together, for each of
//! its rows the elements under two neighbouring windows, one by one.

use std::ops::Range;

use crate::Stored;
use crate::cpu::Scratch;
use crate::cpu::gemm::{
    Accumulate, KSegment, Microkernel, OutputTile, RowOffsets, TileProduct, copy_many, dot_width,
    factors, nr, pair_rows,
};
use crate::tensor::window::Geometry;

/// Elements that a frame may have in any case, and how many times those of its image.
const SMALL: usize = 1 << 16;
const TIMES: usize = 4;

/// Elements between pairs of windows, so that they lie in all sets of a cache; and pixels of an
/// image below which passing over dw for each image takes longer than windows put together from
/// several.
const APART: usize = 32;
const PIXELS: usize = 64;

/// Whether the elements under a row of the kernel lie side by side, and the frame is not nearly all
/// zeros, as it is around windows far apart or far outside, nor holds everything many times.
pub(crate) fn applies<F: Stored>(g: &Geometry) -> bool {
    let side_by_side = g.kernel[1] == 1 || g.window.dilation[1] == 1;
    g.window.groups == 1 && side_by_side && {
        let span = |axis: usize| {
            let windows = (g.small[axis] - 1).saturating_mul(g.window.stride[axis]);
            windows
                .saturating_add((g.kernel[axis] - 1).saturating_mul(g.window.dilation[axis]))
                .saturating_add(1)
        };
        let (mut row, many) = (
            span(1).saturating_mul(g.big[2]),
            g.small[0] * g.small[1] >= PIXELS,
        );
        if dot_width::<F>() > 1 {
            row = row.max(
                g.small[1].saturating_mul(
                    g.kernel[1]
                        .saturating_mul(g.big[2])
                        .saturating_add(APART / 2),
                ),
            );
        }
        (many || dot_width::<F>() == 1)
            && span(0).saturating_mul(row) <= SMALL.max(TIMES * g.big.iter().product::<usize>())
    }
}

/// Adds the products of lines `lines` of one image to `dw`: `small` are those lines, `big` is the
/// whole image. `room` is as large as `small` with a pixel more in each line.
pub(crate) fn add_products<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    lines: Range<usize>,
    room: &mut [F],
    dw: &mut [T::Compute],
) {
    let ([_, w, c_small], c, [kh, kw], t) = (g.small, g.big[2], g.kernel, dot_width::<F>());
    let ([down, right], dilation, terms) =
        (g.window.stride, g.window.dilation[0], w.next_multiple_of(t));
    // Rows and columns that these windows see.
    let height = (lines.len() - 1) * down + (kh - 1) * dilation + 1;
    let width = (w - 1) * right + kw;
    let frame: Scratch<F> = frame(g, big, lines.start * down, [height, width]);
    // From one window, or pair of them, to the next, and to the row below.
    let ([step, row], small, windows) = if t == 1 {
        ([right * c, width * c], factors(small, room), frame)
    } else {
        let step = t * kw * c + APART;
        let row = terms / t * step;
        let mut windows = Scratch::new(height * row + t * nr::<F>());
        for (from, to) in frame
            .chunks(width * c)
            .zip(windows.chunks_exact_mut(row))
            .take(height)
        {
            pair_rows(from, [w, kw * c, right * c], to, step / t);
        }
        for (from, to) in small
            .chunks(w * c_small)
            .zip(room.chunks_exact_mut(terms * c_small))
        {
            pair_rows(from, [w, c_small, c_small], to, c_small);
        }
        ([step, row], &*room, windows)
    };
    let run = |i: usize| KSegment {
        a: i * terms * c_small,
        b: i * down * row,
        len: terms / t,
    };
    let runs: Vec<KSegment> = (0..lines.len()).map(run).collect();
    let sums = TileProduct::new(small, &windows[..], [t * c_small, step], &runs);
    for (ky, first) in
        (0..kh).flat_map(|ky| (0..kw * c).step_by(nr::<F>()).map(move |first| (ky, first)))
    {
        let columns = nr::<F>().min(kw * c - first);
        let tiles = RowOffsets::lines::<F>(
            [[0, ky * kw * c]].into_iter(),
            c_small,
            [t, kh * kw * c],
            columns,
        );
        sums.tiles(
            &tiles,
            ky * dilation * row + t * first,
            Accumulate::Existing,
            OutputTile {
                c: dw,
                first,
                columns,
            },
        );
    }
}

/// `height` rows of an image from `top` on and `width` columns, both counted from where the padding
/// begins; zeros where the image is not, and a panel of zeros behind, which tiles read and drop.
fn frame<T: Stored, F: Stored<Compute = T::Compute>>(
    g: &Geometry,
    big: &[T],
    top: usize,
    [height, width]: [usize; 2],
) -> Scratch<F> {
    let ([h, w, c], [above, left]) = (g.big, g.window.padding);
    let mut frame = Scratch::new(height * width * c + nr::<F>());
    let (inside, behind) = frame.split_at_mut(height * width * c);
    behind.fill(F::default());
    let before = left.min(width);
    let columns = w.min(width - before);
    for (row, line) in (top..).zip(inside.chunks_exact_mut(width * c)) {
        let (zeros, rest) = line.split_at_mut(before * c);
        let (to, more) = rest.split_at_mut(columns * c);
        zeros.fill(F::default());
        more.fill(F::default());
        match row.checked_sub(above).filter(|&row| row < h) {
            Some(row) => copy_many(&big[row * w * c..][..columns * c], to),
            None => to.fill(F::default()),
        }
    }
    frame
}
