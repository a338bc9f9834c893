use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{AttentionOptions, Dropout, attention, matmul_with};
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, on_threads};

/// What attention is made of: two products with a softmax between, all weights in memory.
fn composed(v: &[Var], options: AttentionOptions) -> Result<Var> {
    let (n, m, d) = (v[0].shape()[2], v[1].shape()[2], v[0].shape()[3]);
    let scale = options.scale.unwrap_or(1.0 / (d.max(1) as f64).sqrt());
    let mut scores = matmul_with(&v[0].mul_scalar(scale)?, &v[1], false, true)?;
    if options.causal {
        let hidden = Tensor::full([n, m], f64::NEG_INFINITY, v[0].dtype());
        scores = (scores + Var::from(hidden).triu(1)?)?;
    }
    let mut weights = scores.softmax(3)?;
    if let Some(rng) = options.dropout.rng {
        weights = weights.dropout(options.dropout.p, rng)?;
    }
    weights.matmul(&v[2])
}

fn fused(v: &[Var], options: AttentionOptions) -> Result<Var> {
    attention(&v[0], &v[1], &v[2], options)
}

fn draw(shape: [usize; 4], seed: u64) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed))
}

/// q, k and v of [b, h, n, d], [b, h, m, d] and [b, h, m, dv].
fn operands([b, h, n, m, d, dv]: [usize; 6], seed: u64) -> [Tensor; 3] {
    let rng = |i| seed.wrapping_add(i);
    [
        draw([b, h, n, d], rng(0)),
        draw([b, h, m, d], rng(1)),
        draw([b, h, m, dv], rng(2)),
    ]
}

/// y and the gradients of q, k and v, as f64.
fn outcome(
    f: fn(&[Var], AttentionOptions) -> Result<Var>,
    inputs: &[Tensor],
    dtype: DType,
    options: AttentionOptions,
) -> [Vec<f64>; 4] {
    let v: Vec<Var> = inputs
        .iter()
        .map(|x| Var::leaf(x.cast(dtype).unwrap()))
        .collect();
    let y = f(&v, options).unwrap();
    let dy = Tensor::normal(y.shape(), 0.0, 1.0, DType::F64, &Rng::new(77));
    let gradients = y.backward_from(dy.cast(dtype).unwrap(), &[]).unwrap();
    let values = |x: &Tensor| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
    [
        values(y.value()),
        values(gradients.of(&v[0]).unwrap()),
        values(gradients.of(&v[1]).unwrap()),
        values(gradients.of(&v[2]).unwrap()),
    ]
}

/// The largest difference, over the largest element of what it should be, or 1.
fn off(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    let worst = got
        .iter()
        .zip(want)
        .fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs()));
    assert!(got.iter().all(|x| x.is_finite()));
    worst / largest
}

/// Roundings on the way to an element, each at most eps times the largest of its terms: those of the
/// four sums that follow one another (scores, softmax, their gradient, the result), which grow with the
/// root of their lengths, as independent roundings do, and six deviations of them. An error of a score
/// is one of its weight, so they count as often as scores are large: their deviation here is 1, and
/// practically none is beyond 6.
fn allowed([_, _, n, m, d, dv]: [usize; 6], eps: f64) -> f64 {
    let deviations = 6.0
        * [n, m, d, dv]
            .map(|terms| (terms as f64).sqrt())
            .iter()
            .sum::<f64>();
    6.0 * deviations * eps
}

fn same(sizes: [usize; 6], seed: u64, options: AttentionOptions) {
    let inputs = operands(sizes, seed);
    let want = outcome(composed, &inputs, DType::F64, options);
    let got = outcome(fused, &inputs, DType::F64, options);
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let (off, allowed) = (off(got, want), allowed(sizes, f64::EPSILON));
        assert!(
            off <= allowed,
            "{sizes:?} {options:?}, {i}: {off:e} of {allowed:e}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn is_what_it_is_composed_of(sizes in ([1usize..3, 1..3, 1..40, 1..40], [0usize..9, 1..20]), causal: bool, scale in prop::option::of(-0.5f64..0.5), p in prop_oneof![Just(0.0), Just(0.1), Just(0.5), Just(0.75)], seed: u64) {
        let ([b, h, n, m], [d, dv]) = sizes;
        let rng = Rng::new(seed).child(1);
        let dropout = Dropout { p, rng: Some(&rng) };
        // No channels make a product of no terms, which the composition has too.
        same([b, h, n, m, d, dv], seed, AttentionOptions { scale, causal, dropout });
    }

    #[test]
    fn gradient(sizes in [1usize..3, 1..3, 1..5, 1..5, 1..5, 1..4], causal: bool, p in prop_oneof![Just(0.0), 0.0f64..0.9], seed: u64) {
        let rng = Rng::new(seed).child(1);
        let dropout = Dropout { p, rng: Some(&rng) };
        let options = AttentionOptions { causal, dropout, scale: None };
        gradcheck(|v| fused(v, options), &operands(sizes, seed))?;
    }
}

/// Several blocks of queries; one head, whose queries are shared among tasks; so many keys that blocks
/// are of few rows; wide heads; more queries than keys, the last of which see all of them.
#[test]
fn blocks_and_tasks_join() {
    let rng = Rng::new(6).child(2);
    for (sizes, p) in [
        ([2, 20, 70, 70, 8, 8], 0.0),
        ([1, 1, 300, 200, 16, 33], 0.1),
        ([1, 2, 24, 9000, 4, 5], 0.5),
        ([1, 3, 90, 140, 150, 140], 0.0),
        ([1, 1, 260, 31, 32, 16], 0.3),
    ] {
        for causal in [false, true] {
            let dropout = Dropout { p, rng: Some(&rng) };
            let options = AttentionOptions {
                causal,
                dropout,
                scale: None,
            };
            same(sizes, 3, options);
        }
    }
}

/// The sizes of a small vision transformer, and one head alone.
#[test]
fn single_precision_and_any_number_of_threads() {
    let rng = Rng::new(6).child(2);
    let dropout = Dropout {
        p: 0.1,
        rng: Some(&rng),
    };
    for (sizes, options) in [
        ([2, 4, 1025, 1025, 32, 32], AttentionOptions::default()),
        (
            [2, 4, 257, 257, 64, 64],
            AttentionOptions {
                dropout,
                ..Default::default()
            },
        ),
        (
            [1, 1, 700, 700, 16, 16],
            AttentionOptions {
                causal: true,
                dropout,
                scale: None,
            },
        ),
    ] {
        // Of f32, so that both types begin with the same numbers.
        let inputs = operands(sizes, 5).map(|x| x.cast(DType::F32).unwrap());
        let run = |threads| on_threads(threads, || outcome(fused, &inputs, DType::F32, options));
        let single = run(1);
        assert!(single == run(2) && single == run(5), "{sizes:?}");
        let double = outcome(fused, &inputs, DType::F64, options);
        for (i, (got, want)) in single.iter().zip(&double).enumerate() {
            let (off, allowed) = (off(got, want), allowed(sizes, f64::from(f32::EPSILON)));
            assert!(off <= allowed, "{sizes:?}, {i}: {off:e} of {allowed:e}");
        }
    }
}

/// Scores of 1e8, whose neighbours in f32 are 8 apart, so large beside each other that one weight is 1;
/// and a score of -infinity, whose weight is 0.
#[test]
fn large_and_infinite_scores() {
    let x = |values: &[f32], shape: [usize; 4]| Tensor::from_slice(values, shape).unwrap();
    let q = x(&[1e4, -1e4, 3e4, 0.0], [1, 1, 4, 1]);
    let k = x(&[1e4, -2e4, 3e4], [1, 1, 3, 1]);
    let v = x(&[1.0, 2.0, 4.0], [1, 1, 3, 1]);
    let [y, dq, dk, dv] = outcome(fused, &[q, k, v.clone()], DType::F32, Default::default());
    let mean = f64::from(7.0f32 / 3.0);
    assert!(
        (y[3] - mean).abs() < 1e-6 && y[..3] == [4.0, 2.0, 4.0],
        "{y:?}"
    );
    assert!(
        dq[..3] == [0.0; 3] && dk.iter().all(|dk| dk.is_finite()),
        "{dq:?} {dk:?}"
    );
    let dy = Tensor::normal([4], 0.0, 1.0, DType::F64, &Rng::new(77))
        .to_vec::<f64>()
        .unwrap();
    let want = dy[0] + dy[2] + dy[3] / 3.0;
    assert!((dv[2] - want).abs() < 1e-6, "{dv:?}");
    let (q, k) = (
        x(&[1.0], [1, 1, 1, 1]),
        x(&[0.0, f32::NEG_INFINITY, 0.0], [1, 1, 3, 1]),
    );
    let one = |k: &Tensor| fused(&[&q, k, &v].map(Var::from), Default::default()).unwrap();
    assert_eq!(one(&k).to_vec::<f32>().unwrap(), [2.5]);
    // As softmax of nothing but -infinity.
    let nothing = Tensor::full([1, 1, 3, 1], f64::NEG_INFINITY, DType::F32);
    assert!(one(&nothing).to_vec::<f32>().unwrap()[0].is_nan());
}

#[test]
fn dropout_of_everything_leaves_nothing() {
    let rng = Rng::new(1);
    let dropout = Dropout {
        p: 1.0,
        rng: Some(&rng),
    };
    let options = AttentionOptions {
        dropout,
        ..Default::default()
    };
    let inputs = operands([1, 2, 5, 6, 3, 4], 1);
    let all = outcome(fused, &inputs, DType::F64, options);
    assert!(all.iter().flatten().all(|&x| x == 0.0));
    // Without a stream, as in evaluation, nothing is dropped.
    let dropout = Dropout { p: 0.5, rng: None };
    let options = AttentionOptions {
        dropout,
        ..Default::default()
    };
    let plain = outcome(fused, &inputs, DType::F64, AttentionOptions::default());
    assert!(outcome(fused, &inputs, DType::F64, options) == plain);
}

#[test]
fn only_what_is_asked_for_has_a_gradient() {
    let [q, k, v] = operands([1, 1, 3, 4, 2, 2], 2);
    let (k, [q, v]) = (Var::leaf(k), [q, v].map(Var::from));
    let y = attention(&q, &k, &v, AttentionOptions::default()).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert!(gradients.of(&k).is_some() && gradients.of(&q).is_none());
}

#[test]
fn errors() {
    let x = |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    let zeros = |shape: &[usize]| x(shape, DType::F32);
    let call = |q: &Var, k: &Var, v: &Var| attention(q, k, v, AttentionOptions::default());
    let (q, k, v) = (
        zeros(&[2, 3, 4, 5]),
        zeros(&[2, 3, 6, 5]),
        zeros(&[2, 3, 6, 7]),
    );
    let dropout = Dropout { p: 1.5, rng: None };
    let wrong = AttentionOptions {
        dropout,
        ..Default::default()
    };
    let double = x(&[2, 3, 6, 7], DType::F64);
    let cases = [
        (
            call(&zeros(&[3, 4, 5]), &k, &v),
            "attention: q expects [b, h, n, d], got [3, 4, 5] (",
        ),
        (
            call(&q, &zeros(&[2, 3, 6, 4]), &v),
            "attention: k expects [b = 2, h = 3, m > 0, d = 5], got [2, 3, 6, 4] (",
        ),
        (
            call(&q, &zeros(&[2, 3, 0, 5]), &zeros(&[2, 3, 0, 7])),
            "attention: k expects [b = 2, h = 3, m > 0, d = 5], got [2, 3, 0, 5] (",
        ),
        (
            call(&q, &k, &zeros(&[2, 3, 5, 7])),
            "attention: v expects [b = 2, h = 3, m = 6, dv], got [2, 3, 5, 7] (",
        ),
        (
            call(&q, &k, &double),
            "attention: v expects the dtype of q, f32, got f64 (",
        ),
        (
            call(&x(&[2, 3, 4, 5], DType::I64), &k, &v),
            "attention: q expects f32 or f64, got i64 (",
        ),
        (
            attention(&q, &k, &v, wrong),
            "attention: p expects a probability in 0..=1, got 1.5 (",
        ),
    ];
    assert_errors(cases, "attention.rs");
}
