//! Elementwise ops, reductions, products, norms and losses.

use wavemix::ops::{
    self, AttentionOptions, BatchNormOptions, BatchStats, CrossEntropyOptions, Dropout, Statistics,
    batch_norm, cross_entropy, focal_loss, layer_norm, linear, matmul_with, mse, select,
};
use wavemix::{DType, Result, Rng, Tensor, Var};

use super::Call;
use super::draw::Draw;

pub const CALLS: &[Call] = &[
    ("neg", |d| d.any_var().neg()),
    ("abs", |d| d.any_var().abs()),
    ("exp", |d| d.any_var().exp()),
    ("log", |d| d.any_var().log()),
    ("sqrt", |d| d.any_var().sqrt()),
    ("square", |d| d.any_var().square()),
    ("recip", |d| d.any_var().recip()),
    ("powf", |d| d.any_var().powf(d.real())),
    ("tanh", |d| d.any_var().tanh()),
    ("sigmoid", |d| d.any_var().sigmoid()),
    ("relu", |d| d.any_var().relu()),
    ("silu", |d| d.any_var().silu()),
    ("gelu", |d| d.any_var().gelu()),
    ("add_scalar", |d| d.any_var().add_scalar(d.real())),
    ("mul_scalar", |d| d.any_var().mul_scalar(d.real())),
    ("div_scalar", |d| d.any_var().div_scalar(d.real())),
    ("clamp", |d| d.any_var().clamp(d.real(), d.real())),
    ("leaky_relu", |d| d.any_var().leaky_relu(d.real())),
    ("elu", |d| d.any_var().elu(d.real())),
    ("relu6", |d| d.any_var().relu6()),
    ("hardswish", |d| d.any_var().hardswish()),
    ("softplus", |d| d.any_var().softplus()),
    ("log1p", |d| d.any_var().log1p()),
    ("sin", |d| d.any_var().sin()),
    ("cos", |d| d.any_var().cos()),
    ("erf", |d| d.any_var().erf()),
    ("cast", |d| d.any_var().cast(d.any_dtype())),
    ("dropout", |d| d.any_var().dropout(d.real(), &Rng::new(1))),
    ("drop_path", |d| {
        d.any_var().drop_path(d.real(), &Rng::new(1))
    }),
    ("gelu_dropout", |d| {
        let rng = Rng::new(1);
        d.any_var()
            .gelu_dropout(d.real(), (!d.once_in(3)).then_some(&rng))
    }),
    ("add", |d| pair(d).and_then(|[a, b]| &a + &b)),
    ("sub", |d| pair(d).and_then(|[a, b]| &a - &b)),
    ("mul", |d| pair(d).and_then(|[a, b]| &a * &b)),
    ("div", |d| pair(d).and_then(|[a, b]| &a / &b)),
    ("maximum", |d| pair(d).and_then(|[a, b]| a.maximum(&b))),
    ("minimum", |d| pair(d).and_then(|[a, b]| a.minimum(&b))),
    ("eq", |d| compare(d, Tensor::eq)),
    ("ne", |d| compare(d, Tensor::ne)),
    ("lt", |d| compare(d, Tensor::lt)),
    ("le", |d| compare(d, Tensor::le)),
    ("gt", |d| compare(d, Tensor::gt)),
    ("ge", |d| compare(d, Tensor::ge)),
    ("select", |d| {
        let [a, b] = pair(d)?;
        let shape = d.broadcasting(a.shape());
        let dtype = if d.once_in(12) {
            d.any_dtype()
        } else {
            DType::U8
        };
        select(&d.tensor(&shape, dtype), &a, &b)
    }),
    ("sum", |d| reduce(d, |x, axes| x.sum(axes))),
    ("sum_keep", |d| reduce(d, |x, axes| x.sum_keep(axes))),
    ("mean", |d| reduce(d, |x, axes| x.mean(axes))),
    ("mean_keep", |d| reduce(d, |x, axes| x.mean_keep(axes))),
    ("max", |d| reduce(d, |x, axes| x.max(axes))),
    ("max_keep", |d| reduce(d, |x, axes| x.max_keep(axes))),
    ("min", |d| reduce(d, |x, axes| x.min(axes))),
    ("min_keep", |d| reduce(d, |x, axes| x.min_keep(axes))),
    ("var", |d| {
        let unbiased = d.once_in(2);
        reduce(d, |x, axes| x.var(axes, unbiased))
    }),
    ("var_keep", |d| {
        let unbiased = d.once_in(2);
        reduce(d, |x, axes| x.var_keep(axes, unbiased))
    }),
    ("std", |d| {
        let unbiased = d.once_in(2);
        reduce(d, |x, axes| x.std(axes, unbiased))
    }),
    ("std_keep", |d| {
        let unbiased = d.once_in(2);
        reduce(d, |x, axes| x.std_keep(axes, unbiased))
    }),
    ("prod", |d| reduce(d, |x, axes| x.prod(axes))),
    ("prod_keep", |d| reduce(d, |x, axes| x.prod_keep(axes))),
    ("norm", |d| reduce(d, |x, axes| x.norm(axes))),
    ("norm_keep", |d| reduce(d, |x, axes| x.norm_keep(axes))),
    ("cumsum", |d| {
        let x = d.any_var();
        x.cumsum(d.axis(x.shape().len()))
    }),
    ("sum_all", |d| d.any_var().sum_all()),
    ("mean_all", |d| d.any_var().mean_all()),
    ("argmax", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        d.say(axis);
        x.value().argmax(axis).map(Var::from)
    }),
    ("argmin", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        d.say(axis);
        x.value().argmin(axis).map(Var::from)
    }),
    ("topk", |d| {
        let x = d.any_var();
        let k = d.number();
        d.say(k);
        x.topk(k).map(|(values, _)| values)
    }),
    ("sort", |d| {
        let (x, descending) = (d.any_var(), d.once_in(2));
        let axis = d.axis(x.shape().len());
        d.say(axis);
        x.sort(axis, descending).map(|(values, _)| values)
    }),
    ("argsort", |d| {
        let (x, descending) = (d.any_var(), d.once_in(2));
        let axis = d.axis(x.shape().len());
        x.value().argsort(axis, descending).map(Var::from)
    }),
    ("softmax", |d| {
        let x = d.any_var();
        x.softmax(d.axis(x.shape().len()))
    }),
    ("log_softmax", |d| {
        let x = d.any_var();
        x.log_softmax(d.axis(x.shape().len()))
    }),
    ("matmul", |d| product(d, [false, false], |a, b| a.matmul(b))),
    ("matmul_with", |d| {
        let transposed = [d.once_in(2), d.once_in(2)];
        d.say(format!("{transposed:?}"));
        product(d, transposed, |a, b| {
            matmul_with(a, b, transposed[0], transposed[1])
        })
    }),
    ("einsum", |d| {
        let equation = d.pick(&[
            "ij,jk->ik",
            "bij,bjk->bik",
            "bij,kj",
            "i,j->ij",
            "ij,ij->",
            "ijk,jl->l",
            "ij,ji->j",
            "a,b,c->",
            "",
            "ii,i->",
            "é,é->é",
        ]);
        d.say(equation);
        let dtype = d.dtype();
        // Mostly one length for each letter.
        let lengths: [usize; 12] = std::array::from_fn(|_| d.length());
        let (a, b) = equation.split_once(',').unwrap_or((equation, ""));
        let [a, b] = [a, b].map(|letters| {
            let letters = letters.split("->").next().unwrap_or("");
            let dims = letters.bytes().map(|c| lengths[usize::from(c) % 12]);
            let dims = dims.take(6).collect();
            if d.once_in(12) {
                d.any_shape()
            } else {
                d.possible(dims)
            }
        });
        ops::einsum(equation, &d.var(&a, dtype), &d.var(&b, dtype))
    }),
    ("attention", |d| {
        let (dtype, rng) = (d.dtype(), Rng::new(1));
        let lengths: [usize; 6] = std::array::from_fn(|_| d.length());
        let [b, h, n, m, d_k, d_v] = lengths;
        let [q, k, v] = [[b, h, n, d_k], [b, h, m, d_k], [b, h, m, d_v]].map(|dims| {
            let shape = if d.once_in(12) {
                d.any_shape()
            } else {
                d.possible(dims.to_vec())
            };
            d.var(&shape, dtype)
        });
        let options = AttentionOptions {
            scale: d.once_in(3).then(|| d.real()),
            causal: d.once_in(2),
            dropout: Dropout {
                p: d.pick(&[0.0, 0.5, 0.3, 1.0, 2.0]),
                rng: d.once_in(2).then_some(&rng),
            },
        };
        ops::attention(&q, &k, &v, options)
    }),
    ("linear", |d| {
        let (mut before, dtype, n) = (d.any_shape(), d.dtype(), d.length());
        before.truncate(5);
        let k = d.length();
        let shape = [before, vec![k]].concat();
        let shape = d.possible(shape);
        let k = if d.once_in(12) {
            d.length()
        } else {
            shape[shape.len() - 1]
        };
        let x = d.var(&shape, dtype);
        let weight = d.possible(vec![n, k]);
        let w = d.var(&weight, dtype);
        let bias = d.once_in(2).then(|| d.var(&[weight[0]], dtype));
        linear(&x, &w, bias.as_ref())
    }),
    ("mse", |d| alike(d, mse)),
    ("l1_loss", |d| alike(d, ops::l1_loss)),
    ("huber_loss", |d| {
        let delta = d.real();
        alike(d, |a, b| ops::huber_loss(a, b, delta))
    }),
    ("smooth_l1_loss", |d| {
        let beta = d.real();
        alike(d, |a, b| ops::smooth_l1_loss(a, b, beta))
    }),
    ("bce_with_logits", |d| {
        let (shape, dtype) = (d.any_shape(), d.dtype());
        let (x, t) = (d.var(&shape, dtype), d.var(&shape, dtype));
        let weight = d.broadcasting(&shape);
        let weight = d.once_in(2).then(|| d.tensor(&weight, dtype));
        ops::bce_with_logits(&x, &t, weight.as_ref())
    }),
    ("nll_loss", |d| {
        let (log_p, labels) = classified(d);
        ops::nll_loss(&log_p, &labels, Some(1))
    }),
    ("cross_entropy", |d| {
        let (logits, labels) = classified(d);
        let smoothing = d.pick(&[0.0, 0.1, 1.0, 2.0]);
        cross_entropy(
            &logits,
            &labels,
            CrossEntropyOptions {
                label_smoothing: smoothing,
                ignore_index: Some(1),
            },
        )
    }),
    ("focal_loss", |d| {
        let (logits, labels) = classified(d);
        focal_loss(&logits, &labels, d.real(), Some(1))
    }),
    ("layer_norm", |d| {
        let (x, [gamma, beta, ..]) = channels(d);
        layer_norm(&x, &gamma, &beta, 1e-5)
    }),
    ("group_norm", |d| {
        let (x, [gamma, beta, ..]) = channels(d);
        let groups = d.number();
        d.say(groups);
        ops::group_norm(&x, groups, &gamma, &beta, 1e-5)
    }),
    ("rms_norm", |d| {
        let (x, [gamma, ..]) = channels(d);
        ops::rms_norm(&x, &gamma, d.real())
    }),
    ("batch_norm", |d| {
        let (x, [gamma, beta, ..]) = channels(d);
        norm(&x, &gamma, &beta, BatchNormOptions::default())
    }),
    ("batch_norm_add", |d| {
        let (x, [gamma, beta, ..]) = channels(d);
        let residual = d.var(x.shape(), x.dtype());
        let options = BatchNormOptions {
            residual: Some(&residual),
            ..Default::default()
        };
        norm(&x, &gamma, &beta, options)
    }),
    ("batch_norm_add_of", |d| {
        let (x, [gamma, beta, mean, var]) = channels(d);
        let residual = d.var(x.shape(), x.dtype());
        let count = x.value().elements() / gamma.value().elements().max(1);
        let stats = BatchStats {
            mean: mean.into_value(),
            var: var.into_value(),
            count,
        };
        let options = BatchNormOptions {
            residual: Some(&residual),
            statistics: Statistics::Known(stats),
            ..Default::default()
        };
        norm(&x, &gamma, &beta, options)
    }),
    ("batch_norm_eval", |d| {
        let (x, [gamma, beta, mean, var]) = channels(d);
        let options = BatchNormOptions {
            statistics: Statistics::Given(mean.value(), var.value()),
            ..Default::default()
        };
        norm(&x, &gamma, &beta, options)
    }),
    ("batch_norm_eval_add", |d| {
        let (x, [gamma, beta, mean, var]) = channels(d);
        let residual = d.var(x.shape(), x.dtype());
        let options = BatchNormOptions {
            residual: Some(&residual),
            statistics: Statistics::Given(mean.value(), var.value()),
            ..Default::default()
        };
        norm(&x, &gamma, &beta, options)
    }),
    ("gather", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        let mut shape: Vec<usize> = x
            .shape()
            .iter()
            .map(|&length| length - usize::from(length > 0 && d.once_in(6)))
            .collect();
        if let Some(length) = shape.get_mut(axis) {
            *length = d.length();
        }
        let shape = d.possible(shape);
        let indices = d.indices(&shape, x.shape().get(axis).copied().unwrap_or(1));
        x.gather(axis, &indices)
    }),
    ("scatter_add", |d| {
        let x = d.any_var();
        let axis = d.axis(x.shape().len());
        let mut shape: Vec<usize> = x.shape().to_vec();
        if let Some(length) = shape.get_mut(axis) {
            *length = d.length();
        }
        let shape = d.possible(shape);
        let indices = d.indices(&shape, x.shape().get(axis).copied().unwrap_or(1));
        let longer: Vec<usize> = shape
            .iter()
            .map(|&length| length.saturating_add(usize::from(d.once_in(6))))
            .collect();
        let longer = d.possible(longer);
        let dtype = if d.once_in(12) {
            d.any_dtype()
        } else {
            x.dtype()
        };
        let source = d.var(&longer, dtype);
        x.scatter_add(axis, &indices, &source)
    }),
    ("index_select", |d| {
        let x = d.any_var();
        let (axis, count) = (d.axis(x.shape().len()), d.length());
        let indices = d.indices(&[count], x.shape().get(axis).copied().unwrap_or(1));
        x.index_select(axis, &indices)
    }),
    ("embedding", |d| {
        let (weight, shape, dtype) = (d.shape(2), d.any_shape(), d.dtype());
        let indices = d.indices(&shape, weight[0]);
        ops::embedding(&d.var(&weight, dtype), &indices)
    }),
    ("one_hot", |d| {
        let (shape, classes, dtype) = (d.any_shape(), d.number(), d.any_dtype());
        let labels = d.indices(&shape, classes);
        d.say(format!("{classes} {dtype}"));
        ops::one_hot(&labels, classes, dtype).map(Var::from)
    }),
];

/// Two operands, mostly of shapes that broadcast and of one type.
fn compare(d: &mut Draw, holds: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Var> {
    let [a, b] = pair(d)?;
    holds(a.value(), b.value()).map(Var::from)
}

fn norm(x: &Var, gamma: &Var, beta: &Var, options: BatchNormOptions) -> Result<Var> {
    batch_norm(x, gamma, beta, options).map(|(y, _)| y)
}

fn pair(d: &mut Draw) -> Result<[Var; 2]> {
    let (a, dtype) = (d.any_shape(), d.dtype());
    let b = d.broadcasting(&a);
    let other = if d.once_in(12) { d.any_dtype() } else { dtype };
    let (a, b) = if d.once_in(2) { (b, a) } else { (a, b) };
    Ok([d.var(&a, dtype), d.var(&b, other)])
}

fn reduce(d: &mut Draw, op: impl FnOnce(&Var, &[usize]) -> Result<Var>) -> Result<Var> {
    let x = d.any_var();
    let axes = d.axes(x.shape().len());
    d.say(format!("{axes:?}"));
    op(&x, &axes)
}

/// Two operands of one type, mostly of one shape.
fn alike(d: &mut Draw, op: impl FnOnce(&Var, &Var) -> Result<Var>) -> Result<Var> {
    let (a, dtype) = (d.any_shape(), d.dtype());
    let b = if d.once_in(6) {
        d.any_shape()
    } else {
        a.clone()
    };
    op(&d.var(&a, dtype), &d.var(&b, dtype))
}

/// Batches of matrices that mostly fit.
fn product(
    d: &mut Draw,
    transposed: [bool; 2],
    op: impl FnOnce(&Var, &Var) -> Result<Var>,
) -> Result<Var> {
    let ([m, k, n], dtype) = ([d.length(), d.length(), d.length()], d.dtype());
    let rank = d.below(4);
    let batch = d.shape(rank);
    let other = d.broadcasting(&batch);
    let matrix = |size: [usize; 2], transposed: bool| {
        if transposed {
            vec![size[1], size[0]]
        } else {
            size.to_vec()
        }
    };
    let a = d.possible([batch, matrix([m, k], transposed[0])].concat());
    let k = if d.once_in(12) {
        d.length()
    } else {
        a[a.len() - if transposed[0] { 2 } else { 1 }]
    };
    let b = [other, matrix([k, n], transposed[1])].concat();
    let b = if b.len() > 6 { d.any_shape() } else { b };
    if b.iter()
        .try_fold(1usize, |n, &length| n.checked_mul(length.max(1)))
        .is_none_or(|n| n >= 1 << 60)
    {
        return Ok(Var::from(Tensor::scalar(0.0)));
    }
    let (a, b) = (d.var(&a, dtype), d.var(&b, dtype));
    op(&a, &b)
}

/// Logits, and labels that mostly fit.
fn classified(d: &mut Draw) -> (Var, Tensor) {
    let x = d.any_var();
    let (k, positions) = x
        .shape()
        .split_last()
        .map_or((1, vec![]), |(&k, positions)| (k, positions.to_vec()));
    let positions = if d.once_in(12) {
        d.any_shape()
    } else {
        positions
    };
    let labels = d.indices(&positions, k);
    (x, labels)
}

/// An x [.., c], and four vectors that mostly are `[c]`.
fn channels(d: &mut Draw) -> (Var, [Var; 4]) {
    let x = d.any_var();
    let c = x.shape().last().copied().unwrap_or(0);
    let vectors = std::array::from_fn(|_| {
        // A vector has one element a channel, also where x has none at all.
        let c = if d.once_in(16) || c > 1 << 20 {
            d.length()
        } else {
            c
        };
        let dtype = if d.once_in(8) { DType::F32 } else { x.dtype() };
        d.var(&[c], dtype)
    });
    (x, vectors)
}
