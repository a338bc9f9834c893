//! Products, reductions and windows over nothing: no rows, no columns, no terms, no images, no
//! channels.

use wavemix::ops::{
    AttentionOptions, BatchNormOptions, CrossEntropyOptions, Dropout, Interpolation, Statistics,
    attention, avg_pool2d, batch_norm, conv_transpose2d, conv2d, cross_entropy, focal_loss,
    gelu_dropout_conv2d, layer_norm, linear, matmul_with, max_pool2d, nll_loss,
};
use wavemix::{DType, Result, Rng, Tensor, Var, Window};

mod calls;
mod shapes;

use calls::*;

/// A call on inputs of these shapes that are 1 everywhere, and what comes out.
pub struct Case {
    pub name: &'static str,
    pub call: fn(&[Var]) -> Result<Var>,
    pub inputs: &'static [&'static [usize]],
    /// The shape of the result, and the value of all its elements.
    pub result: (&'static [usize], f64),
    /// The value of all elements of each input's gradient where that of the result is 1.
    pub gradients: &'static [f64],
}

const fn case(
    name: &'static str,
    call: fn(&[Var]) -> Result<Var>,
    inputs: &'static [&'static [usize]],
    result: (&'static [usize], f64),
    gradients: &'static [f64],
) -> Case {
    Case {
        name,
        call,
        inputs,
        result,
        gradients,
    }
}

pub fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(shapes::CASES)
}

const CASES: &[Case] = &[
    // Products.
    case(
        "matmul, m = 0",
        |v| v[0].matmul(&v[1]),
        &[&[0, 3], &[3, 4]],
        (&[0, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, k = 0",
        |v| v[0].matmul(&v[1]),
        &[&[3, 0], &[0, 4]],
        (&[3, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, n = 0",
        |v| v[0].matmul(&v[1]),
        &[&[3, 4], &[4, 0]],
        (&[3, 0], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, a layer's empty batch",
        |v| v[0].matmul(&v[1]),
        &[&[0, 512], &[512, 512]],
        (&[0, 512], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, many terms",
        |v| v[0].matmul(&v[1]),
        &[&[0, 5000], &[5000, 2]],
        (&[0, 2], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, batch, m = 0",
        |v| v[0].matmul(&v[1]),
        &[&[2, 0, 3], &[2, 3, 4]],
        (&[2, 0, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, batch, k = 0",
        |v| v[0].matmul(&v[1]),
        &[&[2, 3, 0], &[2, 0, 4]],
        (&[2, 3, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, no batch",
        |v| v[0].matmul(&v[1]),
        &[&[0, 3, 4], &[0, 4, 5]],
        (&[0, 3, 5], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, no batch, one b",
        |v| v[0].matmul(&v[1]),
        &[&[0, 3, 4], &[4, 5]],
        (&[0, 3, 5], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, repeated",
        |v| v[0].matmul(&v[1]),
        &[&[0, 1, 3, 4], &[5, 4, 2]],
        (&[0, 5, 3, 2], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "matmul, huge batch",
        |v| v[0].matmul(&v[1]),
        &[&[2048, 1 << 46, 0, 1], &[1, 1, 1, 1]],
        (&[2048, 1 << 46, 0, 1], 0.0),
        &[0.0; 2],
    ),
    case(
        "a^T b, m = 0",
        |v| matmul_with(&v[0], &v[1], true, false),
        &[&[3, 0], &[3, 4]],
        (&[0, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "a^T b, k = 0",
        |v| matmul_with(&v[0], &v[1], true, false),
        &[&[0, 3], &[0, 4]],
        (&[3, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "a b^T, k = 0",
        |v| matmul_with(&v[0], &v[1], false, true),
        &[&[3, 0], &[4, 0]],
        (&[3, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "a b^T, m = 0",
        |v| matmul_with(&v[0], &v[1], false, true),
        &[&[0, 3], &[4, 3]],
        (&[0, 4], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "a^T b^T, n = 0",
        |v| matmul_with(&v[0], &v[1], true, true),
        &[&[4, 3], &[0, 4]],
        (&[3, 0], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "linear, no rows",
        |v| linear(&v[0], &v[1], Some(&v[2])),
        &[&[0, 512], &[512, 512], &[512]],
        (&[0, 512], 0.0),
        &[0.0; 3],
    ),
    case(
        "linear, no terms",
        |v| linear(&v[0], &v[1], Some(&v[2])),
        &[&[4, 0], &[3, 0], &[3]],
        (&[4, 3], 1.0),
        &[0.0, 0.0, 4.0],
    ),
    case(
        "linear, no bias",
        |v| linear(&v[0], &v[1], None),
        &[&[4, 2, 0], &[3, 0]],
        (&[4, 2, 3], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "linear, no outputs",
        |v| linear(&v[0], &v[1], Some(&v[2])),
        &[&[4, 5], &[0, 5], &[0]],
        (&[4, 0], 0.0),
        &[0.0; 3],
    ),
    // Reductions.
    case(
        "sum of no rows",
        |v| v[0].sum(0),
        &[&[0, 3]],
        (&[3], 0.0),
        &[0.0],
    ),
    case(
        "sum of no columns",
        |v| v[0].sum_keep(1),
        &[&[3, 0]],
        (&[3, 1], 0.0),
        &[0.0],
    ),
    case(
        "sum around nothing",
        |v| v[0].sum([0, 2]),
        &[&[2, 0, 3]],
        (&[0], 0.0),
        &[0.0],
    ),
    case(
        "sum along a long axis",
        |v| v[0].sum([0, 2]),
        &[&[0, 5, 1 << 48]],
        (&[5], 0.0),
        &[0.0],
    ),
    case(
        "sum of nothing",
        |v| v[0].sum_all(),
        &[&[0]],
        (&[], 0.0),
        &[0.0],
    ),
    case(
        "products of nothing",
        |v| v[0].prod(0),
        &[&[0, 3]],
        (&[3], 1.0),
        &[0.0],
    ),
    case(
        "means of nobody",
        |v| v[0].mean(1),
        &[&[0, 3]],
        (&[0], 0.0),
        &[0.0],
    ),
    case(
        "variances of nobody",
        |v| v[0].var(1, true),
        &[&[0, 3]],
        (&[0], 0.0),
        &[0.0],
    ),
    case(
        "deviations of nobody",
        |v| v[0].std_keep(1, false),
        &[&[0, 3]],
        (&[0, 1], 0.0),
        &[0.0],
    ),
    case(
        "maxima of nobody",
        |v| v[0].max(0),
        &[&[3, 0]],
        (&[0], 0.0),
        &[0.0],
    ),
    case(
        "minima of nobody",
        |v| v[0].min_keep([0, 2]),
        &[&[3, 0, 2]],
        (&[1, 0, 1], 0.0),
        &[0.0],
    ),
    case(
        "softmax of nobody",
        |v| v[0].softmax(1),
        &[&[0, 3]],
        (&[0, 3], 0.0),
        &[0.0],
    ),
    case(
        "log_softmax of nobody",
        |v| v[0].log_softmax(0),
        &[&[3, 0]],
        (&[3, 0], 0.0),
        &[0.0],
    ),
    case(
        "a sum repeated to nothing",
        |v| &v[0] + &v[1],
        &[&[1, 5, 1], &[0, 5, 7]],
        (&[0, 5, 7], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "a product repeated to nothing",
        |v| &v[0] * &v[1],
        &[&[5], &[0, 1]],
        (&[0, 5], 0.0),
        &[0.0, 0.0],
    ),
    // Norms and losses.
    case(
        "layer_norm",
        |v| layer_norm(&v[0], &v[1], &v[2], 1e-5),
        &[&[0, 3], &[3], &[3]],
        (&[0, 3], 0.0),
        &[0.0; 3],
    ),
    case(
        "batch_norm_eval",
        eval,
        &[&[0, 2, 3], &[3], &[3]],
        (&[0, 2, 3], 0.0),
        &[0.0; 3],
    ),
    case(
        "cross_entropy",
        |v| cross_entropy(&v[0], &labels(v), CrossEntropyOptions::default()),
        &[&[0, 3]],
        (&[], 0.0),
        &[0.0],
    ),
    case(
        "focal_loss",
        |v| focal_loss(&v[0], &labels(v), 2.0, None),
        &[&[0, 3]],
        (&[], 0.0),
        &[0.0],
    ),
    case(
        "nll_loss",
        |v| nll_loss(&v[0], &labels(v), None),
        &[&[0, 3]],
        (&[], 0.0),
        &[0.0],
    ),
    // Images.
    case(
        "conv2d, no images",
        conv,
        &[&[0, 6, 6, 3], &[4, 3, 3, 3], &[4]],
        (&[0, 4, 4, 4], 0.0),
        &[0.0; 3],
    ),
    case(
        "conv2d, no inputs",
        conv,
        &[&[2, 4, 4, 0], &[3, 3, 3, 0], &[3]],
        (&[2, 2, 2, 3], 1.0),
        &[0.0, 0.0, 8.0],
    ),
    case(
        "conv2d, no outputs",
        conv,
        &[&[2, 4, 4, 3], &[0, 3, 3, 3], &[0]],
        (&[2, 2, 2, 0], 0.0),
        &[0.0; 3],
    ),
    case(
        "conv2d, one pixel, no images",
        conv,
        &[&[0, 4, 4, 3], &[5, 1, 1, 3], &[5]],
        (&[0, 4, 4, 5], 0.0),
        &[0.0; 3],
    ),
    case(
        "conv2d, one pixel, no inputs",
        conv,
        &[&[2, 2, 2, 0], &[3, 1, 1, 0], &[3]],
        (&[2, 2, 2, 3], 1.0),
        &[0.0, 0.0, 8.0],
    ),
    case(
        "conv2d, each channel, no images",
        depthwise,
        &[&[0, 6, 6, 4], &[4, 5, 5, 1]],
        (&[0, 2, 2, 4], 0.0),
        &[0.0; 2],
    ),
    case(
        "conv_transpose2d, no images",
        deconv,
        &[&[0, 4, 4, 3], &[3, 4, 4, 5], &[5]],
        (&[0, 8, 8, 5], 0.0),
        &[0.0; 3],
    ),
    case(
        "conv_transpose2d, no inputs",
        deconv,
        &[&[1, 2, 2, 0], &[0, 4, 4, 5], &[5]],
        (&[1, 4, 4, 5], 1.0),
        &[0.0, 0.0, 16.0],
    ),
    case(
        "conv_transpose2d, no outputs",
        deconv,
        &[&[1, 2, 2, 3], &[3, 4, 4, 0], &[0]],
        (&[1, 4, 4, 0], 0.0),
        &[0.0; 3],
    ),
    case(
        "attention, no batch",
        attend,
        &[&[0, 2, 3, 4], &[0, 2, 5, 4], &[0, 2, 5, 6]],
        (&[0, 2, 3, 6], 0.0),
        &[0.0; 3],
    ),
    case(
        "attention, no queries",
        attend,
        &[&[2, 2, 0, 4], &[2, 2, 5, 4], &[2, 2, 5, 6]],
        (&[2, 2, 0, 6], 0.0),
        &[0.0; 3],
    ),
    case(
        "attention, no channels of keys",
        attend,
        &[&[1, 2, 8, 0], &[1, 2, 4, 0], &[1, 2, 4, 6]],
        (&[1, 2, 8, 6], 1.0),
        &[0.0, 0.0, 2.0],
    ),
    case(
        "attention, no channels of values",
        attend,
        &[&[1, 2, 8, 3], &[1, 2, 4, 3], &[1, 2, 4, 0]],
        (&[1, 2, 8, 0], 0.0),
        &[0.0; 3],
    ),
    case(
        "gelu_dropout_conv2d, no images",
        hidden,
        &[&[0, 4, 4, 8], &[6, 1, 1, 8], &[6]],
        (&[0, 4, 4, 6], 0.0),
        &[0.0; 3],
    ),
    case(
        "gelu_dropout_conv2d, no inputs",
        hidden,
        &[&[2, 2, 2, 0], &[3, 1, 1, 0], &[3]],
        (&[2, 2, 2, 3], 1.0),
        &[0.0, 0.0, 8.0],
    ),
    case(
        "max_pool2d, no images",
        |v| max_pool2d(&v[0], [2, 2], HALF),
        &[&[0, 4, 4, 3]],
        (&[0, 2, 2, 3], 0.0),
        &[0.0],
    ),
    case(
        "avg_pool2d, no channels",
        |v| avg_pool2d(&v[0], [2, 2], HALF),
        &[&[2, 4, 4, 0]],
        (&[2, 2, 2, 0], 0.0),
        &[0.0],
    ),
    case(
        "global_avg_pool, no images",
        |v| v[0].global_avg_pool(),
        &[&[0, 4, 4, 3]],
        (&[0, 3], 0.0),
        &[0.0],
    ),
    case(
        "upsample, no images",
        |v| v[0].upsample([8, 8], Interpolation::Bicubic),
        &[&[0, 4, 4, 3]],
        (&[0, 8, 8, 3], 0.0),
        &[0.0],
    ),
    case(
        "dwt, no images",
        |v| v[0].dwt(),
        &[&[0, 4, 4, 3]],
        (&[0, 2, 2, 12], 0.0),
        &[0.0],
    ),
    case(
        "idwt, no channels",
        |v| v[0].idwt([3, 4]),
        &[&[2, 2, 2, 0]],
        (&[2, 3, 4, 0], 0.0),
        &[0.0],
    ),
];
