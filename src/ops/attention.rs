//! Attention: means of values, weighted by how well queries meet their keys, without a matrix of the
//! weights in memory.

use super::{Dropout, check_probability, same_float};
use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::attention::{self as cpu, Attention};
use crate::cuda::attention as cuda;
use crate::tensor::shape::flops;
use crate::{DType, Error, Result, Shape, Tensor, Var};

/// Settings of [`attention`]; the default drops nothing, and every query sees every key.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOptions<'a> {
    /// What the products of queries and keys are multiplied by; without one 1 / sqrt(d).
    pub scale: Option<f64>,
    /// Whether query i sees the keys 0 to i alone.
    pub causal: bool,
    /// Dropout of the weights, whose element \[b, h, i, j\] has the random bits that it would have in
    /// [`Var::dropout`] of all of them.
    pub dropout: Dropout<'a>,
}

impl Default for AttentionOptions<'_> {
    fn default() -> Self {
        AttentionOptions {
            scale: None,
            causal: false,
            dropout: Dropout { p: 0.0, rng: None },
        }
    }
}

/// The mean of the values for each query, weighted by the softmax of its products with the keys.
///
/// ```text
/// S = scale q k^T      P = softmax(S), along the keys      y = dropout(P) v
/// ```
///
/// The weights P, n x m for each head, are never in memory as a whole: forward and backward pass
/// compute them for some queries at a time.
///
/// **Shapes**: q `[b, h, n, d]`, k `[b, h, m, d]`, v `[b, h, m, dv]`, y `[b, h, n, dv]`, with m of at
/// least 1. Without channels, d = 0, all scores are 0.
/// **Backward**: with F, the factors of dropout, and r = sum of dy y over a row, dv = (F P)^T dy, dP =
/// F (dy v^T), dS = P (dP - r), dq = scale dS k, dk = scale dS^T q.
/// **Saves**: q, k, v, y, and of each row of S its maximum and ln(sum of e^(S - maximum)). Only
/// differences from the maximum are computed with, as in [`cross_entropy`](super::cross_entropy).
/// **Errors**: other shapes, dtypes that differ, no keys, p outside of `0..=1`.
/// **Source**: Vaswani et al. (arXiv 1706.03762), section 3.2.1; by blocks, Dao et al.,
/// "FlashAttention" (arXiv 2205.14135); `torch.nn.functional.scaled_dot_product_attention`, whose
/// `is_causal` it has too.
///
/// ```
/// use wavemix::ops::{AttentionOptions, attention};
/// use wavemix::{DType, Rng, Tensor, Var};
/// let normal = |i, shape: [usize; 4]| {
///     Var::from(Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(i)))
/// };
/// // Two heads: 5 queries look at 7 keys of 8 channels, and take a mean of 7 values of 3.
/// let (q, k, v) = (normal(1, [1, 2, 5, 8]), normal(2, [1, 2, 7, 8]), normal(3, [1, 2, 7, 3]));
/// let y = attention(&q, &k, &v, AttentionOptions::default())?;
/// assert_eq!(y.shape()[..], [1, 2, 5, 3]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "scaled_dot_product_attention")]
#[track_caller]
pub fn attention(q: &Var, k: &Var, v: &Var, options: AttentionOptions) -> Result<Var> {
    check_probability("attention", options.dropout.p)?;
    let (of, shape) = plan(q.value(), k.value(), v.value(), options)?;
    if let Some(wide) = super::as_f32(q)? {
        let [k, v] = [k.cast(DType::F32)?, v.cast(DType::F32)?];
        return attention(&wide, &k, &v, options)?.cast(q.dtype());
    }
    let (vq, vk, vv) = (q.value(), k.value(), v.value());
    // Where the operands have 16 bits, statistics are f32.
    let wide = match vq.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let rows = shape.elements().checked_div(of.dv).unwrap_or(0);
    let mut stats = Tensor::full_on(vq.device(), [rows, 2], 0.0, wide)?;
    let y = on_device!("attention", vq in [f32, f64] => shape;
        forward(&of, @[vq, vk, vv], => stats))?;
    let (scores, values) = ([of.heads, of.n, of.m, of.d], [of.heads, of.n, of.m, of.dv]);
    let op = Op::with_flops("attention", flops(&scores).saturating_add(flops(&values)))
        .with_attributes(Attributes::Scores(of.scale, of.causal));
    Ok(Var::record(op, &[q, k, v], y.clone(), || Rule {
        of,
        q: vq.clone(),
        k: vk.clone(),
        v: vv.clone(),
        y,
        stats,
    }))
}

struct Rule {
    of: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    y: Tensor,
    /// Of each row of scores the largest, and ln(sum of e^(score - largest)): `[rows, 2]`.
    stats: Tensor,
}

impl Backward for Rule {
    /// With P computed again, dv = (F P)^T dy, dS = P (F (dy v^T) - r), dq = scale dS k, dk = scale
    /// dS^T q.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Rule {
            of,
            q,
            k,
            v,
            y,
            stats,
        } = &*self;
        let zeros = |x: &Tensor| Tensor::full_on(x.device(), x.shape(), 0.0, x.dtype());
        let [mut dq, mut dk] = [zeros(q)?, zeros(k)?];
        let dv = if y.elements() == 0 {
            zeros(v)?
        } else {
            on_device!("attention", q in [f32, f64] => v.shape();
                backward(of, @{q, k, v, y, stats, dy} as Saved, => dq, => dk))?
        };
        let gradients = [dq, dk, dv].into_iter().zip(wanted);
        Ok(gradients.map(|(dx, wanted)| wanted.then_some(dx)).collect())
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.q, &self.k, &self.v, &self.y, &self.stats]
    }
}

/// Sizes and settings, and the shape of y.
#[track_caller]
fn plan(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    options: AttentionOptions,
) -> Result<(Attention, Shape)> {
    same_float("attention", ("q", q), ("k", k))?;
    same_float("attention", ("q", q), ("v", v))?;
    let refused = |name, expected: String, x: &Tensor| {
        Err(Error::operand("attention", name, expected, x.shape()))
    };
    let &[b, h, n, d] = &q.shape()[..] else {
        return refused("q", "[b, h, n, d]".into(), q);
    };
    let m = match k.shape()[..] {
        [own_b, own_h, m, own_d] if [own_b, own_h, own_d] == [b, h, d] && m > 0 => m,
        _ => return refused("k", format!("[b = {b}, h = {h}, m > 0, d = {d}]"), k),
    };
    let dv = match v.shape()[..] {
        [own_b, own_h, own_m, dv] if [own_b, own_h, own_m] == [b, h, m] => dv,
        _ => return refused("v", format!("[b = {b}, h = {h}, m = {m}, dv]"), v),
    };
    let shape = Tensor::checked_shape("attention", q.device(), &[b, h, n, dv], q.dtype())?;
    let Dropout { p, rng } = options.dropout;
    let of = Attention {
        heads: b.saturating_mul(h),
        n,
        m,
        d,
        dv,
        scale: options.scale.unwrap_or(1.0 / (d.max(1) as f64).sqrt()),
        causal: options.causal,
        dropout: rng.filter(|_| p > 0.0).map(|rng| (p, rng.clone())),
    };
    Ok((of, shape))
}
