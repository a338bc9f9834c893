//! Nystrom attention: a matrix of all tokens by all tokens is approximated by two of all tokens by a
//! few landmarks.

use super::transformer::{attention, dropout, join_heads, split_heads};
use crate::nn::Linear;
use crate::ops::{conv2d, matmul_with};
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::tensor::window::Window;
use crate::{DType, Module, Pass, Result, Tensor, Var};

/// Newton steps towards the pseudo-inverse.
const STEPS: usize = 6;

/// How a layer of [`NystromAttention`] is made.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub dim: usize,
    pub heads: usize,
    /// Means of consecutive queries and keys.
    pub landmarks: usize,
    /// Taps of the convolution along the tokens, odd.
    pub kernel: usize,
}

/// Attention of tokens to one another through landmarks.
///
/// ```text
/// q~, k~ = means of consecutive rows of q, k               as many as landmarks
/// A1 = softmax(q k~' / sqrt(d)), A2 = softmax(q~ k~' / sqrt(d)), A3 = softmax(q~ k' / sqrt(d))
/// y = A1 (A2^+ (A3 v)) + conv(v)                           for each head
/// ```
///
/// Zero tokens in front of the others fill the rows that the landmarks do not divide; they stay in
/// every softmax. The convolution runs along the tokens, with one filter for all channels of a head.
///
/// Source: "Nystromformer" (arXiv 2102.03902); the package `nystrom-attention`.
pub(super) struct NystromAttention {
    to_qkv: Linear,
    to_out: Linear,
    res_conv: ParamId,
    sizes: Sizes,
    dropout: f64,
}

impl NystromAttention {
    /// Declares `to_qkv`, without bias, `to_out.0` and `res_conv`, with dropout `p` of the output.
    pub fn new(names: &mut Names, sizes: Sizes, p: f64) -> Result<NystromAttention> {
        let Sizes {
            dim, heads, kernel, ..
        } = sizes;
        let bound = 1.0 / (kernel as f64).sqrt();
        let to_qkv = Linear::without_bias(names, "to_qkv", [dim, 3 * dim])?;
        let to_out = Linear::new(&mut names.within("to_out"), "0", [dim, dim])?;
        let res_conv = names.within("res_conv").param(
            "weight",
            [heads, kernel, 1, 1],
            Init::Uniform(bound),
            FileLayout::ChannelsFirst,
        );
        Ok(NystromAttention {
            to_qkv,
            to_out,
            res_conv,
            sizes,
            dropout: p,
        })
    }

    /// Means of consecutive tokens: `[n, heads, landmarks l, d]` to `[n, heads, landmarks, d]`.
    #[track_caller]
    fn means(&self, x: &Var) -> Result<Var> {
        let &Sizes { landmarks, .. } = &self.sizes;
        let (shape, d) = (x.shape(), x.shape()[3]);
        let of_one = shape[2] / landmarks;
        x.reshape([shape[0], shape[1], landmarks, of_one, d])?
            .mean(3)
    }

    /// The convolution along the tokens of v, `[n, length, dim]`, which has as many groups as
    /// channels: those of a head have the same filter.
    #[track_caller]
    fn convolved(&self, pass: &Pass, v: &Var) -> Result<Var> {
        let _layer = pass.enter("res_conv");
        let &Sizes {
            dim, heads, kernel, ..
        } = &self.sizes;
        let filters = pass.var(self.res_conv)?.unsqueeze(1)?;
        let filters = filters.expand([heads, dim / heads, kernel, 1, 1])?;
        let window = Window {
            padding: [kernel / 2, 0],
            groups: dim,
            ..Window::default()
        };
        let (n, length) = (v.shape()[0], v.shape()[1]);
        let rows = v.reshape([n, length, 1, dim])?;
        conv2d(&rows, &filters.reshape([dim, kernel, 1, 1])?, None, window)?
            .reshape([n, length, dim])
    }
}

impl Module for NystromAttention {
    /// `[n, length, dim]` to the same.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let &Sizes {
            dim,
            heads,
            landmarks,
            ..
        } = &self.sizes;
        let length = x.shape()[1];
        let zeros = length.next_multiple_of(landmarks) - length;
        let qkv = self.to_qkv.forward(pass, x)?;
        // Without a bias, queries, keys and values of zero tokens are 0.
        let qkv = qkv.pad(&[(0, 0), (zeros, 0), (0, 0)])?;
        let parts = split_heads(&qkv, 3 * heads)?.chunk(3, 1)?;
        let (q, k, v) = (&parts[0], &parts[1], &parts[2]);
        let (q_means, k_means) = (self.means(q)?, self.means(k)?);
        let inverse = pseudo_inverse(&landmark_map(&q_means, &k_means)?)?;
        let values = attention(pass, [&q_means, k, v], 0.0)?;
        // [n, heads, landmarks, landmarks] x [n, heads, landmarks, d]
        let values = inverse.cast(values.dtype())?.matmul(&values)?;
        let y = join_heads(&attention(pass, [q, &k_means, &values], 0.0)?)?;
        let y = (y + self.convolved(pass, &qkv.slice(2, 2 * dim..3 * dim)?)?)?;
        let y = y.slice(1, zeros..zeros + length)?;
        let _layer = pass.enter("to_out");
        dropout(pass, &self.to_out.forward(pass, &y)?, self.dropout)
    }
}

/// The attention of landmarks to one another, in f32 where they have 16 bits: an inverse enlarges
/// rounding.
#[track_caller]
fn landmark_map(q: &Var, k: &Var) -> Result<Var> {
    let wide = |x: &Var| match x.dtype() {
        DType::BF16 | DType::F16 => x.cast(DType::F32),
        _ => Ok(x.clone()),
    };
    let scale = 1.0 / (q.shape()[3] as f64).sqrt();
    // [n, heads, m, d] x [n, heads, m, d]' -> [n, heads, m, m]
    matmul_with(&wide(q)?.mul_scalar(scale)?, &wide(k)?, false, true)?.softmax(3)
}

/// The pseudo-inverse of matrices `[.., m, m]` whose rows add up to 1, by steps of third order:
///
/// ```text
/// Z = x' / (the largest sum of a column)
/// A = x Z,  Z = Z (13 I - A (15 I - A (7 I - A))) / 4      each step
/// ```
///
/// The largest sum is that of all matrices, so the result of one image depends, within the error of
/// the steps, on the others of its batch. The algorithm divides by the largest sum of a row too: it
/// is 1, and its gradient vanishes in the softmax that made the rows.
///
/// Source: "Nystromformer" (arXiv 2102.03902), equation 9; Razavi et al. (2014).
#[track_caller]
fn pseudo_inverse(x: &Var) -> Result<Var> {
    let rank = x.shape().len();
    let m = x.shape()[rank - 1];
    let ones = Tensor::full_on(x.value().device(), [m, m], 1.0, x.dtype())?;
    let identity = Var::from(ones).tril(0)?.triu(0)?;
    let most = x.sum(rank - 2)?.max(..)?;
    let mut z = (x.transpose(rank - 2, rank - 1)? / most)?;
    for _ in 0..STEPS {
        // Each [.., m, m] x [.., m, m] -> [.., m, m]
        let a = x.matmul(&z)?;
        let inner = (7.0 * &identity - &a)?;
        let inner = (15.0 * &identity - a.matmul(&inner)?)?;
        let inner = (13.0 * &identity - a.matmul(&inner)?)?;
        z = z.matmul(&inner)?.mul_scalar(0.25)?;
    }
    Ok(z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::gradcheck::gradcheck;

    /// Rows that add up to 1, near the identity: six steps are enough for the digits of f64.
    fn maps() -> Tensor {
        let noise = Tensor::normal([2, 3, 4, 4], 0.0, 0.3, DType::F64, &Rng::new(1));
        let eye = Var::from(Tensor::eye(4, DType::F64));
        (Var::from(noise) + 4.0 * &eye)
            .and_then(|x| x.softmax(3))
            .unwrap()
            .into_value()
    }

    #[test]
    fn six_steps_invert() {
        let x = Var::from(maps());
        let product = x.matmul(&pseudo_inverse(&x).unwrap()).unwrap();
        let product = product.to_vec::<f64>().unwrap();
        for (i, value) in product.into_iter().enumerate() {
            let want = f64::from(u8::from(i / 4 % 4 == i % 4));
            assert!((value - want).abs() < 1e-12, "element {i} is {value}");
        }
    }

    /// Through the softmax, which makes the rows' sums constant.
    #[test]
    fn gradient() {
        let x = Tensor::normal([2, 3, 3], 0.0, 1.0, DType::F64, &Rng::new(2));
        gradcheck(|v| pseudo_inverse(&v[0].softmax(2)?), &[x]).unwrap();
    }
}
