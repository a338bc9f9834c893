//! Reductions, normalisations, losses, images and convolutions on the GPU.

use proptest::prelude::*;
use wavemix::ops::{
    BatchNormOptions, CrossEntropyOptions, Interpolation, Statistics, avg_pool2d, batch_norm,
    bce_with_logits, conv_transpose2d, conv2d, cross_entropy, embedding, focal_loss, group_norm,
    huber_loss, l1_loss, layer_norm, max_pool2d, mse, nll_loss, one_hot, rms_norm, smooth_l1_loss,
};
use wavemix::{DType, Device, Result, Rng, Shape, Tensor, Var, Window};

use crate::harness::{Bound, ELEMENTWISE, agrees, agrees_in, close, draw, gpu, sums};

/// Integers below `end`.
fn integers(shape: &[usize], end: usize, seed: u64) -> Tensor {
    let shape = Shape::new(shape).unwrap();
    Tensor::uniform(shape, 0.0, end as f64, DType::F64, &Rng::new(seed))
        .cast(DType::I64)
        .unwrap()
}

/// The same tensor where x is.
fn like(x: &Var, constant: &Tensor) -> Result<Tensor> {
    constant.to_device(x.value().device())
}

/// In f32, as the losses are: what comes out is f32 in any storage type.
fn loss(v: Result<Var>) -> Result<Var> {
    let y = v?;
    if y.dtype() == DType::F64 {
        Ok(y)
    } else {
        y.cast(DType::F32)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn reductions(a in 1usize..20, b in 1usize..20, c in prop_oneof![1usize..9, 60usize..70], seed: u64) {
        let x = [draw(&[a, b, c], seed)];
        for axes in [&[0usize][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2], &[]] {
            // What two groups of axes give is f32 in between; the result is rounded once.
            agrees(sums(a * b * c), |v| v[0].sum(axes), &x)?;
            agrees(sums(64), |v| v[0].mean_keep(axes), &x)?;
        }
        let Some(gpu) = gpu() else { return Ok(()) };
        for dtype in [DType::F32, DType::BF16] {
            let (here, there) = (x[0].cast(dtype)?.cast(DType::F64)?, x[0].cast(dtype)?.to_device(gpu)?);
            for axis in 0..3 {
                prop_assert_eq!(here.argmax(axis)?.to_vec::<i64>()?, there.argmax(axis)?.to_vec::<i64>()?);
                agrees_in(dtype, ELEMENTWISE, &|v| v[0].max_keep(axis), &x)?;
                agrees_in(dtype, ELEMENTWISE, &|v| v[0].min(axis), &x)?;
            }
            let k = c.min(5);
            let ((want, want_at), (got, got_at)) = (here.topk(k)?, there.topk(k)?);
            prop_assert_eq!(want_at.to_vec::<i64>()?, got_at.to_vec::<i64>()?);
            close("topk", dtype, ELEMENTWISE, &want, &got)?;
        }
    }

    #[test]
    fn scans_norms_and_products(rows in 1usize..20, n in prop_oneof![1usize..9, 250usize..260, 500usize..800], zeros in 0usize..3, seed: u64) {
        let x = [draw(&[rows, n], seed)];
        // Sums up to the square root of n.
        agrees(Bound { roundings: 4.0, ..sums(n) }, |v| v[0].cumsum(1), &x)?;
        agrees_in(DType::F32, sums(rows), &|v| v[0].cumsum(0), &x)?;
        agrees(Bound { roundings: 4.0, terms: 8 + n }, |v| v[0].norm(1), &x)?;
        // Factors near 1, some of them 0. Each rounding of a factor is one of the product.
        let mut factors: Vec<f64> = x[0].to_vec::<f64>()?.iter().map(|x| 1.0 + 0.01 * x).collect();
        factors.iter_mut().step_by(n.max(3) / 2).take(zeros).for_each(|x| *x = 0.0);
        let factors = Tensor::from_vec(factors, [rows, n])?;
        agrees(Bound { roundings: 4.0, terms: 8 + 8 * n }, |v| v[0].prod(1), &[factors])?;
        let Some(gpu) = gpu() else { return Ok(()) };
        let (here, there) = (x[0].cast(DType::F32)?, x[0].cast(DType::F32)?.to_device(gpu)?);
        prop_assert_eq!(here.argmin(1)?.to_vec::<i64>()?, there.argmin(1)?.to_vec::<i64>()?);
    }

    #[test]
    fn sorting(rows in 1usize..4, n in prop_oneof![1usize..9, 60usize..70, 120usize..140, 500usize..800], few: bool, descending: bool, seed: u64) {
        let x = draw(&[rows, n], seed);
        agrees(ELEMENTWISE, |v| Ok(v[0].sort(1, descending)?.0), std::slice::from_ref(&x))?;
        agrees(ELEMENTWISE, |v| Ok(v[0].topk(n.min(5))?.0), std::slice::from_ref(&x))?;
        let Some(gpu) = gpu() else { return Ok(()) };
        // Few different values have ties.
        let mut x = if few { integers(&[rows, n], 4, seed).cast(DType::F64)? } else { x };
        x = Var::from(x).add_scalar(-1.0)?.into_value();
        let mut values = x.to_vec::<f64>()?;
        values.iter_mut().step_by(7).for_each(|x| *x = [f64::NAN, f64::INFINITY, -0.0][*x as usize % 3]);
        let odd = Tensor::from_vec(values, x.shape())?;
        for (x, dtype) in [(&odd, DType::F32), (&odd, DType::BF16), (&odd, DType::F16), (&x, DType::U8), (&x, DType::I64)] {
            let x = x.cast(dtype)?;
            let (here, there) = (x.argsort(1, descending)?, x.to_device(gpu)?.argsort(1, descending)?);
            prop_assert_eq!(here.to_vec::<i64>()?, there.to_vec::<i64>()?, "{}", dtype);
        }
    }

    #[test]
    fn long_rows_are_summed_by_many_blocks(n in 2049usize..8192, seed: u64) {
        // A block sums 8,192 numbers: one block, and at least five.
        for n in [n, 16 * n] {
            agrees_in(DType::F32, sums(n), &|v| v[0].sum_all(), &[draw(&[n], seed)])?;
            agrees_in(DType::BF16, sums(n), &|v| v[0].mean_all(), &[draw(&[n], seed)])?;
        }
    }

    #[test]
    fn normalisation(rows in 2usize..300, c in prop_oneof![1usize..20, Just(64), Just(128), Just(300)], shift in -3.0f64..30.0, seed: u64) {
        let x = Var::from(draw(&[rows, c], seed)).mul_scalar(2.0)?.add_scalar(shift)?.into_value();
        let (gamma, beta) = (draw(&[c], 1), draw(&[c], 2));
        // The spread of a few rows may be small beside their size: what is subtracted from loses
        // those digits.
        let spread = (0..c).map(|i| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap().iter().skip(i).step_by(c).fold((f64::MAX, f64::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v)))).map(|(lo, hi)| hi - lo).fold(f64::MAX, f64::min);
        prop_assume!(spread > 0.5);
        let loss_of_digits = (10.0 + 2.0 * shift.abs()) / spread;
        let bound = Bound { roundings: 16.0 * loss_of_digits, terms: (rows * 8) * loss_of_digits as usize };
        agrees(bound, |v| Ok(batch_norm(&v[0], &v[1], &v[2], BatchNormOptions::default())?.0), &[x.clone(), gamma.clone(), beta.clone()])?;
        let Some(gpu) = gpu() else { return Ok(()) };
        for dtype in [DType::F32, DType::BF16] {
            let stored = x.cast(dtype)?;
            let want = batch_norm(&stored.cast(DType::F64)?.into(), &gamma.clone().into(), &beta.clone().into(), BatchNormOptions::default())?.1;
            // Gamma and beta stay f32 beside an x of 16 bits.
            let vectors = [&gamma, &beta].map(|v| Var::from(v.cast(DType::F32).unwrap().to_device(gpu).unwrap()));
            let got = batch_norm(&stored.to_device(gpu)?.into(), &vectors[0], &vectors[1], BatchNormOptions::default())?.1;
            close("mean", DType::F32, Bound { roundings: 4.0, terms: 64 }, &want.mean, &got.mean)?;
            close("variance", DType::F32, Bound { roundings: 64.0, terms: 64 }, &want.var, &got.var)?;
        }
        let var = Var::from(draw(&[c], 3)).square()?.add_scalar(0.1)?.into_value();
        let eval = |v: &[Var]| {
            let running = [draw(&[c], 4), var.clone()].map(|t| like(&v[0], &t.cast(v[0].dtype())?));
            let [mean, var] = running;
            batch_norm(&v[0], &v[1], &v[2], BatchNormOptions { statistics: Statistics::Given(&mean?, &var?), ..Default::default() }).map(|(y, _)| y)
        };
        let wide = Bound { roundings: 24.0 + 8.0 * shift.abs(), terms: 64 * rows };
        agrees_in(DType::F32, wide, &eval, &[x.clone(), gamma.clone(), beta.clone()])?;
        let positions = draw(&[rows.min(40), c.max(8)], seed);
        let (gamma, beta) = (draw(&[c.max(8)], 1), draw(&[c.max(8)], 2));
        let bound = Bound { roundings: 24.0, terms: 64 + rows };
        agrees(bound, |v| layer_norm(&v[0], &v[1], &v[2], 1e-5), &[positions.clone(), gamma.clone(), beta.clone()])?;
        agrees(bound, |v| rms_norm(&v[0], &v[1], 1e-5), &[positions.clone(), gamma.clone()])?;
        agrees(bound, |v| group_norm(&v[0], 1, &v[1], &v[2], 1e-5), &[positions, gamma, beta])?;
    }

    #[test]
    fn softmax_and_losses(rows in 1usize..70, k in prop_oneof![1usize..12, Just(47), Just(300)], e in 0.0f64..0.5, gamma in 0.0f64..3.0, seed: u64) {
        let x = [Var::from(draw(&[rows, k], seed)).mul_scalar(3.0)?.into_value()];
        agrees(Bound { roundings: 8.0, terms: 16 + k }, |v| v[0].softmax(1), &x)?;
        agrees(Bound { roundings: 8.0, terms: 64 + 8 * k }, |v| v[0].log_softmax(1), &x)?;
        agrees_in(DType::F32, Bound { roundings: 8.0, terms: 16 + rows }, &|v| v[0].softmax(0), &x)?;
        let labels = integers(&[rows], k, !seed);
        let (plain, smooth) = (CrossEntropyOptions::default(), CrossEntropyOptions { label_smoothing: e, ignore_index: Some(0) });
        let bound = Bound { roundings: 4.0, terms: 64 + rows };
        agrees(bound, |v| loss(cross_entropy(&v[0], &like(&v[0], &labels)?, plain)), &x)?;
        agrees(bound, |v| loss(cross_entropy(&v[0], &like(&v[0], &labels)?, smooth)), &x)?;
        agrees(Bound { terms: 8 * bound.terms, ..bound }, |v| loss(focal_loss(&v[0], &like(&v[0], &labels)?, gamma, Some(0))), &x)?;
        agrees(bound, |v| loss(nll_loss(&v[0], &like(&v[0], &labels)?, Some(0))), &x)?;
        let pair = [x[0].clone(), draw(&[rows, k], 3)];
        agrees(bound, |v| loss(mse(&v[0], &v[1])), &pair)?;
        agrees(bound, |v| loss(l1_loss(&v[0], &v[1])), &pair)?;
        agrees(bound, |v| loss(huber_loss(&v[0], &v[1], 0.75)), &pair)?;
        agrees(bound, |v| loss(smooth_l1_loss(&v[0], &v[1], 0.75)), &pair)?;
        agrees(bound, |v| loss(bce_with_logits(&v[0], &v[1], None)), &pair)?;
        let weight = draw(&[k], 4);
        let weighted = |v: &[Var]| bce_with_logits(&v[0], &v[1], Some(&like(&v[0], &weight.cast(v[0].dtype())?)?));
        agrees_in(DType::F32, Bound { terms: 8 * bound.terms, ..bound }, &|v| weighted(v), &pair)?;
    }

    #[test]
    fn wavelets(n in 1usize..3, h in 1usize..12, w in 1usize..12, c in prop_oneof![1usize..9, Just(16), Just(24)], seed: u64) {
        agrees(ELEMENTWISE, |v| v[0].dwt(), &[draw(&[n, h, w, c], seed)])?;
        let bands = draw(&[n, h.div_ceil(2), w.div_ceil(2), 4 * c], seed);
        agrees(ELEMENTWISE, |v| v[0].idwt([h, w]), &[bands])?;
    }

    #[test]
    fn fourier_transforms(n in 1usize..3, h in 1usize..12, w in 1usize..12, c in prop_oneof![1usize..9, Just(16)], seed: u64) {
        let x = [draw(&[n, h, w, c], seed)];
        // Sums of h, w and c products, one after the other; two sums make each of a and b.
        for axes in [&[3usize][..], &[1, 2], &[1, 2, 3]] {
            agrees(Bound { roundings: 1.0, terms: 8 + 2 * (h + w + c) }, |v| v[0].dft_real(axes), &x)?;
        }
    }

    #[test]
    fn pooling(n in 1usize..3, size in [4usize..14, 4usize..14], c in prop_oneof![1usize..9, Just(16)], kernel in [1usize..4, 1usize..4], stride in 1usize..3, seed: u64) {
        let window = Window { stride: [stride, 1], padding: [kernel[0] / 2, kernel[1] / 2], ..Window::default() };
        let x = [draw(&[n, size[0], size[1], c], seed)];
        agrees(sums(9), |v| avg_pool2d(&v[0], kernel, window), &x)?;
        agrees_in(DType::F32, sums(9), &|v| max_pool2d(&v[0], kernel, window), &x)?;
        agrees(Bound { roundings: 4.0, terms: 64 }, |v| v[0].global_avg_pool(), &x)?;
        for kind in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
            // On the CPU rows and columns are rounded one after the other; on the GPU once.
            agrees(Bound { roundings: 3.0, terms: 64 }, |v| v[0].upsample([size[0] * 2, size[1] + 3], kind), &x)?;
        }
    }

    #[test]
    fn convolutions(
        n in 1usize..3,
        size in [1usize..9, 1usize..9],
        kernel in [1usize..5, 1usize..4],
        c in (prop_oneof![1usize..9, Just(16)], prop_oneof![1usize..5, Just(8), Just(40)]),
        window in (1usize..3, 1usize..3, 0usize..2, 1usize..3, 1usize..3),
        seed: u64,
    ) {
        let (sh, sw, padding, dilation, groups) = window;
        let window = Window { stride: [sh, sw], padding: [padding, 0], dilation: [dilation, 1], groups, ..Window::default() };
        let [c_in, c_out] = [c.0, c.1].map(|c| c * groups);
        let reach = [dilation * (kernel[0] - 1) + 1, kernel[1]];
        let big = [0, 1].map(|axis| size[axis] + reach[axis]);
        let pixels = n * big[0] * big[1];
        let bound = Bound { roundings: 3.0, ..sums(4 * pixels.max(kernel[0] * kernel[1] * c_in.max(c_out))) };
        let (x, w) = (draw(&[n, big[0], big[1], c_in], seed), draw(&[c_out, kernel[0], kernel[1], c_in / groups], 1));
        agrees(bound, |v| conv2d(&v[0], &v[1], Some(&v[2]), window), &[x, w, draw(&[c_out], 2)])?;
        let wider = Window { output_padding: [(sh - 1).min(1), 0], ..window };
        let (x, w) = (draw(&[n, size[0] + 2, size[1] + 1, c_in], seed), draw(&[c_in, kernel[0], kernel[1], c_out / groups], 3));
        agrees(bound, |v| conv_transpose2d(&v[0], &v[1], Some(&v[2]), wider), &[x, w, draw(&[c_out], 4)])?;
    }

    #[test]
    fn picking(rows in 1usize..20, width in 1usize..40, m in 1usize..30, seed: u64) {
        let x = [draw(&[rows, width], seed)];
        let chosen = integers(&[m], rows, 1);
        // Gradients of rows that are picked often add up in f32 and are rounded once.
        agrees(sums(m), |v| v[0].index_select(0, &like(&v[0], &chosen)?), &x)?;
        agrees(sums(m), |v| embedding(&v[0], &like(&v[0], &chosen)?), &x)?;
        let columns = integers(&[rows, m], width, 2);
        agrees(sums(m), |v| v[0].gather(1, &like(&v[0], &columns)?), &x)?;
        let fewer = integers(&[rows, width.min(m)], rows, 3);
        for (axis, places) in [(1, &columns), (0, &fewer)] {
            let operands = [x[0].clone(), draw(&[rows, m], 4)];
            agrees(sums(m.max(rows)), |v| v[0].scatter_add(axis, &like(&v[0], places)?, &v[1]), &operands)?;
        }
        let Some(gpu) = gpu() else { return Ok(()) };
        prop_assert_eq!(one_hot(&chosen.to_device(gpu)?, rows, DType::F32)?.to_vec::<f32>()?, one_hot(&chosen, rows, DType::F32)?.to_vec::<f32>()?);
        let far = Tensor::from_vec(vec![0i64, rows as i64, 0], [3])?.to_device(gpu)?;
        let there = Var::from(x[0].cast(DType::F32)?.to_device(gpu)?);
        let error = there.index_select(0, &far).err().unwrap().to_string();
        prop_assert!(error.starts_with(&format!("index_select: indices expects numbers in 0..{rows}, got {rows}")), "{}", error);
    }
}

#[test]
fn a_label_out_of_range_makes_the_loss_not_a_number() {
    let Some(gpu) = gpu() else { return };
    let logits = Var::from(
        draw(&[3, 4], 1)
            .cast(DType::F32)
            .unwrap()
            .to_device(gpu)
            .unwrap(),
    );
    let labels = Tensor::from_vec(vec![0i64, 4, 1], [3])
        .unwrap()
        .to_device(gpu)
        .unwrap();
    assert!(
        cross_entropy(&logits, &labels, CrossEntropyOptions::default())
            .unwrap()
            .value()
            .item()
            .unwrap()
            .is_nan()
    );
    assert!(
        focal_loss(&logits, &labels, 2.0, None)
            .unwrap()
            .value()
            .item()
            .unwrap()
            .is_nan()
    );
    let log_p = logits.log_softmax(1).unwrap();
    let loss = nll_loss(&log_p, &labels, None).unwrap();
    assert!(loss.value().item().unwrap().is_nan());
    assert_eq!(logits.value().device(), Device::Cuda(0));
}

/// Each channel with a kernel of its own: packs and single channels, strides, dilation, kernel rows
/// longer than a block takes together, more channels than a block has threads.
#[test]
fn depthwise_convolutions() -> std::result::Result<(), proptest::test_runner::TestCaseError> {
    let own = |groups: usize| Window {
        padding: [2; 2],
        groups,
        ..Window::default()
    };
    for (x, [kh, kw], window) in [
        ([2, 11, 9, 16], [5, 5], own(16)),
        (
            [2, 8, 9, 5],
            [3, 7],
            Window {
                stride: [2, 1],
                dilation: [2, 1],
                ..own(5)
            },
        ),
        (
            [1, 12, 13, 24],
            [3, 6],
            Window {
                stride: [1, 2],
                dilation: [1, 2],
                ..own(24)
            },
        ),
        ([1, 5, 4, 300], [5, 5], own(300)),
    ] {
        let c = x[3];
        let bound = Bound {
            roundings: 3.0,
            ..sums(x[0] * x[1] * x[2] + kh * kw)
        };
        agrees(
            bound,
            |v| conv2d(&v[0], &v[1], Some(&v[2]), window),
            &[draw(&x, 1), draw(&[c, kh, kw, 1], 2), draw(&[c], 3)],
        )?;
        let turned = Window {
            padding: [1; 2],
            ..window
        };
        let bound = Bound {
            roundings: 3.0,
            ..sums(4 * x[0] * x[1] * x[2] + kh * kw)
        };
        let inputs = [draw(&x, 1), draw(&[c, kh, kw, 1], 2), draw(&[c], 3)];
        agrees(
            bound,
            |v| conv_transpose2d(&v[0], &v[1], Some(&v[2]), turned),
            &inputs,
        )?;
    }
    Ok(())
}

/// The shapes of the papers' models: whole tiles, packs, both sides of a stride of 2.
#[test]
fn convolutions_of_the_models() -> std::result::Result<(), proptest::test_runner::TestCaseError> {
    let (same, half) = (
        Window {
            padding: [1; 2],
            ..Window::default()
        },
        Window {
            stride: [2; 2],
            padding: [1; 2],
            ..Window::default()
        },
    );
    for (x, w, window) in [
        ([2, 14, 14, 3], [64, 3, 3, 3], same),
        ([1, 9, 9, 64], [144, 3, 3, 64], half),
        ([2, 12, 12, 32], [64, 1, 1, 32], Window::default()),
    ] {
        let bound = Bound {
            roundings: 3.0,
            ..sums(x[1] * x[2] * x[0] * 8 + 4 * w[1] * w[2] * w[3])
        };
        agrees(
            bound,
            |v| conv2d(&v[0], &v[1], None, window),
            &[draw(&x, 1), draw(&w, 2)],
        )?;
    }
    for (x, w) in [
        ([2, 7, 7, 32], [32, 4, 4, 32]),
        ([1, 5, 6, 128], [128, 4, 4, 128]),
        ([1, 4, 4, 24], [24, 10, 10, 8]),
    ] {
        let stride = w[1] - 2;
        let window = Window {
            stride: [stride; 2],
            padding: [1; 2],
            ..Window::default()
        };
        let bound = Bound {
            roundings: 3.0,
            ..sums(4 * x[1] * x[2] * x[0] + 16 * w[0] * w[1])
        };
        agrees(
            bound,
            |v| conv_transpose2d(&v[0], &v[1], Some(&v[2]), window),
            &[draw(&x, 1), draw(&w, 2), draw(&[w[3]], 3)],
        )?;
    }
    Ok(())
}
