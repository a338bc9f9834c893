//! The gradient of the weight, of conv2d and conv_transpose2d alike:
//!
//! ```text
//! dw[s, ky, kx, b] = sum over all pixels (n, i, j) of  small[n, i, j, s] big[n, y, x, b]
//! ```
//!
//! where (y, x) is the pixel under kernel element (ky, kx). With a row for each pixel of the batch,
//! this is one GEMM of the transposed small image with the matrix that im2col would make of the
//! big one:
//!
//! ```text
//! [c_small, pixels] x [pixels, kh kw c_big] -> [c_small, kh kw c_big]
//! ```
//!
//! Terms are many and dw is small, so tasks cut the terms: each sums over some rows of pixels into
//! a dw of its own, and these are added by a tree that depends on the sizes alone. The im2col
//! matrix is never written as a whole. Besides Winograd's algorithm and the sums of depthwise
//! layers there are two ways around it:
//!
//! * [`add_padded`] zero-pads the image. The kw pixels under one *row* of the kernel then are
//!   adjacent, kw c_big elements, and make one row of B. The next window's row of B begins `stride`
//!   pixels further on in the same memory: with kw = 3 and stride 1, pixels 0 1 2, then 1 2 3. So B
//!   is the padded copy itself, read with a distance between rows that is smaller than a row, and
//!   is not written. (VNNI pairs are: they interleave two windows.) The copy is made for one block
//!   of pixels at a time.
//! * [`im2col`](super::im2col) writes some columns of some rows of the matrix at a time: one packed
//!   panel of B. It asks nothing of the window.

use std::ops::Range;

use crate::cpu::Scratch;
use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::InputView;
use crate::cpu::gemm::{
    Accumulate, KSegment, Microkernel, OutputPanel, RowOffsets, TileProduct, dot_width,
    interleave_rows, nr, sum_pairwise, to_operands,
};
use crate::tensor::window::Geometry;
use crate::{Float, Stored};

/// Pixels of one block of terms: NR columns of B for so many are 64 KiB of f32, and stay in the L2
/// cache.
pub(crate) const PIXEL_BLOCK: usize = 512;

/// Tasks, at most: each has a dw of its own, and adding those takes time.
const MAX_TASKS: usize = 32;

/// Elements between one row of VNNI pairs and the next, so that a power-of-two stride does not map
/// them to one cache set.
const PAIR_PADDING: usize = 32;

/// Elements up to which a zero-padded copy is always made.
const ALWAYS_PADDED: usize = 1 << 16;

/// A larger one has at most so many times the elements of the image.
const MAX_GROWTH: usize = 4;

/// Where B is written in VNNI pairs: pixels of an image below which a pass over dw for each image
/// takes longer than im2col over several images.
const MIN_IMAGE_PIXELS: usize = 64;

/// dw = the sum over all tasks of what `add` adds to it for a task's rows: rows of the small
/// images, numbered through the batch. There must be at least one row.
///
/// In terms of a GEMM this is split-K: dw is a product over pixels, which are cut into tasks of
/// `min_task_pixels` or more, at most `MAX_TASKS`. The cut depends on the sizes alone, and partial
/// sums are added in a tree that depends on their number alone, so any number of threads gives the
/// same bits.
pub(crate) fn sum_over_rows<T: Float>(
    g: &Geometry,
    min_task_pixels: usize,
    dw: &mut [T],
    add: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    let rows = g.n * g.small[0];
    let task = min_task_pixels
        .div_ceil(g.small[1])
        .max(rows.div_ceil(MAX_TASKS));
    let partial = |i: usize| {
        let mut partial = Scratch::new(dw.len());
        partial.fill(T::ZERO);
        add(i * task..rows.min((i + 1) * task), &mut partial);
        partial
    };
    let sum = sum_pairwise(0..rows.div_ceil(task), &partial);
    dw.copy_from_slice(&sum);
}

/// A task's rows in blocks of about [`PIXEL_BLOCK`] pixels, of one image each if so asked.
pub(crate) fn row_blocks(
    g: &Geometry,
    rows: Range<usize>,
    of_one_image: bool,
) -> impl Iterator<Item = Range<usize>> {
    let ([height, width, _], mut first) = (g.small, rows.start);
    std::iter::from_fn(move || {
        let image_end = if of_one_image {
            (first / height + 1) * height
        } else {
            rows.end
        };
        let end = rows.end.min(first + PIXEL_BLOCK.div_ceil(width));
        let block = first..end.min(image_end);
        first = block.end;
        (!block.is_empty()).then_some(block)
    })
}

/// The pixels of the big image under one kernel element.
pub(crate) struct TapPixels<'a> {
    g: &'a Geometry,
    /// Distance from the beginning of a window.
    offset: [usize; 2],
    /// Rows and columns of the small image for which they exist.
    covered: [Range<usize>; 2],
}

impl TapPixels<'_> {
    /// Of the kernel element with this number, counted row by row.
    pub fn new(g: &Geometry, tap: usize) -> TapPixels<'_> {
        let kernel = [tap / g.kernel[1], tap % g.kernel[1]];
        let offset = [0, 1].map(|axis| kernel[axis] * g.window.dilation[axis]);
        TapPixels {
            g,
            offset,
            covered: [0, 1].map(|axis| g.covered(axis, offset[axis])),
        }
    }

    /// For a row of the small image, counted through all images: the columns for which there is a
    /// pixel, and the number of the first one's, counted through all images.
    pub fn row(&self, row: usize) -> (Range<usize>, usize) {
        let (g, [rows, columns]) = (self.g, &self.covered);
        let (image, row) = (row / g.small[0], row % g.small[0]);
        if columns.is_empty() || !rows.contains(&row) {
            return (0..0, 0);
        }
        let at = |axis: usize, i: usize| {
            i * g.window.stride[axis] + self.offset[axis] - g.window.padding[axis]
        };
        let y = image * g.big[0] + at(0, row);
        (columns.clone(), y * g.big[1] + at(1, columns.start))
    }
}

/// Whether [`add_padded`] computes the gradient: the elements under a row of the kernel have to be
/// adjacent, and the zero-padded copy must not be nearly all zeros, as it is around windows far
/// apart or far outside of the image, nor hold everything many times.
pub(crate) fn fits_padded<F: Stored>(g: &Geometry) -> bool {
    let adjacent = g.kernel[1] == 1 || g.window.dilation[1] == 1;
    if g.window.groups != 1 || !adjacent {
        return false;
    }
    let span = |axis: usize| {
        let windows = (g.small[axis] - 1).saturating_mul(g.window.stride[axis]);
        let kernel = (g.kernel[axis] - 1).saturating_mul(g.window.dilation[axis]);
        windows.saturating_add(kernel).saturating_add(1)
    };
    let mut row = span(1).saturating_mul(g.big[2]);
    if dot_width::<F>() > 1 {
        // In VNNI pairs B is written, not read from the padded copy: each window takes its own
        // kw c_big elements, even where windows overlap, and each pair PAIR_PADDING more.
        if g.small[0] * g.small[1] < MIN_IMAGE_PIXELS {
            return false;
        }
        let window = g.kernel[1].saturating_mul(g.big[2]);
        row = row.max(g.small[1].saturating_mul(window.saturating_add(PAIR_PADDING / 2)));
    }
    let limit = ALWAYS_PADDED.max(MAX_GROWTH * g.big.iter().product::<usize>());
    span(0).saturating_mul(row) <= limit
}

/// Adds to dw what rows `rows` contribute, by zero-padded copies of one block of an image each.
pub(crate) fn add_padded<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let ([height, width, c_small], image_len) = (g.small, g.big.iter().product::<usize>());
    let mut scratch = Scratch::<F>::new(PIXEL_BLOCK.div_ceil(width) * (width + 1) * c_small);
    for rows in row_blocks(g, rows, true) {
        let image = rows.start / height;
        let big = &big[image * image_len..][..image_len];
        let small = &small[rows.start * width * c_small..rows.end * width * c_small];
        let rows = rows.start % height..rows.start % height + rows.len();
        let b = ImageAsB::of::<T>(g, big, rows);
        add_rows_product(g, small_as_a(g, small, &mut scratch), &b, dw);
    }
}

/// A zero-padded image as B: for kernel row ky, row (i, j) of B is what window (i, j) of the small
/// image sees under that row of the kernel.
struct ImageAsB<F> {
    elements: Scratch<F>,
    /// Rows of the small image.
    rows: usize,
    /// From one window, or VNNI pair of windows, to the next, and to those in the image row below.
    step: usize,
    image_row: usize,
}

impl<F: Stored> ImageAsB<F> {
    fn of<T: Stored<Compute = F::Compute>>(
        g: &Geometry,
        big: &[T],
        rows: Range<usize>,
    ) -> ImageAsB<F> {
        let ([_, w, _], c, [kh, kw], t) = (g.small, g.big[2], g.kernel, dot_width::<F>());
        let ([down, right], [above, left]) = (g.window.stride, g.window.padding);
        let view = InputView {
            top: (rows.start * down) as isize - above as isize,
            left: -(left as isize),
            height: (rows.len() - 1) * down + (kh - 1) * g.window.dilation[0] + 1,
            width: (w - 1) * right + kw,
            channels: c,
            copied: true,
        };
        let pixels = Pixels {
            image: big,
            size: g.big,
            channels: 0..c,
        };
        // The last panel is read whole: what lies behind the image is multiplied and dropped.
        let size = view.height * view.width * c;
        let mut padded = Scratch::new(size + nr::<F>());
        let (image, behind) = padded.split_at_mut(size);
        pixels.copy_padded(&view, image);
        behind.fill(F::default());
        if t == 1 {
            return ImageAsB {
                elements: padded,
                rows: rows.len(),
                step: right * c,
                image_row: view.width * c,
            };
        }
        let step = t * kw * c + PAIR_PADDING;
        let image_row = w.div_ceil(t) * step;
        let mut pairs = Scratch::new(view.height * image_row + t * nr::<F>());
        let to = pairs.chunks_exact_mut(image_row).take(view.height);
        for (from, to) in padded.chunks(view.width * c).zip(to) {
            interleave_rows(from, [w, kw * c, right * c], to, step / t);
        }
        ImageAsB {
            elements: pairs,
            rows: rows.len(),
            step,
            image_row,
        }
    }
}

/// Rows of the small image, [pixels, c_small], as they are multiplied: A column by column. Each
/// image row is filled up to whole VNNI pairs of pixels.
fn small_as_a<'a, T: Stored, F: Stored<Compute = T::Compute>>(
    g: &Geometry,
    small: &'a [T],
    scratch: &'a mut [F],
) -> &'a [F] {
    let ([_, w, c], t) = (g.small, dot_width::<F>());
    if t == 1 {
        return to_operands(small, scratch);
    }
    let row = w.next_multiple_of(t) * c;
    for (from, to) in small.chunks(w * c).zip(scratch.chunks_exact_mut(row)) {
        interleave_rows(from, [w, c, c], to, c);
    }
    scratch
}

/// Adds to dw for each kernel row its GEMM:
/// `[c_small, pixels] x [pixels, kw c_big] -> [c_small, kw c_big]`.
fn add_rows_product<F: Microkernel>(g: &Geometry, a: &[F], b: &ImageAsB<F>, dw: &mut [F::Compute]) {
    let ([_, w, c_small], c, [kh, kw], t) = (g.small, g.big[2], g.kernel, dot_width::<F>());
    let pixels = w.next_multiple_of(t);
    // One segment of k for each row of pixels.
    let segment = |i: usize| KSegment {
        a: i * pixels * c_small,
        b: i * g.window.stride[0] * b.image_row,
        len: pixels / t,
    };
    let segments: Vec<KSegment> = (0..b.rows).map(segment).collect();
    let product = TileProduct::new(a, &b.elements[..], [t * c_small, b.step], &segments);
    for ky in 0..kh {
        for first in (0..kw * c).step_by(nr::<F>()) {
            let columns = nr::<F>().min(kw * c - first);
            let start = [[0, ky * kw * c]].into_iter();
            let rows = RowOffsets::lines::<F>(start, c_small, [t, kh * kw * c], columns);
            product.tiles(
                &rows,
                ky * g.window.dilation[0] * b.image_row + t * first,
                Accumulate::Existing,
                OutputPanel {
                    c: dw,
                    first,
                    columns,
                },
            );
        }
    }
}
