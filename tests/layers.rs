//! Layers against PyTorch's of the same name: state dicts load by their names, values and gradients
//! agree. `goldens/layers.py` wrote the numbers.

#[path = "layers/cases.rs"]
mod cases;
#[path = "layers/errors.rs"]
mod errors;
#[path = "layers/fused.rs"]
mod fused;
#[path = "layers/golden.rs"]
mod golden;
mod helpers;
#[path = "layers/start.rs"]
mod start;

use wavemix::gradcheck::gradcheck;
use wavemix::params::{FileLayout, Init};
use wavemix::{DType, Device, Params, Pass, Precision, Rng, Tensor, Var, nn};

use cases::CASES;
use golden::{Golden, assert_near, assert_rounded, loaded, run, under};

/// Rounding of f64 in sums of up to 64 products, some of which follow one another.
const F64: f64 = 64.0 * 8.0 * f64::EPSILON;

#[test]
fn values_and_gradients_are_pytorchs() {
    for case in CASES {
        let (golden, name) = (Golden::of(case), case.name);
        let got = run(case, &golden, None, Device::Cpu);
        assert_near(name, &got.y, &golden.get(case, "output"), F64);
        for (i, dx) in got.inputs.iter().enumerate() {
            let want = golden.get(case, &format!("grad_input.{i}"));
            assert_near(&format!("{name}, input {i}"), dx, &want, F64);
        }
        for (weight, want) in under(&golden.0, "grad") {
            let what = format!("{name}, {weight}");
            assert_near(&what, &got.weights[&weight], &want, F64);
        }
        for (buffer, want) in under(&golden.0, "after") {
            let own = &got.weights[&buffer];
            assert_near(&format!("{name}, {buffer}"), own, &want, F64);
        }
    }
}

/// In bf16, from weights and inputs that are bf16 numbers, so that only what is computed from them
/// is rounded.
#[test]
fn passes_in_bf16_are_f64_rounded_a_few_times() {
    for case in CASES {
        let golden = Golden::of(case).rounded(DType::BF16);
        let want = run(case, &golden, None, Device::Cpu);
        let got = run(case, &golden, Some(Precision::Bf16), Device::Cpu);
        assert_eq!(got.y.dtype(), DType::BF16, "{}", case.name);
        assert_rounded(case, &got, &want, 2f64.powi(-9));
    }
}

#[test]
fn gradients_of_inputs_are_those_of_differences() {
    for case in CASES {
        let golden = Golden::of(case);
        let (layer, params) = loaded(case, &golden, DType::F64);
        let f = |v: &[Var]| layer(&Pass::train(&params, Rng::new(1)), v, Device::Cpu);
        gradcheck(f, &golden.inputs(case)).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

#[test]
fn gradients_of_weights_are_those_of_differences() {
    for case in CASES {
        let golden = Golden::of(case);
        let (layer, params) = loaded(case, &golden, DType::F64);
        let inputs = golden.inputs(case);
        let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
        nn::gradcheck_params(&params, |pass| layer(pass, &inputs, Device::Cpu))
            .unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

/// A weight that another path also reads, where the gradient of that is lost.
#[test]
fn a_gradient_of_a_weight_that_is_off_is_found() {
    let (weight, params) = Params::declare(DType::F64, &Rng::new(0), |names| {
        Ok(names.param("weight", [4], Init::Uniform(1.0), FileLayout::Same))
    })
    .unwrap();
    let square = |pass: &Pass, lost: bool| {
        let w = pass.var(weight)?;
        &w * &(if lost { w.detach() } else { w.clone() })
    };
    nn::gradcheck_params(&params, |pass| square(pass, false)).unwrap();
    let error = nn::gradcheck_params(&params, |pass| square(pass, true)).unwrap_err();
    let start = "gradcheck_params: `weight`: the gradient gives ";
    assert!(error.to_string().starts_with(start), "{error}");
    let single = Params::declare(DType::F32, &Rng::new(0), |_| Ok(()))
        .unwrap()
        .1;
    let error = nn::gradcheck_params(&single, |_| Ok(Tensor::scalar(1.0f64).into())).unwrap_err();
    let start = "gradcheck_params: params expects f64, got f32 (layers.rs:";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[test]
fn two_threads_give_the_bits_of_one() {
    for case in CASES {
        let golden = Golden::of(case);
        let outcome = |threads| {
            helpers::on_threads(threads, || {
                let got = run(case, &golden, Some(Precision::F32), Device::Cpu);
                let weights = got.weights.values().filter(|x| x.dtype() == DType::F32);
                let all = [&got.y].into_iter().chain(&got.inputs).chain(weights);
                all.map(|x| x.to_vec::<f32>().unwrap()).collect::<Vec<_>>()
            })
        };
        assert!(outcome(1) == outcome(2), "{}", case.name);
    }
}
