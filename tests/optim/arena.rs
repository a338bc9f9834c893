//! The elements of the arena between two parameters: they belong to none, stay 0, and count
//! nowhere.

use super::*;
use wavemix::io::checkpoint::State;

/// The elements of no parameter.
fn between(params: &Params, flat: &Tensor) -> Vec<f64> {
    let mut flat = flat.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
    for entry in params.entries().iter().rev() {
        flat.drain(entry.offset..entry.offset + entry.shape.elements());
    }
    flat
}

/// Whatever is done to weights and gradients: every rule, decay, clipping, scaling, averages.
#[test]
fn elements_between_parameters_stay_0() {
    for dtype in [DType::F32, DType::F64] {
        for method in methods() {
            let mut params = three(dtype);
            let mut optimizer = Optimizer::new(method, &params).unwrap();
            let mut ema = Ema::new(&params, 0.5).unwrap();
            for t in 0..5 {
                let mut dw = gradients(&params, t);
                optim::clip_norm(&params, &mut dw, 1.0).unwrap();
                optim::clip_value(&mut dw, 1e-3).unwrap();
                optim::scale(&mut dw, 3.0).unwrap();
                assert_eq!(between(&params, &dw), [0.0; 22]);
                optimizer
                    .step_flat(&mut params, &dw, Updates::none(), 0.1)
                    .unwrap();
                ema.update(&params).unwrap();
            }
            assert_eq!(between(&params, params.arena()), [0.0; 22], "{method:?}");
            ema.copy_to(&mut params).unwrap();
            assert_eq!(between(&params, params.arena()), [0.0; 22], "{method:?}");
        }
    }
}

/// The norm has the bits of a norm of the same gradients side by side, as they lay before
/// parameters began at multiples of 16: training with clipping gives the same weights as then.
#[test]
fn a_norm_has_the_bits_that_it_has_without_gaps() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [70_027], Init::Constant(0.0), FileLayout::Same))
    };
    for dtype in [DType::F32, DType::F64] {
        let params = three(dtype);
        let (_, dense) = Params::declare(dtype, &Rng::new(0), declare).unwrap();
        for t in 0..5 {
            let dw = gradients(&params, t);
            let drawn = Tensor::normal([70_027], 0.0, 1.0, DType::F64, &Rng::new(8).child(t));
            let want = optim::norm(&dense, &drawn.cast(dtype).unwrap()).unwrap();
            assert_eq!(optim::norm(&params, &dw).unwrap(), want);
        }
    }
}

/// A checkpoint has each parameter by its name and in its own shape, so one that was written when
/// parameters lay side by side is read: this one is put together without an arena.
#[test]
fn checkpoints_know_nothing_of_gaps() {
    let path = std::env::temp_dir().join(format!("wavemix-gaps-{}", std::process::id()));
    let mut state = State::new();
    let (mut optimizer, mut mean) = (Vec::new(), Vec::new());
    for (i, (name, shape)) in [("a", vec![5]), ("b", vec![3, 7]), ("c", vec![70_001])]
        .into_iter()
        .enumerate()
    {
        let value = |k: usize| Tensor::full(&shape[..], (10 * i + k) as f64, DType::F32);
        optimizer.push((format!("first_moment.{name}"), value(1)));
        optimizer.push((format!("second_moment.{name}"), value(2)));
        mean.push((format!("mean.{name}"), value(3)));
    }
    optimizer.push(("step".to_owned(), Tensor::scalar(7i64)));
    mean.push(("step".to_owned(), Tensor::scalar(9i64)));
    mean.push(("mean.mean".to_owned(), Tensor::zeros([3], DType::F32)));
    mean.push(("mean.count".to_owned(), Tensor::scalar(4i64)));
    state.put_section("optimizer", optimizer.clone());
    state.put_section("mean", mean.clone());
    state.write(&path).unwrap();

    let (state, params) = (State::read(&path).unwrap(), three(DType::F32));
    std::fs::remove_file(&path).unwrap();
    let mut adamw = Optimizer::new(AdamW::default(), &params).unwrap();
    let mut ema = Ema::new(&params, 0.9).unwrap();
    adamw
        .load_state(&params, &state.section("optimizer").unwrap())
        .unwrap();
    ema.load_state(&params, &state.section("mean").unwrap())
        .unwrap();
    let sorted = |state: Vec<(String, Tensor)>| -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let state: BTreeMap<String, Tensor> = state.into_iter().collect();
        let numbers = |x: Tensor| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
        let rows = state.into_iter();
        rows.map(|(name, x)| (name, x.shape().to_vec(), numbers(x)))
            .collect()
    };
    assert_eq!(sorted(adamw.state(&params).unwrap()), sorted(optimizer));
    assert_eq!(sorted(ema.state(&params).unwrap()), sorted(mean));
}

/// As many parameters in all, but of other shapes, so that the arena is longer.
#[test]
fn an_optimizer_is_for_one_layout() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [70_027], Init::Constant(0.0), FileLayout::Same))
    };
    let (_, mut dense) = Params::declare(DType::F32, &Rng::new(0), declare).unwrap();
    let mut optimizer = Optimizer::new(AdamW::default(), &three(DType::F32)).unwrap();
    let dw = Tensor::zeros([70_027], DType::F32);
    let step = optimizer.step_flat(&mut dense, &dw, Updates::none(), 0.1);
    let expected = "optimizer: params expects 70027 parameters of f32 on cpu, as it was made for, got 70027 parameters of f32 on cpu, of other shapes";
    helpers::assert_error(step, expected);
}
