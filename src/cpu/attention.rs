//! Attention by blocks of queries, whose scores never leave the cache. After FlashAttention-2 (T. Dao,
//! arXiv:2307.08691), with whole rows of scores instead of its online softmax, since a block of few
//! rows fits in L2 for any usual number of keys.
//!
//! ```text
//! for each head, in parallel                         where there are few, for parts of its queries
//!     pack K^T and V
//!     for each block of queries
//!         S = (scale Q) K^T                          [rows, d] x [d, m] -> [rows, m], in L2
//!         largest, S = e^(S - largest), sum          of each row
//!         Y = S V / sum                              [rows, m] x [m, dv] -> [rows, dv]
//! ```
//!
//! The backward pass computes S again by the same instructions, so that even where scores are so large
//! that they are rounded by more than 1, its P belongs to the sum that was kept:
//!
//! ```text
//!         P = e^((S - largest) - ln sum)
//!         dP = dY V^T                                [rows, dv] x [dv, m] -> [rows, m], in L2
//!         dS = P (dP - r), r = sum of dY Y           of each row
//!         dV += P^T dY                               [m, rows] x [rows, dv] -> [m, dv]
//!         dK += dS^T (scale Q)                       [m, rows] x [rows, d] -> [m, d]
//!         dQ = scale dS K                            [rows, m] x [m, d] -> [rows, d]
//! ```
//!
//! Dropout multiplies P by its factors F, which are drawn again: dV = (F P)^T dY, and dP = F (dY V^T).
//! r stays the sum of dY Y, as that is the sum of P dP over a row too.

use std::ops::Range;

use super::dropout::Factors;
use super::float::{LoopFloat, LoopStored};
use super::gemm::{Accumulate, GemmElement, MR, Operand, Packed};
use super::reduce::fold_rows;
use super::{GRAIN, Scratch, binary::add_assign, each_over_threads, vectorize};
use crate::{Float, Rng};

/// Attention of `heads` heads, those of the whole batch: q and y have `n` rows, k and v have `m`, q
/// and k `d` columns, v and y `dv`.
pub(crate) struct Attention {
    pub heads: usize,
    pub n: usize,
    pub m: usize,
    pub d: usize,
    pub dv: usize,
    pub scale: f64,
    /// Whether query i sees keys 0 to i alone.
    pub causal: bool,
    /// p, and the stream of random numbers.
    pub dropout: Option<(f64, Rng)>,
}

/// A float that attention is computed in.
pub(crate) trait AttentionFloat: LoopFloat + GemmElement + LoopStored {}
impl<T: LoopFloat + GemmElement + LoopStored> AttentionFloat for T {}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a, T> {
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub y: &'a [T],
    /// Of each row of scores the largest, and ln(sum of e^(score - largest)).
    pub stats: &'a [T],
    pub dy: &'a [T],
}

/// Queries of one head: rows of all heads' q.
struct Task {
    head: usize,
    rows: Range<usize>,
}

/// Some rows of a task.
struct Block {
    rows: Range<usize>,
    /// Keys that its first row sees, and any of its rows. With `causal` a row sees one more than the
    /// row before.
    seen: usize,
    columns: usize,
}

/// What the backward pass of a task writes; dk and dv are sums over its queries.
struct Gradients<'a, T> {
    dq: &'a mut [T],
    dk: &'a mut [T],
    dv: &'a mut [T],
}

/// Working memory of a task, for one block at a time.
struct Workspace<'a, T> {
    /// scale Q.
    scaled: Scratch<T>,
    scores: Scratch<T>,
    slopes: Scratch<T>,
    factors: Option<Factors<'a, T>>,
}

/// Scores of a block: 256 KiB of f32, which stay in L2 from one product to the next. The backward
/// pass has two such blocks.
const BLOCK_SCORES: usize = 1 << 16;

/// Rows of a block, at most.
const BLOCK_ROWS: usize = 64;

/// Tasks that there are at least, where heads have enough rows, for as many threads.
const TASKS: usize = 32;

/// Rows of a task, at least: each packs the keys and values of its head.
const TASK_ROWS: usize = 128;

/// y = softmax(scale q k^T) v for each head; stats as in [`Saved`].
pub(crate) fn forward<T: AttentionFloat>(
    of: &Attention,
    [q, k, v]: [&[T]; 3],
    stats: &mut [T],
    y: &mut [T],
) {
    let tasks = of.tasks();
    let lengths = || tasks.iter().map(|task| task.rows.len());
    let outputs = cut(y, of.dv, lengths()).into_iter();
    let outputs = outputs.zip(cut(stats, 2, lengths()));
    let work = tasks.iter().zip(outputs).collect();
    each_over_threads(work, of.together(&tasks), &|(task, (y, stats))| {
        of.forward_task(task, [q, k, v], stats, y);
    });
}

/// The gradients of q, k and v.
pub(crate) fn backward<T: AttentionFloat>(
    of: &Attention,
    saved: Saved<'_, T>,
    dq: &mut [T],
    dk: &mut [T],
    dv: &mut [T],
) {
    let tasks = of.tasks();
    let parts = tasks.len() / of.heads;
    // Where a head has several tasks, each has sums of its own.
    let of_parts = |width: usize| (parts > 1).then(|| Scratch::new(tasks.len() * of.m * width));
    let [mut dk_parts, mut dv_parts] = [of.d, of.dv].map(of_parts);
    let sums = {
        let keys = || tasks.iter().map(|_| of.m);
        let dk = dk_parts.as_deref_mut().unwrap_or(&mut *dk);
        let dv = dv_parts.as_deref_mut().unwrap_or(&mut *dv);
        cut(dk, of.d, keys())
            .into_iter()
            .zip(cut(dv, of.dv, keys()))
    };
    let dq = cut(dq, of.d, tasks.iter().map(|task| task.rows.len()));
    let outputs = dq.into_iter().zip(sums);
    let outputs = outputs.map(|(dq, (dk, dv))| Gradients { dq, dk, dv });
    let work = tasks.iter().zip(outputs).collect();
    each_over_threads(work, of.together(&tasks), &|(task, out)| {
        of.backward_task(task, saved, out);
    });
    for (sums, of_heads) in [(dk_parts, dk), (dv_parts, dv)] {
        if let Some(sums) = sums {
            add_parts(&sums, parts, of_heads.len() / of.heads, of_heads);
        }
    }
}

/// Some rows of a matrix.
fn rows_of<'a, T>(x: &'a [T], width: usize, rows: &Range<usize>) -> &'a [T] {
    &x[rows.start * width..rows.end * width]
}

/// Consecutive pieces of so many rows each.
fn cut<T>(x: &mut [T], width: usize, lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut rest = x;
    let piece = |rows: usize| {
        let (piece, others) = std::mem::take(&mut rest).split_at_mut(rows * width);
        rest = others;
        piece
    };
    lengths.map(piece).collect()
}

/// The sums of heads from those of their parts, one after the other.
fn add_parts<T: AttentionFloat>(sums: &[T], parts: usize, size: usize, of_heads: &mut [T]) {
    if size == 0 {
        return;
    }
    let heads = of_heads.chunks_mut(size).zip(sums.chunks(parts * size));
    each_over_threads(heads.collect(), 1, &|(to, parts)| {
        let (first, others) = parts.split_at(size);
        to.copy_from_slice(first);
        others.chunks(size).for_each(|part| add_assign(to, part));
    });
}

impl Attention {
    /// By sizes alone, so that any number of threads gives the same bits. Each head has equally many.
    fn tasks(&self) -> Vec<Task> {
        let n = self.n;
        let parts = TASKS.div_ceil(self.heads).min(n.div_ceil(TASK_ROWS));
        let length = n.div_ceil(parts).next_multiple_of(MR);
        let of_head = |head| {
            let rows = move |first| head * n + first..head * n + n.min(first + length);
            (0..n).step_by(length).map(move |first| Task {
                head,
                rows: rows(first),
            })
        };
        (0..self.heads).flat_map(of_head).collect()
    }

    /// Tasks whose multiplications are worth a thread, together.
    fn together(&self, tasks: &[Task]) -> usize {
        let one = tasks[0].rows.len() * self.m * (self.d + self.dv + 1);
        (GRAIN / one).max(1)
    }

    /// Rows of a block.
    fn block_rows(&self) -> usize {
        let rows = (BLOCK_SCORES / self.m).clamp(MR, BLOCK_ROWS);
        rows / MR * MR
    }

    fn blocks(&self, task: &Task) -> impl Iterator<Item = Block> {
        let (m, causal, head) = (self.m, self.causal, task.head * self.n);
        let (length, end) = (self.block_rows(), task.rows.end);
        task.rows.clone().step_by(length).map(move |first| {
            let rows = first..end.min(first + length);
            let sees = |row: usize| if causal { m.min(row + 1 - head) } else { m };
            Block {
                seen: sees(first),
                columns: sees(rows.end - 1),
                rows,
            }
        })
    }

    fn workspace<T: AttentionFloat>(&self, task: &Task, backward: bool) -> Workspace<'_, T> {
        let rows = self.block_rows().min(task.rows.len());
        let dropout = self.dropout.as_ref();
        Workspace {
            scaled: Scratch::new(rows * self.d),
            scores: Scratch::new(rows * self.m),
            slopes: Scratch::new(if backward { rows * self.m } else { 0 }),
            factors: dropout.map(|(p, rng)| Factors::new(*p, rng, self.m)),
        }
    }

    /// S = (scale Q) K^T of a block's rows of q.
    fn scores<T: AttentionFloat>(
        &self,
        block: &Block,
        q: &[T],
        keys: &Packed<'_, T>,
        work: &mut Workspace<'_, T>,
    ) {
        let (q, scale) = (rows_of(q, self.d, &block.rows), T::from_f64(self.scale));
        let scaled = &mut work.scaled[..q.len()];
        scaled
            .iter_mut()
            .zip(q)
            .for_each(|(to, &q)| *to = q * scale);
        // [rows, d] x [d, columns] -> [rows, columns]
        keys.multiply(
            Operand::new(scaled, self.d, false),
            [self.d, block.columns],
            Accumulate::Zero,
            &mut work.scores[..block.rows.len() * block.columns],
        );
    }

    fn forward_task<T: AttentionFloat>(
        &self,
        task: &Task,
        [q, k, v]: [&[T]; 3],
        stats: &mut [T],
        y: &mut [T],
    ) {
        let (m, d, dv) = (self.m, self.d, self.dv);
        let of_head = task.head * m..(task.head + 1) * m;
        let (k, v) = (rows_of(k, d, &of_head), rows_of(v, dv, &of_head));
        let keys = Packed::new(Operand::new(k, d, true), [d, m]);
        let values = Packed::new(Operand::new(v, dv, false), [m, dv]);
        let mut work = self.workspace(task, false);
        let outputs = cut(y, dv, self.blocks(task).map(|block| block.rows.len())).into_iter();
        let outputs = outputs.zip(stats.chunks_mut(2 * self.block_rows()));
        for (block, (y, stats)) in self.blocks(task).zip(outputs) {
            self.scores(&block, q, &keys, &mut work);
            self.weights(&block, stats, &mut work);
            let columns = block.columns;
            let weights = &work.scores[..block.rows.len() * columns];
            // [rows, columns] x [columns, dv] -> [rows, dv]
            let weights = Operand::new(weights, columns, false);
            values.multiply(weights, [columns, dv], Accumulate::Zero, y);
            for (y, stats) in y.chunks_mut(dv).zip(stats.chunks_mut(2)) {
                let over_sum = T::ONE / stats[1];
                y.iter_mut().for_each(|y| *y = *y * over_sum);
                stats[1] = stats[1].ln();
            }
        }
    }

    /// Makes the scores of a block e^(S - largest), times the factors of dropout, with stats of the
    /// largest and the sum without these factors.
    fn weights<T: AttentionFloat>(
        &self,
        block: &Block,
        stats: &mut [T],
        work: &mut Workspace<'_, T>,
    ) {
        let Workspace {
            scores, factors, ..
        } = work;
        let rows = block.rows.clone().zip(scores.chunks_mut(block.columns));
        for (i, ((row, scores), stats)) in rows.zip(stats.chunks_mut(2)).enumerate() {
            let (seen, hidden) = scores.split_at_mut(block.columns.min(block.seen + i));
            exponentials(seen, stats);
            hidden.fill(T::ZERO);
            if let Some(factors) = factors {
                multiply(factors.of(row * self.m, seen.len()), seen);
            }
        }
    }

    /// dq of the task's rows, and what they add to dk and dv.
    fn backward_task<T: AttentionFloat>(
        &self,
        task: &Task,
        saved: Saved<'_, T>,
        out: Gradients<'_, T>,
    ) {
        let (m, d, dv) = (self.m, self.d, self.dv);
        let of_head = task.head * m..(task.head + 1) * m;
        let (k, v) = (
            rows_of(saved.k, d, &of_head),
            rows_of(saved.v, dv, &of_head),
        );
        let keys_transposed = Packed::new(Operand::new(k, d, true), [d, m]);
        let values_transposed = Packed::new(Operand::new(v, dv, true), [dv, m]);
        let keys = Packed::new(Operand::new(k, d, false), [m, d]);
        let mut work = self.workspace(task, true);
        let dq = cut(out.dq, d, self.blocks(task).map(|block| block.rows.len()));
        out.dk.fill(T::ZERO);
        out.dv.fill(T::ZERO);
        for (block, dq) in self.blocks(task).zip(dq) {
            let (rows, columns) = (block.rows.len(), block.columns);
            self.scores(&block, saved.q, &keys_transposed, &mut work);
            let dy = rows_of(saved.dy, dv, &block.rows);
            let dp = &mut work.slopes[..rows * columns];
            // [rows, dv] x [dv, columns] -> [rows, columns]
            let by = Operand::new(dy, dv, false);
            values_transposed.multiply(by, [dv, columns], Accumulate::Zero, dp);
            self.slopes(&block, &saved, &mut work);
            let [p, ds] = [&work.scores, &work.slopes].map(|x| &x[..rows * columns]);
            let [p_transposed, ds_transposed] = [p, ds].map(|x| Operand::new(x, columns, true));
            // [columns, rows] x [rows, dv] -> [columns, dv]
            let dy = Packed::new(Operand::new(dy, dv, false), [rows, dv]);
            let sums = &mut out.dv[..columns * dv];
            dy.multiply(p_transposed, [rows, dv], Accumulate::Existing, sums);
            // [columns, rows] x [rows, d] -> [columns, d]
            let scaled = Operand::new(&work.scaled[..rows * d], d, false);
            let sums = &mut out.dk[..columns * d];
            let scaled = Packed::new(scaled, [rows, d]);
            scaled.multiply(ds_transposed, [rows, d], Accumulate::Existing, sums);
            // [rows, columns] x [columns, d] -> [rows, d]
            let ds = Operand::new(ds, columns, false);
            keys.multiply(ds, [columns, d], Accumulate::Zero, dq);
            let scale = T::from_f64(self.scale);
            dq.iter_mut().for_each(|dq| *dq = *dq * scale);
        }
    }

    /// Makes the scores of a block the weights P, times the factors of dropout, and dP its dS.
    fn slopes<T: AttentionFloat>(
        &self,
        block: &Block,
        saved: &Saved<'_, T>,
        work: &mut Workspace<'_, T>,
    ) {
        let Workspace {
            scores,
            slopes,
            factors,
            ..
        } = work;
        let columns = block.columns;
        let rows = scores.chunks_mut(columns).zip(slopes.chunks_mut(columns));
        for ((i, row), (p, dp)) in block.rows.clone().enumerate().zip(rows) {
            let seen = columns.min(block.seen + i);
            let (p, hidden) = p.split_at_mut(seen);
            hidden.fill(T::ZERO);
            let (dp, hidden) = dp.split_at_mut(seen);
            hidden.fill(T::ZERO);
            let own = row..row + 1;
            let [y, dy] = [saved.y, saved.dy].map(|x| rows_of(x, self.dv, &own));
            let stats = rows_of(saved.stats, 2, &own);
            let factors = factors.as_mut();
            let factors = factors.map(|factors| factors.of(row * self.m, seen));
            if let Some(factors) = factors {
                multiply(factors, dp);
            }
            softmax_slopes(stats, [y, dy], p, dp);
            if let Some(factors) = factors {
                multiply(factors, p);
            }
        }
    }
}

vectorize! {
    /// Makes a row of scores e^(score - largest); stats are the largest and the sum.
    fn exponentials<T: LoopFloat>(scores: &mut [T], stats: &mut [T]) {
        let largest = fold_long(scores, scores[0], |a, b| a.max(b));
        for x in scores.iter_mut() {
            *x = (*x - largest).exp_weight::<FUSED>();
        }
        stats[0] = largest;
        stats[1] = fold_long(scores, T::ZERO, |a, b| a + b);
    }

    /// Makes a row of scores its softmax p, and dp the gradient of the scores, p (dp - r) with r = sum
    /// of y dy.
    fn softmax_slopes<T: LoopFloat>(stats: &[T], of_y: [&[T]; 2], scores: &mut [T], dp: &mut [T]) {
        let r = fold_rows(of_y, T::ZERO, |y, dy| y * dy, |a, b| a + b);
        let (largest, log_sum) = (stats[0], stats[1]);
        for (p, dp) in scores.iter_mut().zip(dp) {
            *p = ((*p - largest) - log_sum).exp_weight::<FUSED>();
            *dp = *p * (*dp - r);
        }
    }

    /// x = x factors.
    fn multiply<T: LoopFloat>(factors: &[T], x: &mut [T]) {
        for (x, &factor) in x.iter_mut().zip(factors) {
            *x = *x * factor;
        }
    }
}

/// Folds a row by four of the widest registers, so that no addition waits for the one before it.
#[inline(always)]
fn fold_long<T: Float>(x: &[T], start: T, join: impl Fn(T, T) -> T + Copy) -> T {
    const LANES: usize = 64;
    let mut lanes = [start; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for l in 0..LANES {
            lanes[l] = join(lanes[l], x[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = join(*lane, x);
    }
    fold_rows([&lanes, &lanes], start, |x, _| x, join)
}
