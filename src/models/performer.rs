//! Performer attention: the softmax's exponential is approximated by products of random features, so
//! that no matrix of tokens by tokens is needed.

use super::transformer::{dropout, join_heads, split_heads};
use crate::nn::Linear;
use crate::ops::matmul_with;
use crate::params::{BufferId, Names};
use crate::{DType, Module, Pass, Result, Rng, Var};

/// What is added to each feature, so that no sum of them is 0.
const EPS: f64 = 1e-4;

/// The most channels of a head, whose square the random features are drawn in blocks of.
pub(super) const MOST_OF_A_HEAD: usize = 256;

/// How many random features heads of d channels have: d ln(d), rounded down.
pub(super) fn features_of(d: usize) -> usize {
    ((d as f64 * (d as f64).ln()) as usize).max(1)
}

/// Attention of tokens to one another by random features.
///
/// ```text
/// y = phi(q) (phi(k)' v) / (phi(q) . sum of phi(k))        for each head
/// phi(x) = (exp(W x t - |x t|^2 / 2 - m) + 1e-4) / sqrt(r),    t = d^(-1/4)
/// ```
///
/// W `[r, d]` is a buffer, drawn once: blocks of orthogonal rows, as long as rows of normal numbers
/// are. m is the largest of W x t, over a query's features or over all keys of a head; it carries no
/// gradient.
///
/// Source: "Rethinking attention with Performers" (arXiv 2009.14794); the package
/// `performer-pytorch`, `SelfAttention`.
pub(super) struct PerformerAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    projection: BufferId,
    heads: usize,
    dropout: f64,
}

impl PerformerAttention {
    /// Declares `to_q`, `to_k`, `to_v` and `to_out`, and so many features for each head of `[dim,
    /// heads]`, with dropout `p` of the output.
    pub fn new(
        names: &mut Names,
        [dim, heads]: [usize; 2],
        features: usize,
        p: f64,
    ) -> Result<PerformerAttention> {
        let projection = names.within("fast_attention").drawn_buffer(
            "projection_matrix",
            [features, dim / heads],
            orthogonal,
        );
        let mut linear = |name: &str| Linear::new(names, name, [dim, dim]);
        Ok(PerformerAttention {
            to_q: linear("to_q")?,
            to_k: linear("to_k")?,
            to_v: linear("to_v")?,
            to_out: linear("to_out")?,
            projection,
            heads,
            dropout: p,
        })
    }
}

impl Module for PerformerAttention {
    /// `[n, length, dim]` to the same.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let projected = |layer: &Linear| split_heads(&layer.forward(pass, x)?, self.heads);
        let (q, k) = (projected(&self.to_q)?, projected(&self.to_k)?);
        let v = projected(&self.to_v)?;
        let w = Var::from(pass.buffer(self.projection)?);
        let (q, k) = (features(&q, &w, &[3])?, features(&k, &w, &[2, 3])?);
        let y = linear_attention(&q, &k, &v)?;
        let y = self.to_out.forward(pass, &join_heads(&y)?)?;
        dropout(pass, &y, self.dropout)
    }
}

/// phi of x `[n, heads, length, d]`, `[n, heads, length, r]`, with the largest exponent over these
/// axes. Exponents are computed in f32 where x has 16 bits, which would leave them a few digits.
#[track_caller]
fn features(x: &Var, w: &Var, axes: &[usize]) -> Result<Var> {
    let (dtype, d) = (x.dtype(), x.shape()[3] as f64);
    let x = match dtype {
        DType::BF16 | DType::F16 => x.cast(DType::F32)?,
        _ => x.clone(),
    };
    let x = x.mul_scalar(d.powf(-0.25))?;
    // [n, heads, length, d] x [r, d]' -> [n, heads, length, r]
    let exponents = matmul_with(&x, w, false, true)?;
    let most = exponents.detach().max_keep(axes)?;
    let half_square = x.square()?.sum_keep(3)?.mul_scalar(0.5)?;
    let phi = (exponents - half_square)? - most;
    let scale = (w.shape()[0] as f64).powf(-0.5);
    phi?.exp()?.add_scalar(EPS)?.mul_scalar(scale)?.cast(dtype)
}

/// y = q (k' v) / (q . sum of k) for features q and k `[n, heads, length, r]` of tokens.
#[track_caller]
fn linear_attention(q: &Var, k: &Var, v: &Var) -> Result<Var> {
    // [n, heads, length, r]' x [n, heads, length, d] -> [n, heads, r, d]
    let sums = matmul_with(k, v, true, false)?;
    // [n, heads, length, r] x [n, heads, 1, r]' -> [n, heads, length, 1]
    let weights = matmul_with(q, &k.sum_keep(2)?, false, true)?;
    // [n, heads, length, r] x [n, heads, r, d] -> [n, heads, length, d]
    q.matmul(&sums)? / weights
}

/// Rows of d numbers: in each block of d of them they are orthogonal, and each is as long as a row
/// of normal numbers would be.
fn orthogonal(shape: &[usize], rng: &Rng) -> Vec<f64> {
    let &[rows, d] = shape else {
        return Vec::new();
    };
    let (mut directions, mut lengths) = (rng.child(0), rng.child(1));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut matrix: Vec<Vec<f64>> = Vec::new();
    for row in 0..rows {
        let mut x: Vec<f64> = (0..d).map(|_| directions.normal()).collect();
        let of_block = &matrix[row - row % d..];
        // Gram-Schmidt, twice: once loses digits where little is left of a row.
        for known in of_block.iter().chain(of_block) {
            let along = dot(&x, known);
            x.iter_mut().zip(known).for_each(|(x, k)| *x -= along * k);
        }
        let length = dot(&x, &x).sqrt();
        x.iter_mut().for_each(|x| *x /= length);
        matrix.push(x);
    }
    let scaled = |x: Vec<f64>| {
        let normal: Vec<f64> = (0..d).map(|_| lengths.normal()).collect();
        let length = dot(&normal, &normal).sqrt();
        x.into_iter().map(move |x| x * length)
    };
    matrix.into_iter().flat_map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::gradcheck::gradcheck;

    #[test]
    fn blocks_are_orthogonal() {
        let (rows, d) = (14, 4);
        let w = orthogonal(&[rows, d], &Rng::new(3));
        let row = |i: usize| &w[i * d..(i + 1) * d];
        for i in 0..rows {
            let length = row(i).iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!(length > 0.1 && length < 6.0, "row {i} is {length} long");
            for j in i - i % d..i {
                let dot: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
                assert!(dot.abs() < 1e-14, "rows {i} and {j}: {dot}");
            }
        }
        assert_eq!(features_of(32), 110);
        assert_eq!(features_of(1), 1);
    }

    /// Of 20,000 random features, three of their standard deviations from the softmax: a feature's
    /// mean is off by 1 / sqrt(20,000) of its own size, which is near 1 for short queries and keys.
    #[test]
    fn many_features_are_the_softmax() {
        let draw = |seed, std| Tensor::normal([1, 1, 5, 4], 0.0, std, DType::F64, &Rng::new(seed));
        let (q, k) = (Var::from(draw(1, 0.5)), Var::from(draw(2, 0.5)));
        let v = Var::from(draw(3, 1.0));
        let w = Tensor::from_vec(orthogonal(&[20_000, 4], &Rng::new(4)), [20_000, 4]).unwrap();
        let phi = |x: &Var, axes: &[usize]| features(x, &Var::from(&w), axes).unwrap();
        let y = linear_attention(&phi(&q, &[3]), &phi(&k, &[2, 3]), &v).unwrap();
        let map = matmul_with(&q.mul_scalar(0.5).unwrap(), &k, false, true).unwrap();
        let want = map.softmax(3).unwrap().matmul(&v).unwrap();
        let off = (y - want).unwrap().to_vec::<f64>().unwrap();
        assert!(
            off.iter().all(|x| x.abs() < 3.0 / 20_000f64.sqrt()),
            "{off:?}"
        );
    }

    /// Of positive features. Those of `features` go through a largest exponent that counts as
    /// constant, which differences do not.
    #[test]
    fn gradients() {
        let draw = |seed, channels: usize| {
            let shape = [2, 2, 3, channels];
            Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed))
        };
        let y = |v: &[Var]| linear_attention(&v[0].exp()?, &v[1].exp()?, &v[2]);
        gradcheck(y, &[draw(1, 6), draw(2, 6), draw(3, 4)]).unwrap();
    }
}
