//! The arithmetic on the CPU: slices in, slices out, never a tensor.
//!
//! Every function here is plain: shapes have been checked above, so it only computes. Work is cut
//! into pieces by its size, never by the number of threads, and sums follow a fixed tree; so one
//! thread and sixteen give the same bits.

pub(crate) mod adamw;
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
use std::ops::{Deref, DerefMut};

use rayon::prelude::*;

use crate::Element;
use crate::tensor::pool::Buffer;

pub(crate) use simd::vectorize;

/// Elements of elementwise work below which a second thread costs more than it saves: 32 Ki floats
/// are two L2-sized slices, some ten microseconds of copying, which is what waking a thread takes.
pub(crate) const GRAIN: usize = 32 * 1024;

/// Calls `body(start, chunk)` for consecutive chunks of `grain` elements, over threads where there
/// are several chunks.
///
/// `body` is called through a pointer: what runs it over threads is then compiled once for each
/// type of element, not once for each loop of the crate, which would take most of the build's time.
pub(crate) fn chunks<T: Send>(out: &mut [T], grain: usize, body: impl Fn(usize, &mut [T]) + Sync) {
    over_threads(out, grain, grain, &|i, chunk| body(i * grain, chunk));
}

/// Calls `body(i, part)` for the i-th part of `size` elements. Threads take parts together up to
/// `grain` elements.
pub(crate) fn over_threads<T: Send>(
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
    // A thread that is done takes single grains from the others; halves of what is left would keep
    // it waiting at the end.
    let together = grain.div_ceil(size);
    let parts = out
        .par_chunks_mut(size)
        .with_min_len(together)
        .with_max_len(together);
    parts.enumerate().for_each(|(i, part)| body(i, part));
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
