//! A model that has each op that is exported, with settings that the registry's models do not have.

use wavemix::ops::{
    AttentionOptions, Interpolation, attention, avg_pool2d, batch_norm, concat, conv_transpose2d,
    conv1d, conv2d, layer_norm, linear, matmul_with, max_pool2d, rms_norm, stack,
};
use wavemix::ops::{BatchNormOptions, Statistics};
use wavemix::{DType, Pass, Result, Rng, Tensor, Var, Window, Window1d};

/// Weights of a layer.
fn drawn<const N: usize>(seed: u64, shape: [usize; N]) -> Var {
    Var::from(Tensor::normal(shape, 0.0, 0.5, DType::F32, &Rng::new(seed)))
}

/// Images `[n, h, w, 4]` to a mean of each op's result, `[n, ops]`.
pub fn model(_: &Pass, x: &Var) -> Result<Var> {
    let mut parts = of_elements(x)?;
    parts.extend(of_axes(x)?);
    parts.extend(of_tokens(x)?);
    parts.extend(of_images(x)?);
    let mut means = Vec::new();
    for part in &parts {
        means.push(part.flatten(1)?.mean(1)?);
    }
    stack(&means.iter().collect::<Vec<_>>(), 1)
}

fn of_elements(x: &Var) -> Result<Vec<Var>> {
    // Above 0, for logarithms and roots.
    let p = x.square()?.add_scalar(0.5)?;
    let c = drawn(1, [4]);
    Ok(vec![
        x.neg()?,
        x.abs()?,
        x.exp()?,
        p.log()?,
        p.log1p()?,
        // Where 1 + x is 1, this is x.
        x.mul_scalar(1e-8)?.log1p()?.mul_scalar(1e8)?,
        p.sqrt()?,
        p.recip()?,
        p.powf(1.5)?,
        x.tanh()?,
        x.sigmoid()?,
        x.relu()?,
        x.silu()?,
        x.leaky_relu(0.1)?,
        x.elu(0.7)?,
        x.mul_scalar(4.0)?.relu6()?,
        x.mul_scalar(4.0)?.hardswish()?,
        x.softplus()?,
        x.sin()?,
        x.cos()?,
        x.erf()?,
        x.gelu()?,
        x.clamp(-0.5, 1.0)?,
        x.div_scalar(3.0)?,
        (x - &p)?,
        (x * &p)?,
        (x / &p)?,
        (x + &c)?,
        x.maximum(&p.add_scalar(-1.0)?)?,
        x.minimum(&p)?,
    ])
}

fn of_axes(x: &Var) -> Result<Vec<Var>> {
    Ok(vec![
        x.sum([1, 3])?,
        x.sum_keep(2)?,
        x.mean([2, 3])?,
        x.mean_keep([1, 2])?,
        x.max(3)?,
        x.max_keep([1, 2])?,
        x.min([1, 2])?,
        x.softmax(3)?.square()?,
        x.softmax(1)?.square()?,
        x.log_softmax(3)?,
        x.dft_real([1, 2])?.mul_scalar(0.01)?,
        x.dft_real(3)?,
        x.permute(&[0, 3, 2, 1])?.slice(1, 1..3)?,
        x.slice(3, 1..4)?,
        x.slice(1, 2..x.shape()[1])?,
        x.pad(&[(0, 0), (1, 2), (0, x.shape()[2] % 2), (1, 0)])?
            .exp()?,
        concat(&[x, &x.square()?], 3)?.exp()?,
        stack(&[x, &x.tanh()?], 1)?,
        x.mean_keep([1, 2])?.expand(*x.shape())?.exp()?,
    ])
}

fn of_tokens(x: &Var) -> Result<Vec<Var>> {
    let [n, h, w] = [0, 1, 2].map(|axis| x.shape()[axis]);
    let tokens = x.reshape([n, h * w, 4])?;
    let heads = tokens.reshape([n, h * w, 2, 2])?.transpose(1, 2)?;
    let causal = AttentionOptions {
        causal: true,
        scale: Some(0.3),
        ..AttentionOptions::default()
    };
    let [mean, var] = [drawn(7, [4]), drawn(8, [4]).square()?.add_scalar(0.5)?];
    let given = || BatchNormOptions {
        statistics: Statistics::Given(mean.value(), var.value()),
        ..BatchNormOptions::default()
    };
    // Scale and shift that the images change.
    let [gamma, beta] = [tokens.mean([0, 1])?.exp()?, tokens.mean([0, 1])?.sin()?];
    Ok(vec![
        attention(&heads, &heads, &heads, AttentionOptions::default())?,
        attention(&heads, &heads.exp()?, &heads, causal)?,
        matmul_with(&heads, &heads, true, false)?.tanh()?,
        matmul_with(&heads, &heads, false, true)?.tanh()?,
        linear(&tokens, &drawn(2, [3, 4]), Some(&drawn(3, [3])))?,
        linear(&tokens.mean(1)?, &drawn(4, [3, 4]), None)?,
        layer_norm(&tokens, &drawn(5, [4]), &drawn(6, [4]), 1e-3)?.exp()?,
        rms_norm(x, &drawn(5, [4]), 1e-3)?,
        batch_norm(&tokens, &drawn(5, [4]), &drawn(6, [4]), given())?.0,
        batch_norm(&tokens, &gamma, &beta, given())?.0.exp()?,
        conv1d(
            &tokens,
            &drawn(9, [6, 3, 2]),
            None,
            Window1d {
                groups: 2,
                ..Window1d::default()
            },
        )?
        .exp()?,
        tokens.reshape(*x.shape())?.square()?.slice(1, 1..h)?,
    ])
}

fn of_images(x: &Var) -> Result<Vec<Var>> {
    let [h, w] = [1, 2].map(|axis| x.shape()[axis]);
    let oblong = Window {
        stride: [2, 1],
        padding: [1, 0],
        dilation: [1, 2],
        groups: 2,
        ..Window::default()
    };
    let enlarging = Window {
        stride: [3, 2],
        padding: [1, 0],
        output_padding: [2, 1],
        groups: 2,
        ..Window::default()
    };
    let pooled = Window {
        padding: [1, 1],
        stride: [2, 3],
        ..Window::default()
    };
    // Weights that are computed from the image.
    let own = x.mean([0, 1, 2])?.reshape([1, 1, 1, 4])?;
    Ok(vec![
        conv2d(x, &drawn(10, [6, 3, 2, 2]), Some(&drawn(11, [6])), oblong)?.exp()?,
        conv2d(x, &own, None, Window::default())?.exp()?,
        conv_transpose2d(x, &drawn(12, [4, 3, 2, 3]), None, enlarging)?.exp()?,
        max_pool2d(&x.add_scalar(-5.0)?, [3, 2], pooled)?,
        avg_pool2d(x, [3, 3], pooled)?.exp()?,
        x.global_avg_pool()?,
        x.upsample([2 * h, 2 * w], Interpolation::Nearest)?.exp()?,
        x.upsample([4 * h, 2 * w], Interpolation::Bilinear)?.exp()?,
        x.upsample([2 * h, 2 * w], Interpolation::Bicubic)?.exp()?,
        x.upsample([5, 7], Interpolation::Bilinear)?.exp()?,
        x.dwt()?.exp()?,
        x.dwt()?.exp()?.idwt([h, w])?,
    ])
}
