//! Calls of ops with several operands or settings.

use super::*;

pub const PLAIN: Window = Window {
    stride: [1, 1],
    padding: [0, 0],
    output_padding: [0, 0],
    dilation: [1, 1],
    groups: 1,
};
pub const HALF: Window = Window {
    stride: [2, 2],
    ..PLAIN
};

pub fn conv(v: &[Var]) -> Result<Var> {
    conv2d(&v[0], &v[1], Some(&v[2]), PLAIN)
}

pub fn depthwise(v: &[Var]) -> Result<Var> {
    conv2d(&v[0], &v[1], None, Window { groups: 4, ..PLAIN })
}

pub fn deconv(v: &[Var]) -> Result<Var> {
    conv_transpose2d(
        &v[0],
        &v[1],
        Some(&v[2]),
        Window {
            padding: [1, 1],
            ..HALF
        },
    )
}

pub fn hidden(v: &[Var]) -> Result<Var> {
    let dropout = Dropout {
        p: 0.5,
        rng: Some(&Rng::new(1)),
    };
    gelu_dropout_conv2d(&v[0], &v[1], Some(&v[2]), PLAIN, dropout)
}

pub fn attend(v: &[Var]) -> Result<Var> {
    attention(&v[0], &v[1], &v[2], AttentionOptions::default())
}

pub fn eval(v: &[Var]) -> Result<Var> {
    batch_norm(
        &v[0],
        &v[1],
        &v[2],
        BatchNormOptions {
            statistics: Statistics::Given(v[1].value(), v[1].value()),
            ..Default::default()
        },
    )
    .map(|(y, _)| y)
}

pub fn labels(v: &[Var]) -> Tensor {
    indices(v, [0])
}

pub fn indices<const N: usize>(v: &[Var], shape: [usize; N]) -> Tensor {
    Tensor::zeros(shape, DType::I64)
        .to_device(v[0].value().device())
        .unwrap()
}
