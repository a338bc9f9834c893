//! Tests of the exercises of chapter 7.

use exercises::optimizers::*;
use wavemix::optim::{Optimizer, Schedule, Sgd};
use wavemix::params::{FileLayout, Init};
use wavemix::{DType, Params, Rng, Tensor};

#[test]
fn exercise_1_nesterov_steps_as_the_library_does() {
    let (_, mut params) = Params::declare(DType::F64, &Rng::new(0), |names| {
        Ok(names.param("w", [3], Init::Constant(1.0), FileLayout::Same))
    })
    .unwrap();
    let rule = Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.0,
    };
    let mut optimizer = Optimizer::new(rule, &params).unwrap();
    let (mut w, mut v) = ([1.0; 3], [0.0; 3]);
    for step in 0..5 {
        let g = [0.5, -1.0, 2.0 + f64::from(step)];
        nesterov(&mut w, &mut v, &g, 0.9, 0.1);
        let none = wavemix::params::Updates::none();
        let g = Tensor::from_slice(&g, [3]).unwrap();
        optimizer.step_flat(&mut params, &g, none, 0.1).unwrap();
        let want = params.get("w").unwrap().to_vec::<f64>().unwrap();
        for (w, want) in w.iter().zip(want) {
            assert!(
                (w - want).abs() < 1e-13,
                "step {step}: {w}, expected {want}"
            );
        }
    }
}

#[test]
fn exercise_2_long_gradients_are_shortened_and_short_ones_are_not() {
    let mut long = [3.0, -4.0, 12.0];
    assert_eq!(clip_norm(&mut long, 1.3), 13.0);
    for (g, want) in long.iter().zip([0.3, -0.4, 1.2]) {
        assert!((g - want).abs() < 1e-15, "{g}, expected {want}");
    }
    let mut short = [0.3, -0.4];
    assert_eq!(clip_norm(&mut short, 1.0), 0.5);
    assert_eq!(short, [0.3, -0.4]);
    let mut zero = [0.0, 0.0];
    assert_eq!(clip_norm(&mut zero, 1.0), 0.0);
    assert_eq!(zero, [0.0, 0.0]);
}

#[test]
fn exercise_3_the_schedule_is_the_librarys() {
    for (warmup, total) in [(5, 100), (0, 10), (30, 200)] {
        let schedule = Schedule::Cosine {
            warmup: warmup as f64 / total as f64,
        };
        for step in 0..total {
            let (got, want) = (
                warmup_cosine(step, warmup, total),
                schedule.factor(step, total),
            );
            assert!(
                (got - want).abs() < 1e-14,
                "step {step} of {total}: {got}, expected {want}"
            );
        }
    }
}
