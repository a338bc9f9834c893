//! Attention by tiles of scores: a block of threads computes 64 rows and 64 columns of a result.

use super::dropout::drop;
use super::runtime::graph;
use super::runtime::launch::Launch;
use super::{Slice, SliceMut, Source};
use crate::cpu::attention::Attention;
use crate::tensor::shape::flops;
use crate::{DType, Result};

static SOURCE: Source = Source::new("attention", include_str!("../../kernels/attention.cu"));

/// Rows and columns of a block's part of the result.
const TILE: usize = 64;

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    pub q: Slice<'a>,
    pub k: Slice<'a>,
    pub v: Slice<'a>,
    pub y: Slice<'a>,
    pub stats: Slice<'a>,
    pub dy: Slice<'a>,
}

/// y = softmax(scale q k^T) v for each head, and of each row of scores the largest and ln(sum of
/// e^(score - largest)).
pub(crate) fn forward(
    of: &Attention,
    [q, k, v]: [Slice; 3],
    stats: &mut SliceMut,
    y: &mut SliceMut,
) -> Result<()> {
    let launch = q.gpu.kernel(&SOURCE, "attention", q.dtype)?;
    let launch = launch.arg(q).arg(k).arg(v).arg(y).arg(stats);
    let launch = of.settings(launch, [of.n, of.dv], of.d + of.dv)?;
    launch.moves(q.bytes() + k.bytes() + 2 * v.bytes()).launch()
}

/// The gradients of q, k and v: a kernel each, as each has sums over other rows.
pub(crate) fn backward<'a>(
    of: &Attention,
    saved: Saved,
    dq: &mut SliceMut<'a>,
    dk: &mut SliceMut<'a>,
    dv: &mut SliceMut,
) -> Result<()> {
    let Saved {
        q,
        k,
        v,
        y,
        stats,
        dy,
    } = saved;
    let rows = of.heads * of.n;
    let mut r = q.gpu.scratch(rows, DType::F32)?;
    let launch = q.gpu.kernel(&SOURCE, "attention_dots", q.dtype)?;
    let launch = launch.arg(y).arg(dy).arg(&mut r.write()).count(rows);
    launch
        .sizes([of.dv])?
        .warps(rows)
        .moves(2 * y.bytes())
        .launch()?;
    let bytes = q.bytes() + k.bytes() + v.bytes() + y.bytes();
    for (name, rows, dx) in [("attention_dq", of.n, dq), ("attention_dk", of.m, dk)] {
        let launch = q.gpu.kernel(&SOURCE, name, q.dtype)?;
        let launch = launch.arg(q).arg(k).arg(v).arg(dy).arg(stats);
        let launch = launch.arg(r.read()).arg(dx);
        let launch = of.settings(launch, [rows, of.d], 2 * of.d + of.dv)?;
        launch.moves(bytes).launch()?;
    }
    let launch = q.gpu.kernel(&SOURCE, "attention_dv", q.dtype)?;
    let launch = launch.arg(q).arg(k).arg(dy).arg(stats).arg(dv);
    let launch = of.settings(launch, [of.m, of.dv], of.d + of.dv)?;
    launch.moves(bytes).launch()
}

impl Attention {
    /// Appends sizes and settings, and sets the grid for a result of so many rows and columns, with so
    /// many multiply-adds for each score.
    fn settings(
        &self,
        launch: Launch,
        [rows, columns]: [usize; 2],
        terms: usize,
    ) -> Result<Launch> {
        let dropout = self.dropout.as_ref();
        let ((seed, stream), key) = match dropout {
            Some((_, rng)) => (rng.key(), graph::key(rng)),
            None => ((0, 0), None),
        };
        let (threshold, keep) = dropout.map_or((0, 1.0), |(p, _)| drop(*p));
        let launch = launch.sizes([self.n, self.m, self.d, self.dv])?;
        let launch = launch.arg(self.scale as f32).arg(i32::from(self.causal));
        let launch = launch.arg(seed).arg(stream).arg(key);
        let launch = launch.arg(threshold).arg(keep);
        let tiles = [rows, columns].map(|size| size.div_ceil(TILE));
        let counted = flops(&[self.heads, self.n, self.m, terms]);
        let grid = [self.heads.saturating_mul(tiles[0]), tiles[1], 1];
        Ok(launch.blocks(grid).counts(counted))
    }
}
