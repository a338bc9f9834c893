//! GELU and dropout: in one pass over memory, or fused into the GEMMs around them.

use crate::Rng;
use crate::cpu::dropout::{Kind, apply, whole};
use crate::cpu::float::LoopStored;
use crate::cpu::gemm::{Accumulate, GemmElement, MR, Operand, Size, gemm, gemm_with_epilogue};
use crate::cpu::{Scratch, unary};

/// y = dropout(x Phi(x)).
pub(crate) fn forward<T: LoopStored>(p: f64, rng: &Rng, x: &[T], y: &mut [T]) {
    apply(Kind::Gelu, p, (rng, 0), x, y);
}

/// dx = dropout(dy) (Phi(x) + x phi(x)), written over dy.
pub(crate) fn backward<T: LoopStored>(p: f64, rng: &Rng, x: &[T], dy: &mut [T]) {
    apply(Kind::GeluBackward, p, (rng, 0), x, dy);
}

/// Whether each task of a GEMM with rows of k elements begins with the first random bits of a
/// block, so that the dropout mask can be drawn task by task.
pub(crate) fn in_pieces(k: usize, p: f64) -> bool {
    whole(p, MR * k)
}

/// h = dropout(gelu(x)), or gelu(x), in the backward pass of a 1 x 1 convolution of h: neither h
/// nor its gradient is in memory as a whole. (The forward pass makes h as a whole, and drops it.)
pub(crate) struct Hidden<'a, T> {
    pub x: &'a [T],
    /// Elements of a row of y, n, and of a row of x and h, k.
    pub size: [usize; 2],
    pub dropout: Option<(f64, &'a Rng)>,
}

impl<T: GemmElement + LoopStored> Hidden<'_, T> {
    /// dw = dy^T h. The prologue recomputes h while it is packed.
    pub fn backward_weight(&self, dy: &[T], dw: &mut [T::Compute]) {
        let recompute = |first: usize, x: &[T], h: &mut [T]| match self.dropout {
            Some((p, rng)) => apply(Kind::Gelu, p, (rng, first), x, h),
            None => unary::forward(unary::Kind::Gelu, x, h),
        };
        let [n, k] = self.size;
        // [n, rows] x [rows, k] -> [n, k]
        gemm(
            Size::new(n, self.rows(), k),
            Operand::new(dy, n, true),
            Operand::computed(self.x, k, &recompute),
            Accumulate::Zero,
            dw,
        );
    }

    /// dx = dropout(dh) (Phi(x) + x phi(x)) with dh = dy w. The epilogue computes it in place,
    /// before dh leaves the cache.
    pub fn backward_input(&self, dy: &[T], w: &[T], dx: &mut [T]) {
        let slope = |first: usize, dh: &mut [T]| {
            let x = &self.x[first..][..dh.len()];
            if let Some((p, rng)) = self.dropout {
                return apply(Kind::GeluBackward, p, (rng, first), x, dh);
            }
            let mut dy = Scratch::new(dh.len());
            dy.copy_from_slice(dh);
            unary::backward(unary::Kind::Gelu, x, &dy, dh);
        };
        let [n, k] = self.size;
        // [rows, n] x [n, k] -> [rows, k]
        gemm_with_epilogue(
            Size::new(self.rows(), n, k),
            Operand::new(dy, n, false),
            Operand::new(w, k, false),
            Accumulate::Zero,
            dx,
            &slope,
        );
    }

    fn rows(&self) -> usize {
        self.x.len().checked_div(self.size[1]).unwrap_or(0)
    }
}
