//! Depthwise convolution: each channel has a kernel of its own. The GEMM of a group would have one
//! column of C and kh kw terms: of a panel of B one column of NR would be used, of a vector one
//! lane, and each channel would be gathered from the image by itself. So vectors run along channels
//! instead: 16 of them, which are adjacent in NHWC, take one multiply-add a tap.
//!
//! ```text
//! copy what a band of outputs reads, zero-padded     [blocks of 16 channels, rows, columns, 16],
//! as many channels as fit in L2
//! for each 4 rows of outputs, each block of channels, each row, 8 outputs side by side:
//!     for each tap:                                  8 accumulators
//!         y[i + 0..8] += w[tap] x[window of (i + 0..8), tap]
//! ```
//!
//! What makes it fast: an accumulator takes all taps before it is stored, a vector of weights
//! serves eight outputs, and in the copy a window's pixels are close together, in L1. In the image
//! they are as far apart as there are channels: with 256 of f32, all compete for 4 of the 64 sets
//! of an L1 cache, which do not hold an 8 x 8 window. Image and outputs are read and written in
//! their order, many channels of a pixel at once; 16 at a time would wait for memory.
//!
//! The weight's gradient ([`weight`]) has accumulators for taps instead of outputs.

mod outputs;
mod weight;

pub(crate) use outputs::{convolve, packed_len};
pub(crate) use weight::add_weight_gradient;

use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::InputView;
use crate::cpu::vectorize;
use crate::{Float, Stored};

/// Channels that are computed together: one vector of AVX-512, a cache line of f32.
const BLOCK: usize = 16;

/// Elements of a zero-padded copy that channels are taken together for: 1 MiB of f32, the L2 cache
/// that a core of a large CPU has.
const STRIP_ELEMENTS: usize = 1 << 18;

/// How many blocks of channels are copied together, for so many elements of each: as many as stay
/// in the L2 cache, in equal shares.
fn strip(channels: usize, elements: usize) -> usize {
    let (blocks, fit) = (channels.div_ceil(BLOCK), STRIP_ELEMENTS / elements.max(1));
    blocks.div_ceil(blocks.div_ceil(fit.max(1)).max(1)).max(1)
}

/// Elements from one block of channels to the next, of so many pixels: an odd number of cache
/// lines, so that the same pixel of all blocks is not in one set of a cache.
fn plane(pixels: usize) -> usize {
    (pixels | 1) * BLOCK
}

/// Copies what `view` sees of some channels of an image, as `[blocks, height, width, BLOCK]` of the
/// compute type, [`plane`] elements a block: zeros outside of the image, and in channels beyond
/// these.
fn copy_blocks<T: Stored>(pixels: &Pixels<T>, view: &InputView, to: &mut [T::Compute]) {
    let ([h, w, c], plane) = (pixels.size, plane(view.height * view.width));
    let columns = view.left.max(0)..(view.left + view.width as isize).min(w as isize);
    let mut zero = |pixels: std::ops::Range<usize>| {
        for to in to.chunks_mut(plane) {
            to[pixels.start * BLOCK..pixels.end * BLOCK].fill(T::Compute::ZERO);
        }
    };
    let inside = |i: usize| (0..h as isize).contains(&(view.top + i as isize));
    for i in 0..view.height {
        let row = i * view.width..(i + 1) * view.width;
        if columns.is_empty() || !inside(i) {
            zero(row);
        } else {
            zero(row.start..row.start + (columns.start - view.left) as usize);
            zero(row.start + (columns.end - view.left) as usize..row.end);
        }
    }
    for i in (0..view.height).filter(|&i| !columns.is_empty() && inside(i)) {
        let start = (view.top + i as isize) as usize * w + columns.start as usize;
        let from = &pixels.image[start * c..][..columns.len() * c];
        let first = i * view.width + (columns.start - view.left) as usize;
        let part = Pixels {
            image: from,
            size: [1, columns.len(), c],
            channels: pixels.channels.clone(),
        };
        copy_pixels(&part, plane, &mut to[first * BLOCK..]);
    }
}

vectorize! {
    /// Copies some channels of a row of pixels to blocks that are `plane` elements apart.
    fn copy_pixels<T: Stored>(pixels: &Pixels<T>, plane: usize, to: &mut [T::Compute]) {
        for (i, from) in pixels.image.chunks_exact(pixels.size[2]).enumerate() {
            let (blocks, rest) = from[pixels.channels.clone()].as_chunks::<BLOCK>();
            let mut at = i * BLOCK;
            for from in blocks {
                let to = &mut to[at..][..BLOCK];
                for c in 0..BLOCK {
                    to[c] = from[c].to_compute();
                }
                at += plane;
            }
            if !rest.is_empty() {
                let to = &mut to[at..][..BLOCK];
                to.fill(T::Compute::ZERO);
                for (to, from) in to.iter_mut().zip(rest) {
                    *to = from.to_compute();
                }
            }
        }
    }
}
