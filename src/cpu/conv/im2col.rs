//! The gradient of the weight with im2col, one packed panel of B at a time: whatever the window.
//!
//! The im2col matrix has a row for each pixel of the small image and a column for each kernel
//! element and channel of a group. A panel is NR columns of some rows, so it stays in the L2 cache,
//! and packing it is all that im2col costs.

use std::ops::Range;

use crate::Stored;
use crate::cpu::Scratch;
use crate::cpu::conv::weight::{PIXEL_BLOCK, TapPixels, row_blocks};
use crate::cpu::gemm::{
    Accumulate, KSegment, Microkernel, OutputTile, RowOffsets, TileProduct, copy_short, dot_width,
    interleave_rows, nr, to_operands,
};
use crate::tensor::window::Geometry;

/// Adds to dw what rows `rows` of the small image, counted through all images, contribute.
pub(crate) fn add_weight_gradient<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let [_, width, c] = g.small;
    // A pixel more in each row: an odd number is filled up to whole VNNI pairs.
    let block = PIXEL_BLOCK.div_ceil(width) * (width + 1);
    let [mut panel, mut copy] = [nr::<F>(), c].map(|columns| Scratch::<F>::new(block * columns));
    for rows in row_blocks(g, rows, false) {
        let small = &small[rows.start * width * c..rows.end * width * c];
        let a = if dot_width::<F>() == 1 {
            to_operands(small, &mut copy)
        } else {
            interleave_rows(small, [rows.len() * width, c, c], &mut copy, c)
        };
        add_block(g, a, big, rows, &mut panel, dw);
    }
}

/// Adds to dw one block's GEMM for each group:
/// `[c_small, pixels] x [pixels, kh kw c_big] -> [c_small, kh kw c_big]`, a panel at a time.
fn add_block<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    a: &[F],
    big: &[T],
    rows: Range<usize>,
    panel: &mut [F],
    dw: &mut [T::Compute],
) {
    let (c, c_group) = (g.small[2], g.small[2] / g.window.groups);
    let (columns, pixels) = (g.columns(), rows.len() * g.small[1]);
    let (nr, t) = (nr::<F>(), dot_width::<F>());
    let segments = [KSegment {
        a: 0,
        b: 0,
        len: pixels.div_ceil(t),
    }];
    let mut unpaired = Scratch::<F>::new(if t == 1 { 0 } else { pixels * nr });
    for group in 0..g.window.groups {
        for first in (0..columns).step_by(nr) {
            let own = first..columns.min(first + nr);
            let tile_columns = own.len();
            if t == 1 {
                im2col(g, big, rows.clone(), group, own, &mut panel[..pixels * nr]);
            } else {
                im2col(g, big, rows.clone(), group, own, &mut unpaired);
                interleave_rows(&unpaired[..], [pixels, nr, nr], panel, nr);
            }
            let start = group * c_group;
            let offsets = RowOffsets::lines::<F>(
                [[t * start, start * columns]].into_iter(),
                c_group,
                [t, columns],
                tile_columns,
            );
            TileProduct::new(a, panel, [t * c, t * nr], &segments).tiles(
                &offsets,
                0,
                Accumulate::Existing,
                OutputTile {
                    c: dw,
                    first,
                    columns: tile_columns,
                },
            );
        }
    }
}

/// Columns `columns` of the im2col matrix, counted through (ky, kx, channel of the group), for the
/// pixels of some rows, as a panel [pixels, NR].
fn im2col<T: Stored, F: Stored<Compute = T::Compute>>(
    g: &Geometry,
    big: &[T],
    rows: Range<usize>,
    group: usize,
    columns: Range<usize>,
    panel: &mut [F],
) {
    let ([_, _, c], channels) = (g.big, g.big[2] / g.window.groups);
    let mut at = columns.start;
    while at < columns.end {
        // The columns of one tap: adjacent channels of one pixel.
        let (tap, channel) = (at / channels, at % channels);
        let count = (channels - channel).min(columns.end - at);
        let source = TapPixels::new(g, tap);
        let panel_row = g.small[1] * nr::<F>();
        for (row, panel) in rows.clone().zip(panel.chunks_mut(panel_row)) {
            let (inside, first) = source.row(row);
            let to = at - columns.start;
            let mut pixels = panel
                .chunks_mut(nr::<F>())
                .map(|pixel| &mut pixel[to..to + count]);
            pixels
                .by_ref()
                .take(inside.start)
                .for_each(|pixel| pixel.fill(F::default()));
            if !inside.is_empty() {
                let from = &big[first * c + group * channels + channel..];
                let from = from.chunks(g.window.stride[1].saturating_mul(c));
                let within = pixels.by_ref().take(inside.len()).zip(from);
                within.for_each(|(pixel, from)| copy_short(&from[..count], pixel));
            }
            pixels.for_each(|pixel| pixel.fill(F::default()));
        }
        at += count;
    }
}
