//! Each op, over shapes that are odd, even, empty and long.

use proptest::prelude::*;
use wavemix::ops::{AttentionOptions, Dropout};
use wavemix::{DType, Device, Rng, Tensor, Var};

use crate::harness::{Bound, ELEMENTWISE, STORAGE, agrees, agrees_in, close, draw, gpu, sums};

/// Lengths around the sizes of packs, warps and blocks.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        1usize..20,
        Just(31),
        Just(32),
        Just(33),
        Just(255),
        Just(256),
        Just(257),
        900usize..1100
    ]
}

fn positive(x: &Var) -> wavemix::Result<Var> {
    x.square()?.add_scalar(0.5)
}

/// Of as many binary digits as elements have bits, or of any.
fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0u32..=4, 1u32..256)
            .prop_map(|(log, k)| f64::from(k % (1 << (1 << log))) / f64::from(1 << (1 << log))),
        0.0f64..1.0
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn unary(n in length(), rows in 1usize..3, seed: u64) {
        let x = [draw(&[rows, n], seed)];
        // Where the slope is large the argument's rounding counts; where it is computed from the
        // output, that one's, times dy, which is some times as large as the largest gradient.
        let steep = Bound { roundings: 8.0, terms: 64 };
        agrees(ELEMENTWISE, |v| v[0].neg(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].abs(), &x)?;
        agrees(steep, |v| v[0].exp(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].square(), &x)?;
        agrees(steep, |v| v[0].tanh(), &x)?;
        agrees(steep, |v| v[0].sigmoid(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].relu(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].silu(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].gelu(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].clamp(-0.5, 0.75), &x)?;
        agrees(ELEMENTWISE, |v| v[0].add_scalar(1.5), &x)?;
        agrees(ELEMENTWISE, |v| v[0].mul_scalar(-0.75), &x)?;
        agrees(ELEMENTWISE, |v| v[0].div_scalar(-0.75), &x)?;
        agrees(ELEMENTWISE, |v| v[0].leaky_relu(0.1), &x)?;
        agrees(steep, |v| v[0].elu(1.5), &x)?;
        agrees(ELEMENTWISE, |v| v[0].relu6(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].hardswish(), &x)?;
        agrees(steep, |v| v[0].softplus(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].sin(), &x)?;
        agrees(ELEMENTWISE, |v| v[0].cos(), &x)?;
        agrees(steep, |v| v[0].erf(), &x)?;
        let above = [positive(&x[0].clone().into())?.into_value()];
        agrees(steep, |v| v[0].log(), &above)?;
        agrees(steep, |v| v[0].log1p(), &above)?;
        agrees(steep, |v| v[0].sqrt(), &above)?;
        agrees(steep, |v| v[0].recip(), &above)?;
        agrees(steep, |v| v[0].powf(1.7), &above)?;
    }

    #[test]
    fn binary(n in length(), rows in 1usize..4, ones in any::<[bool; 4]>(), seed: u64) {
        let shape = |side: usize| [(rows, ones[side]), (n, ones[side + 2])].map(|(d, one)| if one { 1 } else { d });
        let terms = sums(rows * n);
        // What is summed over repeated axes is rounded to the storage type before: products of
        // normal numbers, some of them five times as large as 1, whose roundings add up like a
        // random walk.
        let terms = Bound { roundings: 2.0 + 5.0 * ((rows * n) as f64).sqrt(), ..terms };
        let (a, b) = (draw(&shape(0), seed), draw(&shape(1), !seed));
        let apart = positive(&b.clone().into())?.into_value();
        agrees(terms, |v| &v[0] + &v[1], &[a.clone(), b.clone()])?;
        agrees(terms, |v| &v[0] - &v[1], &[a.clone(), b.clone()])?;
        // One shape has a kernel of its own, which the shapes drawn above may all miss.
        agrees(terms, |v| &v[0] - &v[1], &[draw(&[rows, n], seed), draw(&[rows, n], !seed)])?;
        agrees(terms, |v| &v[0] * &v[1], &[a.clone(), b.clone()])?;
        agrees(Bound { roundings: 4.0 * terms.roundings, ..terms }, |v| &v[0] / &v[1], &[a.clone(), apart])?;
        agrees(terms, |v| v[0].maximum(&v[1]), &[a.clone(), b.clone()])?;
        agrees(terms, |v| v[0].minimum(&v[1]), &[a, b])?;
    }

    #[test]
    fn casts(n in length(), seed: u64) {
        for to in STORAGE {
            agrees_in(DType::F32, Bound { roundings: 2f64.powi(18), terms: 1 }, &|v| v[0].cast(to)?.cast(v[0].dtype()), &[draw(&[n], seed)])?;
        }
        let Some(gpu) = gpu() else { return Ok(()) };
        let bytes = Tensor::uniform([n], 0.0, 256.0, DType::F64, &Rng::new(seed)).cast(DType::U8)?;
        let there = bytes.to_device(gpu)?.cast(DType::BF16)?.cast(DType::F32)?;
        prop_assert_eq!(there.to_vec::<f32>()?, bytes.cast(DType::F32)?.to_vec::<f32>()?, "bytes are exact in bf16");
    }

    #[test]
    fn shapes(dims in prop::collection::vec(1usize..6, 3), long in length(), seed: u64) {
        let dims = [dims[0], dims[1], dims[2], long.min(70)];
        let x = [draw(&dims, seed)];
        for order in [[3, 2, 1, 0], [0, 3, 1, 2], [0, 2, 3, 1], [1, 0, 2, 3], [0, 1, 3, 2]] {
            agrees(ELEMENTWISE, |v| v[0].permute(&order), &x)?;
        }
        for axis in 0..4 {
            let (from, to) = (dims[axis] / 3, dims[axis]);
            agrees(ELEMENTWISE, |v| v[0].slice(axis, from..to), &x)?;
            agrees(ELEMENTWISE, |v| v[0].flip(axis), &x)?;
            agrees(ELEMENTWISE, |v| wavemix::ops::concat(&[&v[0], &v[0], &v[0]], axis), &x)?;
            agrees(ELEMENTWISE, |v| wavemix::ops::stack(&[&v[0], &v[0], &v[0]], axis), &x)?;
            agrees(ELEMENTWISE, |v| Ok(v[0].chunk(2, axis)?.remove(0)), &x)?;
            agrees(ELEMENTWISE, |v| Ok(v[0].unbind(axis)?.remove(0)), &x)?;
            let diagonal = axis as i64 - 2;
            agrees(ELEMENTWISE, |v| v[0].tril(diagonal), &x)?;
            agrees(ELEMENTWISE, |v| v[0].triu(diagonal), &x)?;
        }
        agrees(ELEMENTWISE, |v| v[0].pad(&[(0, 0), (1, 0), (0, 2), (3, 4)]), &x)?;
        agrees(sums(dims[0] * dims[2]), |v| v[0].sum_to([dims[1], 1, dims[3]]), &x)?;
        agrees(sums(5), |v| v[0].reshape([dims[0], 1, dims[1], dims[2], dims[3]])?.expand([dims[0], 5, dims[1], dims[2], dims[3]]), &x)?;
    }

    #[test]
    fn triangles_of_any_type(rows in 1usize..40, columns in length(), diagonal in -40i64..1100, seed: u64) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let x = Tensor::uniform([2, rows, columns], 0.0, 100.0, DType::F64, &Rng::new(seed));
        for dtype in [DType::U8, DType::I64] {
            let x = x.cast(dtype)?;
            let [here, there] = [x.clone(), x.to_device(gpu)?].map(Var::from);
            let values = |y: Var| y.value().cast(DType::F32)?.to_vec::<f32>();
            prop_assert_eq!(values(there.tril(diagonal)?)?, values(here.tril(diagonal)?)?);
            prop_assert_eq!(values(there.triu(diagonal)?)?, values(here.triu(diagonal)?)?);
        }
    }

    #[test]
    fn comparing_and_choosing(n in length(), seed: u64) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let (a, b) = (draw(&[3, n], seed).cast(DType::F32)?, draw(&[n], seed).cast(DType::F32)?);
        let (there_a, there_b) = (a.to_device(gpu)?, b.to_device(gpu)?);
        let values = |x: Tensor| x.to_vec::<u8>().unwrap();
        prop_assert_eq!(values(there_a.eq(&there_b)?), values(a.eq(&b)?));
        prop_assert_eq!(values(there_a.lt(&there_b)?), values(a.lt(&b)?));
        prop_assert_eq!(values(there_a.ge(&there_b)?), values(a.ge(&b)?));
        let mask = a.gt(&b)?;
        let choose = |v: &[Var]| wavemix::ops::select(&mask.to_device(v[0].value().device())?, &v[0], &v[1]);
        agrees(sums(3), choose, &[draw(&[3, n], 1), draw(&[n], 2)])?;
    }

    #[test]
    fn dropout_draws_the_processors_numbers(n in length(), p in probability(), seed: u64) {
        let rng = Rng::new(seed).child(3);
        let x = [draw(&[n], seed)];
        agrees(Bound { roundings: 4.0, terms: 8 }, |v| v[0].dropout(p, &rng), &x)?;
        agrees(Bound { roundings: 4.0, terms: 8 }, |v| v[0].drop_path(p, &rng), &[draw(&[n, 3, 5], seed)])?;
        agrees(Bound { roundings: 4.0, terms: 8 }, |v| v[0].gelu_dropout(p, Some(&rng)), &x)?;
    }

    #[test]
    fn matrix_products(m in 1usize..20, k in 1usize..40, n in 1usize..20, batch in 1usize..4, t in any::<[bool; 2]>(), seed: u64) {
        let (a, b) = (if t[0] { [k, m] } else { [m, k] }, if t[1] { [n, k] } else { [k, n] });
        let product = |v: &[Var]| wavemix::ops::matmul_with(&v[0], &v[1], t[0], t[1]);
        let bound = sums(batch * m.max(k).max(n));
        // The sum over the batch is made of products that were rounded to the storage type.
        let bound = Bound { roundings: 2.0 + batch as f64, ..bound };
        agrees(bound, product, &[draw(&a, seed), draw(&b, !seed)])?;
        let wide = |size: [usize; 2]| [2, batch, size[0], size[1]];
        agrees(bound, product, &[draw(&wide(a), seed), draw(&wide(b), !seed)])?;
        let repeated = Bound { terms: 2 * bound.terms, roundings: 2.0 * bound.roundings };
        agrees(repeated, product, &[draw(&wide(a), seed), draw(&b, !seed)])?;
        agrees(repeated, product, &[draw(&[2, 1, a[0], a[1]], seed), draw(&wide(b), !seed)])?;
        let product = |v: &[Var]| wavemix::ops::einsum("kbm,nbk->bnm", &v[0], &v[1]);
        agrees(bound, product, &[draw(&[k, batch, m], seed), draw(&[n, batch, k], !seed)])?;
    }

    #[test]
    fn attention(sizes in ([1usize..3, 1..3], [1usize..150, 1..150], [1usize..80, 1..80]), causal: bool, p in prop_oneof![Just(0.0), probability()], seed: u64) {
        let ([b, h], [n, m], [d, dv]) = sizes;
        let rng = Rng::new(seed).child(3);
        let dropout = Dropout { p: p.min(0.9), rng: Some(&rng) };
        let options = AttentionOptions { scale: None, causal, dropout };
        let call = |v: &[Var]| wavemix::ops::attention(&v[0], &v[1], &v[2], options);
        let inputs = [draw(&[b, h, n, d], seed), draw(&[b, h, m, d], !seed), draw(&[b, h, m, dv], seed ^ 7)];
        // y is rounded to the storage type before the backward pass reads it: r is off by that of dv
        // products of dy, and dq and dk by that of d products with keys and queries.
        let bound = Bound { roundings: 4.0 + 2.0 * ((dv + n + m) as f64).sqrt(), terms: 8 + 4 * (n + m + d + dv) };
        agrees(bound, call, &inputs)?;
    }

    #[test]
    fn linear(rows in length(), k in 1usize..40, n in 1usize..40, seed: u64) {
        let layer = |v: &[Var]| wavemix::ops::linear(&v[0], &v[1], Some(&v[2]));
        agrees(Bound { roundings: 3.0, ..sums(rows.max(k).max(n)) }, layer, &[draw(&[rows, k], seed), draw(&[n, k], 1), draw(&[n], 2)])?;
    }
}

#[test]
fn gradients_of_two_uses_add_up() {
    agrees(
        Bound {
            roundings: 4.0,
            terms: 8,
        },
        |v| &v[0] * &v[0] + &v[0],
        &[draw(&[1000], 5)],
    )
    .unwrap();
    let Some(gpu) = gpu() else { return };
    let x = Var::leaf(
        draw(&[7], 1)
            .cast(DType::F32)
            .unwrap()
            .to_device(gpu)
            .unwrap(),
    );
    let loss = x.square().unwrap().sum_all().unwrap();
    assert_eq!(loss.value().device(), Device::Cuda(0));
    let dx = loss.backward().unwrap();
    close(
        "2x",
        DType::F32,
        ELEMENTWISE,
        x.mul_scalar(2.0).unwrap().value(),
        dx.of(&x).unwrap(),
    )
    .unwrap();
}
