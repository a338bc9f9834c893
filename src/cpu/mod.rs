//! The arithmetic on the CPU: slices in, slices out, never a tensor.
//!
//! Every function here is plain: shapes have been checked above, so it only computes. Work is cut
//! into pieces by its size, never by the number of threads, and sums follow a fixed tree; so one
//! thread and sixteen give the same bits.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod cast;
pub(crate) mod clip;
pub(crate) mod compare;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod cumsum;
pub(crate) mod dropout;
pub(crate) mod dwt;
pub(crate) mod ema;
pub(crate) mod float;
pub(crate) mod focal_loss;
pub(crate) mod gelu_dropout;
pub(crate) mod gemm;
pub(crate) mod index;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod lion;
pub(crate) mod matmul;
pub(crate) mod nll_loss;
pub(crate) mod pointwise_loss;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod sgd;
pub(crate) mod shape;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod unary;
pub(crate) mod upsample;

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::Element;
use crate::tensor::dtype::{as_bytes_mut, from_bytes_mut};
use crate::tensor::pool::Buffer;
use crate::tensor::timeline::{self, Busy, PART};

pub(crate) use simd::vectorize;

/// Elements of elementwise work below which a second thread costs more than it saves: 32 Ki floats
/// read and as many written are 256 KiB, some ten microseconds of copying, which is what waking a
/// thread takes.
pub(crate) const GRAIN: usize = 32 * 1024;

/// Calls `body(start, chunk)` for consecutive chunks of `grain` elements, over threads where there
/// are several chunks.
///
/// `body` is called through a pointer, and elements are handed to threads as bytes: what runs loops
/// over threads is then compiled once, not once for each loop or type of element, which would take
/// most of the build's time. Nor is it inlined into each loop's caller.
pub(crate) fn chunks<T: Element>(
    out: &mut [T],
    grain: usize,
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    over_threads(out, grain, grain, &|i, chunk| body(i * grain, chunk));
}

/// Calls `body(i, part)` for the i-th part of `size` elements. Threads take parts together up to
/// `grain` elements.
#[inline(never)]
pub(crate) fn over_threads<T: Element>(
    out: &mut [T],
    size: usize,
    grain: usize,
    body: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    if out.is_empty() {
        return;
    }
    if out.len() <= grain {
        return out
            .chunks_mut(size)
            .enumerate()
            .for_each(|(i, part)| body(i, part));
    }
    let bytes = size.min(out.len()) * size_of::<T>();
    bytes_over_threads(
        as_bytes_mut(out),
        bytes,
        grain.div_ceil(size),
        &|i, part| {
            body(i, from_bytes_mut(part));
        },
    );
}

/// A thread that is done takes `together` parts from the others; halves of what is left would keep
/// it waiting at the end.
#[inline(never)]
fn bytes_over_threads(
    out: &mut [u8],
    size: usize,
    together: usize,
    body: &(dyn Fn(usize, &mut [u8]) + Sync),
) {
    let watched = timeline::is_on();
    out.par_chunks_mut(size)
        .with_min_len(together)
        .with_max_len(together)
        .enumerate()
        .for_each(|(i, part)| {
            let _busy = part_of_an_op(watched);
            body(i, part)
        });
}

/// A slice to write, in parts of so many elements.
pub(crate) struct Parts<'a, T>(pub &'a mut [T], pub usize);

/// Calls `body(i, a, b)` for the i-th parts of two slices, over threads.
#[inline(never)]
pub(crate) fn pairs_over_threads<A: Element, B: Element>(
    a: Parts<A>,
    b: Parts<B>,
    body: &(dyn Fn(usize, &mut [A], &mut [B]) + Sync),
) {
    let sizes = [a.1 * size_of::<A>(), b.1 * size_of::<B>()];
    let slices = [as_bytes_mut(a.0), as_bytes_mut(b.0)];
    pairs_of_bytes_over_threads(slices, sizes, &|i, a, b| {
        body(i, from_bytes_mut(a), from_bytes_mut(b));
    });
}

#[inline(never)]
fn pairs_of_bytes_over_threads(
    [a, b]: [&mut [u8]; 2],
    sizes: [usize; 2],
    body: &(dyn Fn(usize, &mut [u8], &mut [u8]) + Sync),
) {
    let watched = timeline::is_on();
    a.par_chunks_mut(sizes[0])
        .zip(b.par_chunks_mut(sizes[1]))
        .enumerate()
        .for_each(|(i, (a, b))| {
            let _busy = part_of_an_op(watched);
            body(i, a, b)
        });
}

/// Calls `body` with each of these, over threads, which take `together` of them at a time.
pub(crate) fn each_over_threads<I: Send>(
    items: Vec<I>,
    together: usize,
    body: &(dyn Fn(I) + Sync),
) {
    if items.len() <= together {
        return items.into_iter().for_each(body);
    }
    let (watched, items) = (timeline::is_on(), items.into_par_iter());
    items
        .with_min_len(together)
        .with_max_len(together)
        .for_each(|item| {
            let _busy = part_of_an_op(watched);
            body(item)
        });
}

/// What `body(start..end)` returns for consecutive ranges of `size`, over threads; the last range
/// may be shorter.
pub(crate) fn map_over_threads<R: Send + Sync>(
    length: usize,
    size: usize,
    body: &(dyn Fn(Range<usize>) -> R + Sync),
) -> Vec<R> {
    let results: Vec<OnceLock<R>> = (0..length.div_ceil(size))
        .map(|_| OnceLock::new())
        .collect();
    numbers_over_threads(results.len(), &|i| {
        let start = i * size;
        // Set only here, once for each number.
        _ = results[i].set(body(start..length.min(start + size)));
    });
    let results = results.into_iter().map(OnceLock::into_inner);
    results.map(|result| result.expect("set above")).collect()
}

#[inline(never)]
fn numbers_over_threads(count: usize, body: &(dyn Fn(usize) + Sync)) {
    let (watched, numbers) = (timeline::is_on(), (0..count).into_par_iter());
    numbers.with_max_len(1).for_each(|i| {
        let _busy = part_of_an_op(watched);
        body(i)
    });
}

/// Where a profile is taken, remembers that this thread works on a part.
pub(crate) fn part_of_an_op(watched: bool) -> Option<Busy> {
    watched.then(|| timeline::busy(PART))
}

/// Working memory of a kernel, from the pool: what a call leaves behind is used by the next.
pub(crate) struct Scratch<T>(Buffer, PhantomData<T>);

impl<T: Element> Scratch<T> {
    /// A buffer of `count` elements, of whatever its memory held before.
    pub fn new(count: usize) -> Self {
        Scratch(Buffer::uninit(count * size_of::<T>()), PhantomData)
    }
}

impl<T: Element> Deref for Scratch<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T: Element> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut_slice()
    }
}
