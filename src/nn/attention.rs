//! Attention with several heads.

use super::optional;
use crate::nn::fan_in_uniform;
use crate::ops::{AttentionOptions, Dropout, attention, check_probability, linear};
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Error, Module, Pass, Result, Shape, Var};

/// Attention with several heads: each position of the queries becomes a mean of the values, weighted
/// by how well its query meets their keys.
///
/// ```text
/// q, k, v = query Wq' + bq, key Wk' + bk, value Wv' + bv      [n, length, width] each
/// y = softmax(q k' / sqrt(d)) v                               for each head's d = width / heads channels
/// output = y Wo' + bo
/// ```
///
/// Weights have PyTorch's names and shapes: `in_proj_weight` `[3 width, width]` is Wq, Wk and Wv one
/// below the other, `in_proj_bias` `[3 width]` their biases; `out_proj.weight`, `out_proj.bias`.
/// Batches are first, as with PyTorch's `batch_first=True`. `in_proj_weight` begins uniform within
/// sqrt(6 / (4 width)), Glorot's rule, both biases as 0. The weights of the means, n heads length^2
/// elements, are never in memory as a whole, and are recomputed in the backward pass: see
/// [`attention()`].
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Var, nn::MultiHeadAttention};
/// let (attention, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(MultiHeadAttention::new(names, "attention", 16, 4)?.causal())
/// })?;
/// let pass = Pass::eval(&params);
/// let x = Var::from(Tensor::ones([2, 10, 16], DType::F32));
/// assert_eq!(attention.forward(&pass, &x)?.shape()[..], [2, 10, 16]);
/// // Cross attention: 3 queries look at 10 positions.
/// let query = Var::from(Tensor::ones([2, 3, 16], DType::F32));
/// assert_eq!(attention.attend(&pass, &query, &x, &x)?.shape()[..], [2, 3, 16]);
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// **Source**: Vaswani et al., "Attention is all you need" (arXiv 1706.03762), section 3.2;
/// `torch.nn.MultiheadAttention`.
#[doc(alias = "nn.MultiheadAttention")]
pub struct MultiHeadAttention {
    name: String,
    width: usize,
    heads: usize,
    dropout: f64,
    causal: bool,
    in_weight: ParamId,
    in_bias: Option<ParamId>,
    out_weight: ParamId,
    out_bias: Option<ParamId>,
}

impl MultiHeadAttention {
    /// Declares the four weights for vectors of this width, cut into this many heads.
    ///
    /// # Errors
    /// A width of 0, heads that do not divide it, more elements than memory can hold.
    #[track_caller]
    pub fn new(
        names: &mut Names,
        name: &str,
        width: usize,
        heads: usize,
    ) -> Result<MultiHeadAttention> {
        MultiHeadAttention::declare(names, name, [width, heads], true)
    }

    /// One without the two biases.
    ///
    /// # Errors
    /// Those of [`MultiHeadAttention::new`].
    #[track_caller]
    pub fn without_bias(
        names: &mut Names,
        name: &str,
        width: usize,
        heads: usize,
    ) -> Result<MultiHeadAttention> {
        MultiHeadAttention::declare(names, name, [width, heads], false)
    }

    #[track_caller]
    fn declare(
        names: &mut Names,
        name: &str,
        [width, heads]: [usize; 2],
        bias: bool,
    ) -> Result<MultiHeadAttention> {
        let mut names = names.within(name);
        let layer = names.enter();
        if width == 0 {
            return Err(Error::operand("attention", "width", "1 or more", 0));
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            let expected = format!("a divisor of the width, {width}");
            return Err(Error::operand("attention", "heads", expected, heads));
        }
        drop(layer);
        let all = Shape::new(&[width.saturating_mul(3), width])?;
        let glorot = Init::Uniform((6.0 / (4.0 * width as f64)).sqrt());
        let zero = Init::Constant(0.0);
        let in_weight = names.param("in_proj_weight", all, glorot, FileLayout::Same);
        let in_bias = bias.then(|| names.param("in_proj_bias", [all[0]], zero, FileLayout::Same));
        let mut out = names.within("out_proj");
        let (init, one) = (fan_in_uniform(width), [width, width]);
        let out_weight = out.param("weight", one, init, FileLayout::Same);
        let out_bias = bias.then(|| out.param("bias", [width], zero, FileLayout::Same));
        Ok(MultiHeadAttention {
            name: name.to_owned(),
            width,
            heads,
            dropout: 0.0,
            causal: false,
            in_weight,
            in_bias,
            out_weight,
            out_bias,
        })
    }

    /// The same layer, where position i of the queries sees the positions 0 to i alone.
    #[must_use]
    pub fn causal(self) -> MultiHeadAttention {
        MultiHeadAttention {
            causal: true,
            ..self
        }
    }

    /// The same layer, which in training drops weights of the means with probability `p`.
    ///
    /// # Errors
    /// A p outside of `0..=1`.
    #[track_caller]
    pub fn with_dropout(self, p: f64) -> Result<MultiHeadAttention> {
        check_probability("attention", p)?;
        Ok(MultiHeadAttention { dropout: p, ..self })
    }

    /// Attention of queries `[n, l, width]` to the values `[n, m, width]` of keys `[n, m, width]`:
    /// `[n, l, width]`. The same tensor three times is self-attention, [`Module::forward`].
    ///
    /// # Errors
    /// Other shapes, no positions to look at; those of the ops.
    #[track_caller]
    pub fn attend(&self, pass: &Pass, query: &Var, key: &Var, value: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        self.check(query, key, value)?;
        let (weight, bias) = (pass.var(self.in_weight)?, optional(pass, self.in_bias)?);
        let q = self.heads_of(query, &weight, bias.as_ref(), 0)?;
        let k = self.heads_of(key, &weight, bias.as_ref(), 1)?;
        let v = self.heads_of(value, &weight, bias.as_ref(), 2)?;
        let rng = pass.rng();
        let options = AttentionOptions {
            scale: None,
            causal: self.causal,
            dropout: Dropout {
                p: self.dropout,
                rng: rng.as_ref(),
            },
        };
        // [n, heads, l, d], of keys and values [n, heads, m, d]
        let y = attention(&q, &k, &v, options)?;
        let y = y.transpose(1, 2)?.reshape(query.shape())?;
        let (weight, bias) = (pass.var(self.out_weight)?, optional(pass, self.out_bias)?);
        linear(&y, &weight, bias.as_ref())
    }

    #[track_caller]
    fn check(&self, query: &Var, key: &Var, value: &Var) -> Result<()> {
        let &[n, _, width] = &query.shape()[..] else {
            return self.refused("query", "[n, l, width]", query);
        };
        if width != self.width {
            return self.refused("query", "[n, l, width]", query);
        }
        match key.shape()[..] {
            [own, m, width] if own == n && m > 0 && width == self.width => {}
            _ => return self.refused("key", &format!("[n = {n}, m > 0, width]"), key),
        }
        if value.shape() != key.shape() {
            let expected = format!("the shape of the keys, {}", key.shape());
            return Err(Error::operand(
                "attention",
                "value",
                expected,
                value.shape(),
            ));
        }
        Ok(())
    }

    #[track_caller]
    fn refused(&self, name: &'static str, expected: &str, x: &Var) -> Result<()> {
        let expected = expected.replace("width", &format!("width = {}", self.width));
        Err(Error::operand("attention", name, expected, x.shape()))
    }

    /// x by the i-th of the three stacked projections, a matrix for each head: `[n, heads, length,
    /// d]`.
    #[track_caller]
    fn heads_of(&self, x: &Var, weight: &Var, bias: Option<&Var>, i: usize) -> Result<Var> {
        let rows = i * self.width..(i + 1) * self.width;
        let weight = weight.slice(0, rows.clone())?;
        let bias = match bias {
            Some(bias) => Some(bias.slice(0, rows)?),
            None => None,
        };
        // [n, length, width] x [width, width]' -> [n, length, width]
        let y = linear(x, &weight, bias.as_ref())?;
        let (n, length) = (x.shape()[0], x.shape()[1]);
        y.reshape([n, length, self.heads, self.width / self.heads])?
            .transpose(1, 2)
    }
}

impl Module for MultiHeadAttention {
    /// Self-attention: `[n, length, width]` to the same shape.
    ///
    /// # Errors
    /// Those of [`MultiHeadAttention::attend`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        self.attend(pass, x, x, x)
    }
}
