//! The gradient of the weight with im2col, one packed panel of B at a time: whatever the window.
//!
//! The im2col matrix has a row for each pixel of the small image and a column for each kernel
//! element and channel of a group. A panel is NR columns of some rows, so it stays in the L2 cache,
//! and packing it is all that im2col costs.

use std::ops::Range;

use half::bf16;

use crate::Stored;
use crate::cpu::Scratch;
use crate::cpu::conv::weight::{PIXEL_BLOCK, TapPixels, row_blocks};
use crate::cpu::gemm::{
    Accumulate, KSegment, Microkernel, OutputPanel, RowOffsets, TILE_TERMS, TileProduct,
    copy_short, dot_width, interleave_rows, multiplies_by_tiles, nr, to_operands, transpose_pairs,
};
use crate::cpu::vectorize;
use crate::tensor::dtype::as_type;
use crate::tensor::window::Geometry;

/// Adds to dw what rows `rows` of the small image, counted through all images, contribute.
pub(crate) fn add_weight_gradient<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let [_, width, c] = g.small;
    let block = terms::<F>(PIXEL_BLOCK.div_ceil(width) * width);
    let [mut panel, mut copy] = [nr::<F>(), c].map(|columns| Scratch::<F>::new(block * columns));
    let mut pairs = Scratch::<F>::new(if multiplies_by_tiles::<F>() {
        block * c
    } else {
        0
    });
    for rows in row_blocks(g, rows, false) {
        let small = &small[rows.start * width * c..rows.end * width * c];
        let a = SmallAsA::of(small, [rows.len() * width, c], &mut copy, &mut pairs);
        add_block(g, &a, big, rows, &mut panel, dw);
    }
}

/// Terms that are multiplied for so many pixels: what whole VNNI pairs, or whole tiles, have.
fn terms<F: Stored>(pixels: usize) -> usize {
    pixels.next_multiple_of(if multiplies_by_tiles::<F>() {
        TILE_TERMS
    } else {
        dot_width::<F>()
    })
}

/// The small image as A, `[c_small, pixels]`, as it is multiplied: pixel by pixel, as it lies, or
/// for AMX tiles transposed to a row for each channel.
struct SmallAsA<'a, F> {
    elements: &'a [F],
    /// From one channel to the next, and from one pixel, or pair of pixels, to the next.
    steps: [usize; 2],
}

impl<'a, F: Stored> SmallAsA<'a, F> {
    fn of<T: Stored<Compute = F::Compute>>(
        small: &'a [T],
        [pixels, c]: [usize; 2],
        copy: &'a mut [F],
        pairs: &mut [F],
    ) -> SmallAsA<'a, F> {
        let t = dot_width::<F>();
        let steps = [t, t * c];
        if t == 1 {
            let elements = to_operands(small, copy);
            return SmallAsA { elements, steps };
        }
        if !multiplies_by_tiles::<F>() {
            let elements = interleave_rows(small, [pixels, c, c], copy, c);
            return SmallAsA { elements, steps };
        }
        let row = terms::<F>(pixels);
        let pairs = interleave_rows(small, [pixels, c, c], pairs, c);
        let copy = &mut copy[..row * c];
        copy.chunks_mut(row)
            .for_each(|row| row[pixels..].fill(F::default()));
        transpose_pairs(pairs, [pixels.div_ceil(t), c, c], copy, row / t);
        SmallAsA {
            elements: copy,
            steps: [row, t],
        }
    }
}

/// Adds to dw one block's GEMM for each group:
/// `[c_small, pixels] x [pixels, kh kw c_big] -> [c_small, kh kw c_big]`, a panel at a time.
fn add_block<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    a: &SmallAsA<'_, F>,
    big: &[T],
    rows: Range<usize>,
    panel: &mut [F],
    dw: &mut [T::Compute],
) {
    let (c_group, columns, pixels) = (
        g.small[2] / g.window.groups,
        g.columns(),
        rows.len() * g.small[1],
    );
    let (nr, t, terms) = (nr::<F>(), dot_width::<F>(), terms::<F>(pixels));
    let segments = [KSegment {
        a: 0,
        b: 0,
        len: terms / t,
    }];
    let panel = &mut panel[..terms * nr];
    panel[pixels / t * t * nr..].fill(F::default());
    for group in 0..g.window.groups {
        for first in (0..columns).step_by(nr) {
            let own = first..columns.min(first + nr);
            let tile_columns = own.len();
            if t == 1 {
                im2col(g, big, rows.clone(), group, own, panel);
            } else {
                let big = as_type(big).expect("VNNI pairs are multiplied as they are stored");
                im2col_pairs::<F>(g, big, rows.clone(), group, own, panel);
            }
            let start = group * c_group;
            let offsets = RowOffsets::lines::<F>(
                [[a.steps[0] * start, start * columns]].into_iter(),
                c_group,
                [a.steps[0], columns],
                tile_columns,
            );
            TileProduct::new(a.elements, panel, [a.steps[1], t * nr], &segments).tiles(
                &offsets,
                0,
                Accumulate::Existing,
                OutputPanel {
                    c: dw,
                    first,
                    columns: tile_columns,
                },
            );
        }
    }
}

/// The columns of one tap in some columns of the im2col matrix: adjacent channels of one pixel.
struct TapColumns {
    tap: usize,
    /// The first of its channels, in its group, and how many.
    channel: usize,
    count: usize,
    /// Where they begin in the panel.
    to: usize,
}

/// Columns of the im2col matrix, counted through (ky, kx, channel of the group), tap by tap.
fn taps(channels: usize, columns: Range<usize>) -> impl Iterator<Item = TapColumns> {
    let mut at = columns.start;
    std::iter::from_fn(move || {
        let (tap, channel, to) = (at / channels, at % channels, at - columns.start);
        let count = (channels - channel).min(columns.end - at);
        at += count;
        (count > 0).then_some(TapColumns {
            tap,
            channel,
            count,
            to,
        })
    })
}

/// Where no pixel of the image is.
const OUTSIDE: usize = usize::MAX;

/// As [`im2col`], as a panel of VNNI pairs of pixels.
fn im2col_pairs<F: Stored>(
    g: &Geometry,
    big: &[F],
    rows: Range<usize>,
    group: usize,
    columns: Range<usize>,
    panel: &mut [F],
) {
    let ([_, _, c], channels) = (g.big, g.big[2] / g.window.groups);
    let mut places = Vec::with_capacity(rows.len() * g.small[1]);
    for columns in taps(channels, columns) {
        let source = TapPixels::new(g, columns.tap);
        places.clear();
        for row in rows.clone() {
            let (inside, first) = source.row(row);
            let from = first * c + group * channels + columns.channel;
            let begins = |j: usize| match inside.contains(&j) {
                true => from + (j - inside.start) * g.window.stride[1] * c,
                false => OUTSIDE,
            };
            places.extend((0..g.small[1]).map(begins));
        }
        pair_pixels(big, &places, panel, [columns.to, columns.count]);
    }
}

vectorize! {
    /// Writes the elements of pixels that begin at `places`, `count` of each, in pairs of pixels to
    /// columns `first` on of a panel.
    fn pair_pixels<T: Stored>(image: &[T], places: &[usize], panel: &mut [T], columns: [usize; 2]) {
        let ([first, count], zeros) = (columns, [T::default(); nr::<bf16>()]);
        let pixel = |place: usize| match place {
            OUTSIDE => &zeros[..count],
            place => &image[place..][..count],
        };
        for (pair, to) in places.chunks(2).zip(panel.chunks_exact_mut(2 * nr::<T>())) {
            let (a, b) = (pixel(pair[0]), pair.get(1).map_or(&zeros[..count], |&b| pixel(b)));
            let to = to.as_chunks_mut::<2>().0[first..][..count].iter_mut();
            for ((to, &a), &b) in to.zip(a).zip(b) {
                *to = [a, b];
            }
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
    for TapColumns {
        tap,
        channel,
        count,
        to,
    } in taps(channels, columns)
    {
        let source = TapPixels::new(g, tap);
        let panel_row = g.small[1] * nr::<F>();
        for (row, panel) in rows.clone().zip(panel.chunks_mut(panel_row)) {
            let (inside, first) = source.row(row);
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
    }
}
