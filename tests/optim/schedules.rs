//! Schedules, norms, clipping, accumulation and moving averages.

use super::*;

#[test]
fn schedules_at_the_ends_and_between() {
    assert!((0..100).all(|step| Schedule::Constant.factor(step, 100) == 1.0));
    let thirds: Vec<f64> = [0, 99, 100, 199, 200, 299]
        .map(|step| Schedule::STEP.factor(step, 300))
        .to_vec();
    for (got, want) in thirds.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
        assert!((got - want).abs() < 1e-15, "{thirds:?}");
    }
    let halves = Schedule::Step {
        every: 0.5,
        gamma: 0.5,
    };
    assert_eq!(
        [0, 4, 5, 9].map(|step| halves.factor(step, 10)),
        [1.0, 1.0, 0.5, 0.5]
    );
    let cosine = Schedule::Cosine { warmup: 0.1 };
    assert_eq!(
        [0, 4, 9, 10, 100].map(|step| cosine.factor(step, 100)),
        [0.1, 0.5, 1.0, 1.0, 0.0]
    );
    assert!(
        (cosine.factor(55, 100) - 0.5).abs() < 1e-15,
        "half of the way down"
    );
    assert!((10..99).all(|step| cosine.factor(step + 1, 100) < cosine.factor(step, 100)));
    let last = cosine.factor(99, 100);
    assert!(
        last > 0.0 && last < 1e-3,
        "the last step still learns: {last}"
    );
    assert_eq!(cosine.factor(200, 100), 0.0, "past the end it stays at 0");
    assert_eq!(
        [0, 1].map(|step| Schedule::Cosine { warmup: 0.0 }.factor(step, 0)),
        [1.0, 0.0]
    );
}

#[test]
fn norms_leave_frozen_parameters_out_and_find_what_is_not_finite() {
    let mut params = three(DType::F32);
    let dw = gradients(&params, 0);
    let slow = |values: &[f32]| {
        values
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let all = dw.to_vec::<f32>().unwrap();
    let norm = optim::finite_norm(&params, &dw).unwrap();
    assert!((norm / slow(&all) - 1.0).abs() < 1e-13);
    let huge = Tensor::full(params.arena().shape(), 3e38, DType::F32);
    assert!(
        optim::finite_norm(&params, &huge).unwrap().is_finite(),
        "squares beyond f32 are no reason to stop"
    );

    let mut bad = all.clone();
    let place = |i: usize| params.entries()[i].offset;
    bad[place(1) + 4] = f32::NEG_INFINITY;
    bad[place(2) + 59_974] = f32::NAN;
    let bad = Tensor::from_vec(bad, params.arena().shape()).unwrap();
    let message = optim::finite_norm(&params, &bad).unwrap_err().to_string();
    assert_eq!(message, "the gradient of `b` is -inf at element 4 of 21");
    assert!(optim::norm(&params, &bad).unwrap().is_nan());
    params.set_groups(|name| Group {
        frozen: name == "b",
        ..Group::default()
    });
    let message = optim::finite_norm(&params, &bad).unwrap_err().to_string();
    assert_eq!(
        message,
        "the gradient of `c` is NaN at element 59974 of 70001"
    );
    params.set_groups(|name| Group {
        frozen: name != "a",
        ..Group::default()
    });
    assert!((optim::finite_norm(&params, &bad).unwrap() / slow(&all[..5]) - 1.0).abs() < 1e-13);

    let wide = three(DType::F64);
    let huge = Tensor::full(wide.arena().shape(), 1e200, DType::F64);
    let message = optim::finite_norm(&wide, &huge).unwrap_err().to_string();
    assert_eq!(
        message,
        "all gradients are finite, but so large that their norm is inf"
    );
}

#[test]
fn clipping() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [4], Init::Constant(1.0), FileLayout::Same))
    };
    let (_, params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
    let start = Tensor::from_vec(vec![3.0, -4.0, 0.0, 12.0], [4]).unwrap();
    let mut dw = start.clone();
    assert_eq!(optim::clip_norm(&params, &mut dw, 6.5).unwrap(), 13.0);
    let factor = 6.5 / (13.0 + 1e-6);
    assert_eq!(
        dw.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0].map(|x| x * factor)
    );
    let mut dw = start.clone();
    assert_eq!(optim::clip_norm(&params, &mut dw, 13.5).unwrap(), 13.0);
    assert_eq!(
        dw.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0],
        "small enough already"
    );
    optim::clip_value(&mut dw, 3.5).unwrap();
    assert_eq!(dw.to_vec::<f64>().unwrap(), [3.0, -3.5, 0.0, 3.5]);
    optim::scale(&mut dw, 0.5).unwrap();
    assert_eq!(dw.to_vec::<f64>().unwrap(), [1.5, -1.75, 0.0, 1.75]);
    assert_eq!(
        start.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0],
        "others that share the memory are left alone"
    );
    let mut bad = Tensor::from_vec(vec![f64::NAN, f64::INFINITY, 2.0, -2.0], [4]).unwrap();
    assert!(optim::clip_norm(&params, &mut bad, 1.0).unwrap().is_nan());
    optim::clip_value(&mut bad, 1.0).unwrap();
    let bad = bad.to_vec::<f64>().unwrap();
    assert!(bad[0].is_nan() && bad[1..] == [1.0, 1.0, -1.0]);
    let message = optim::clip_norm(&params, &mut dw, 0.0)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "the largest norm of a gradient must be positive, got 0"
    );
    let message = optim::clip_value(&mut dw, f64::NAN)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "the largest value of a gradient must be positive, got NaN"
    );
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [2], Init::Constant(1.0), FileLayout::Same))
    };
    let (x, params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
    let loss = |data: &[f64]| {
        let data = Tensor::from_slice(data, [data.len() / 2, 2]).unwrap();
        let x = Pass::train(&params, Rng::new(1)).var(x).unwrap();
        (&x * &wavemix::Var::from(data))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap()
    };
    let mut parts = loss(&[1.0, 2.0]);
    parts.accumulate(loss(&[3.0, 4.0])).unwrap();
    let mut sum = parts.flatten(&params).unwrap();
    assert_eq!(
        sum.to_vec::<f64>().unwrap(),
        loss(&[1.0, 2.0, 3.0, 4.0])
            .flatten(&params)
            .unwrap()
            .to_vec::<f64>()
            .unwrap()
    );
    optim::scale(&mut sum, 0.5).unwrap();
    assert_eq!(sum.to_vec::<f64>().unwrap(), [2.0, 3.0]);
}

#[test]
fn the_moving_average_follows_its_definition_and_comes_back() {
    let mut params = three(DType::F64);
    let mut ema = Ema::new(&params, 0.5).unwrap();
    let mut want = params.arena().to_vec::<f64>().unwrap();
    let mut mean = 0.5;
    for t in 0..20u64 {
        let weights = Tensor::normal([5], 0.0, 1.0, DType::F64, &Rng::new(t));
        params.set("a", &weights).unwrap();
        params
            .set("mean", &Tensor::full([3], t as f64, DType::F64))
            .unwrap();
        params.set("count", &Tensor::scalar(t as i64)).unwrap();
        ema.update(&params).unwrap();
        let keep = f64::min(0.5, (1.0 + t as f64) / (10.0 + t as f64));
        mean = keep * mean + (1.0 - keep) * t as f64;
        let weights = params.arena().to_vec::<f64>().unwrap();
        want.iter_mut()
            .zip(weights)
            .for_each(|(mean, w)| *mean = keep * *mean + (1.0 - keep) * w);
    }
    let before = params.clone();
    ema.swap(&mut params).unwrap();
    let close =
        |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(close(params.arena().as_slice().unwrap(), &want));
    assert!(close(
        params.get("mean").unwrap().as_slice().unwrap(),
        &[mean; 3]
    ));
    assert_eq!(params.get("count").unwrap().item().unwrap(), 19.0);
    ema.swap(&mut params).unwrap();
    assert!(params.arena().to_vec::<f64>().unwrap() == before.arena().to_vec::<f64>().unwrap());

    let state: BTreeMap<String, Tensor> = ema.state(&params).unwrap().into_iter().collect();
    let mut copy = Ema::new(&params, 0.5).unwrap();
    copy.load_state(&params, &state).unwrap();
    assert_eq!(copy.updates(), 20);
    let [mut a, mut b] = [params.clone(), params.clone()];
    ema.update(&a).unwrap();
    ema.copy_to(&mut a).unwrap();
    copy.update(&b).unwrap();
    copy.copy_to(&mut b).unwrap();
    for name in ["a", "b", "c", "mean"] {
        assert!(
            a.get(name).unwrap().to_vec::<f64>().unwrap()
                == b.get(name).unwrap().to_vec::<f64>().unwrap(),
            "{name}"
        );
    }
}
