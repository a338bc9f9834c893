//! Norms, softmax and the losses.

use super::*;

/// A channel or a row of equal elements, normalised without an eps, is beta, and has no gradient:
/// as in PyTorch's batch_norm.
pub fn norms() -> Vec<Case> {
    let vector = |x: f64, n: usize| (vec![x; n], vec![n]);
    let (column, row) = ((vec![3.0; 4], vec![4, 1]), (vec![3.0; 4], vec![1, 4]));
    let (gamma, beta) = (vector(2.0, 1), vector(1.0, 1));
    vec![
        of(
            "batch_norm",
            |v| {
                Ok(batch_norm(
                    &v[0],
                    &v[1],
                    &v[2],
                    BatchNormOptions {
                        eps: 0.0,
                        ..Default::default()
                    },
                )?
                .0)
            },
            vec![column.clone(), gamma.clone(), beta.clone()],
            vec![vec![0.0; 4], vec![0.0], vec![4.0]],
        )
        .y(&[1.0; 4]),
        of(
            "batch_norm_add",
            |v| {
                Ok(batch_norm(
                    &v[0],
                    &v[2],
                    &v[3],
                    BatchNormOptions {
                        eps: 0.0,
                        residual: Some(&v[1]),
                        ..Default::default()
                    },
                )?
                .0)
            },
            vec![column.clone(), column, gamma, beta],
            vec![vec![0.0; 4], vec![1.0; 4], vec![0.0], vec![4.0]],
        )
        .y(&[4.0; 4]),
        of(
            "layer_norm",
            |v| layer_norm(&v[0], &v[1], &v[2], 0.0),
            vec![row, vector(2.0, 4), vector(1.0, 4)],
            vec![vec![0.0; 4], vec![0.0; 4], vec![1.0; 4]],
        )
        .y(&[1.0; 4]),
    ]
}

/// What is added to a normalised map, here 2^power, changes neither dx nor dgamma.
pub fn large_residuals(power: i32) -> Vec<Case> {
    let (x, dy): ([f64; 4], _) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, -0.5]);
    let inv_std = 1.0 / 1.25f64.sqrt();
    let dgamma: f64 = x
        .iter()
        .zip(&dy)
        .map(|(x, dy)| dy * (x - 2.5) * inv_std)
        .sum();
    let dx =
        |(x, dy): (&f64, &f64)| (dy - 0.5 / 4.0 - (x - 2.5) * inv_std * dgamma / 4.0) * inv_std;
    let dx: Vec<f64> = x.iter().zip(&dy).map(dx).collect();
    let (x, residual, one, zero) = (
        (x.to_vec(), vec![4, 1]),
        (vec![2f64.powi(power); 4], vec![4, 1]),
        vec![1.0],
        vec![0.0],
    );
    let run: fn(&[Var]) -> Result<Var> = |v| {
        Ok(batch_norm(
            &v[0],
            &v[2],
            &v[3],
            BatchNormOptions {
                eps: 0.0,
                residual: Some(&v[1]),
                ..Default::default()
            },
        )?
        .0)
    };
    let (gamma, beta) = ((one, vec![1]), (zero, vec![1]));
    let want = vec![dx, dy.to_vec(), vec![dgamma], vec![0.5]];
    vec![
        of(
            "batch_norm_add, large residual",
            run,
            vec![x, residual, gamma, beta],
            want,
        )
        .dy(&dy),
    ]
}

pub fn probabilities() -> Vec<Case> {
    let masked = [0.0, -INF, 0.0];
    let cross: fn(&[Var]) -> Result<Var> = |v| smoothed(&v[0], 0.0);
    let focal: fn(&[Var]) -> Result<Var> = |v| focal_loss(&v[0], &zeros(&v[0])?, 2.0, None);
    let flat_focal: fn(&[Var]) -> Result<Var> = |v| focal_loss(&v[0], &zeros(&v[0])?, 0.5, None);
    vec![
        rows(
            "softmax, masked",
            |v| v[0].softmax(1),
            &masked,
            3,
            &[0.25, 0.0, -0.25],
        )
        .y(&[0.5, 0.0, 0.5])
        .dy(&[1.0, 0.0, 0.0]),
        rows(
            "log_softmax, masked",
            |v| v[0].log_softmax(1),
            &masked,
            3,
            &[0.5, 0.0, -0.5],
        )
        .y(&[-LN_2, -INF, -LN_2])
        .dy(&[1.0, 0.0, 0.0]),
        rows(
            "cross_entropy, another class masked",
            cross,
            &masked,
            3,
            &[-0.5, 0.0, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "cross_entropy, the label masked",
            cross,
            &[-INF, 0.0, 0.0],
            3,
            &[-1.0, 0.5, 0.5],
        )
        .y(&[INF]),
        rows(
            "cross_entropy of not-a-number",
            cross,
            &[NAN, 0.0],
            2,
            &[NAN, NAN],
        )
        .y(&[NAN]),
        // (1 - p)^2 and its derivative times ln p: 1 and 0 as p tends to 0.
        rows(
            "focal_loss, the label masked",
            focal,
            &[-INF, 0.0, 0.0],
            3,
            &[-1.0, 0.5, 0.5],
        )
        .y(&[INF]),
        rows(
            "focal_loss, all others masked",
            focal,
            &[0.0, -INF],
            2,
            &[0.0, 0.0],
        )
        .y(&[0.0]),
        rows(
            "focal_loss with gamma 1/2, all others masked",
            flat_focal,
            &[0.0, -INF],
            2,
            &[0.0, 0.0],
        )
        .y(&[0.0]),
        rows(
            "focal_loss of not-a-number",
            focal,
            &[0.0, NAN],
            2,
            &[NAN, NAN],
        )
        .y(&[NAN]),
    ]
}

pub fn pointwise_losses() -> Vec<Case> {
    let l1: fn(&[Var]) -> Result<Var> = |v| l1_loss(&v[0], &v[1]);
    let huber: fn(&[Var]) -> Result<Var> = |v| huber_loss(&v[0], &v[1], 1.0);
    let smooth: fn(&[Var]) -> Result<Var> = |v| smooth_l1_loss(&v[0], &v[1], 2.0);
    let bce: fn(&[Var]) -> Result<Var> = |v| bce_with_logits(&v[0], &v[1], None);
    let weighted: fn(&[Var]) -> Result<Var> = |v| {
        let weight = Tensor::full_on(v[0].value().device(), [], 3.0, v[0].dtype())?;
        bce_with_logits(&v[0], &v[1], Some(&weight))
    };
    let (third, zeros) = (1.0 / 3.0, [0.0; 3]);
    vec![
        two(
            "l1_loss",
            l1,
            [&[1.0, 0.0, -0.0, -2.0], &[1.0, 0.0, 0.0, 0.0]],
            [&[0.0, 0.0, 0.0, -0.25], &[0.0, 0.0, 0.0, 0.25]],
        ),
        two(
            "l1_loss, infinite",
            l1,
            [&[INF, -INF, 1.0], &zeros],
            [&[third, -third, third], &[-third, third, -third]],
        )
        .y(&[INF]),
        two(
            "huber_loss",
            huber,
            [&[1.0, -1.0, INF], &zeros],
            [&[third, -third, third], &[-third, third, -third]],
        )
        .y(&[INF]),
        two(
            "huber_loss of not-a-number",
            huber,
            [&[NAN], &[0.0]],
            [&[NAN], &[NAN]],
        )
        .y(&[NAN]),
        two(
            "smooth_l1_loss",
            smooth,
            [&[2.0, -1.0, -4.0], &zeros],
            [
                &[third, -third / 2.0, -third],
                &[-third, third / 2.0, third],
            ],
        )
        .y(&[4.25 / 3.0]),
        // PyTorch multiplies infinity by 1 - t, here 0, and gives not-a-number for the loss.
        two(
            "bce_with_logits of certain logits",
            bce,
            [&[INF, -INF], &[1.0, 0.0]],
            [&[0.0, 0.0], &[-INF, INF]],
        )
        .y(&[0.0]),
        two(
            "bce_with_logits of certain logits that are wrong",
            bce,
            [&[INF, -INF], &[0.0, 1.0]],
            [&[0.5, -0.5], &[-INF, INF]],
        )
        .y(&[INF]),
        two(
            "bce_with_logits of not-a-number",
            bce,
            [&[NAN], &[1.0]],
            [&[NAN], &[NAN]],
        )
        .y(&[NAN]),
        two(
            "bce_with_logits, weighted, at 0",
            weighted,
            [&[0.0, 0.0], &[1.0, 0.0]],
            [&[-0.75, 0.25], &[LN_2, LN_2]],
        )
        .y(&[2.0 * LN_2]),
        rows(
            "nll_loss of a label that cannot be",
            |v| nll_loss(&v[0], &super::zeros(&v[0])?, None),
            &[-INF, 0.0, NAN, NAN],
            2,
            &[-0.5, 0.0, -0.5, 0.0],
        )
        .y(&[NAN]),
    ]
}

/// Equal logits of any size are equally likely, here at 2^v.
pub fn large_logits(power: i32) -> Vec<Case> {
    let v = 2f64.powi(power);
    let pair = [v, v];
    // (1 - p)^2 - 2 p (1 - p) ln p at p = 1/2.
    let w = 0.25 + 0.5 * LN_2;
    vec![
        rows("softmax", |v| v[0].softmax(1), &pair, 2, &[0.25, -0.25])
            .y(&[0.5, 0.5])
            .dy(&[1.0, 0.0]),
        rows(
            "log_softmax",
            |v| v[0].log_softmax(1),
            &pair,
            2,
            &[0.5, -0.5],
        )
        .y(&[-LN_2, -LN_2])
        .dy(&[1.0, 0.0]),
        rows(
            "cross_entropy",
            |v| smoothed(&v[0], 0.0),
            &pair,
            2,
            &[-0.5, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "cross_entropy, negative",
            |v| smoothed(&v[0], 0.0),
            &[-v, -v],
            2,
            &[-0.5, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "smoothed cross_entropy",
            |v| smoothed(&v[0], 0.25),
            &pair,
            2,
            &[-0.375, 0.375],
        )
        .y(&[LN_2]),
        rows(
            "focal_loss",
            |v| focal_loss(&v[0], &zeros(&v[0])?, 2.0, None),
            &pair,
            2,
            &[-0.5 * w, 0.5 * w],
        )
        .y(&[0.25 * LN_2]),
        // One query, and two keys of the same score.
        of(
            "attention",
            |v| attention(&v[0], &v[1], &v[2], AttentionOptions::default()),
            vec![
                (vec![v], vec![1, 1, 1, 1]),
                (vec![1.0, 1.0], vec![1, 1, 2, 1]),
                (vec![2.0, 4.0], vec![1, 1, 2, 1]),
            ],
            vec![vec![0.0], vec![-0.5 * v, 0.5 * v], vec![0.5, 0.5]],
        )
        .y(&[3.0]),
        rows(
            "cross_entropy of two rows",
            |v| smoothed(&v[0], 0.0),
            &[v, v, 0.0, 0.0],
            2,
            &[-0.25, 0.25, -0.25, 0.25],
        )
        .y(&[LN_2]),
    ]
}

/// A class that is less likely than can be told has its own logarithm still.
pub fn far_below(power: i32) -> Vec<Case> {
    let v = 2f64.powi(power);
    let run: fn(&[Var]) -> Result<Var> = |v| v[0].log_softmax(1);
    vec![
        rows("log_softmax, one far below", run, &[v, -v], 2, &[0.0, 0.0])
            .y(&[0.0, -2.0 * v])
            .dy(&[1.0, 0.0]),
    ]
}
