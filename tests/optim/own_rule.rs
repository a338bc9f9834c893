//! An optimizer of a user's own.

use super::*;
use wavemix::optim::{Rule, Step};
use wavemix::{Error, Float, Result};

/// Momentum SGD, written again from outside.
#[derive(Clone)]
struct Heavy {
    momentum: f64,
}

impl Rule for Heavy {
    fn name(&self) -> &str {
        "heavy"
    }

    fn moments(&self) -> &[&'static str] {
        &["velocity"]
    }

    fn check(&self) -> Result<()> {
        if (0.0..1.0).contains(&self.momentum) {
            return Ok(());
        }
        Err(Error::Argument(format!(
            "heavy: momentum {} is not in 0..1",
            self.momentum
        )))
    }

    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]) {
        let [v] = moments else {
            unreachable!("one moment")
        };
        let (lr, momentum) = (T::from_f64(step.lr), T::from_f64(self.momentum));
        for ((w, v), &dw) in w.iter_mut().zip(v.iter_mut()).zip(dw) {
            *v = momentum * *v + dw;
            *w = *w - lr * *v;
        }
    }
}

/// The weights after five steps, on so many threads.
fn trained(rule: impl Into<optim::AnyRule> + Send, dtype: DType, threads: usize) -> Vec<f64> {
    on_threads(threads, || {
        let mut params = three(dtype);
        params.set_groups(|name| Group {
            lr_scale: if name == "a" { 0.5 } else { 1.0 },
            frozen: name == "b",
            ..Group::default()
        });
        let mut optimizer = Optimizer::new(rule, &params).unwrap();
        for t in 0..5 {
            let dw = gradients(&params, t);
            optimizer
                .step_flat(&mut params, &dw, Updates::none(), 0.01)
                .unwrap();
        }
        let names: Vec<String> = optimizer
            .state(&params)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
        let arena = params.arena().cast(DType::F64).unwrap();
        arena.to_vec::<f64>().unwrap()
    })
}

#[test]
fn a_rule_from_outside_trains_as_the_one_inside() {
    for dtype in [DType::F32, DType::F64] {
        let own = trained(Heavy { momentum: 0.9 }, dtype, 1);
        assert_eq!(own, trained(Heavy { momentum: 0.9 }, dtype, 4), "{dtype}");
        assert_eq!(own, trained(Sgd::default(), dtype, 1), "{dtype}");
    }
}

#[test]
fn a_rule_from_outside_has_names_settings_and_a_state() {
    let mut params = three(DType::F32);
    let refused = Optimizer::new(Heavy { momentum: 1.0 }, &params);
    assert_eq!(
        refused.err().unwrap().to_string(),
        "heavy: momentum 1 is not in 0..1"
    );
    let rule = Heavy { momentum: 0.5 };
    let mut optimizer = Optimizer::new(rule.clone(), &params).unwrap();
    assert_eq!(optimizer.rule_name(), "heavy");
    for t in 0..2 {
        let dw = gradients(&params, t);
        optimizer
            .step_flat(&mut params, &dw, Updates::none(), 0.01)
            .unwrap();
    }
    let state: BTreeMap<String, Tensor> = optimizer.state(&params).unwrap().into_iter().collect();
    assert!(state.contains_key("velocity.c"));
    let mut copy = (params.clone(), Optimizer::new(rule, &params).unwrap());
    copy.1.load_state(&copy.0, &state).unwrap();
    let dw = gradients(&params, 2);
    for (params, optimizer) in [(&mut params, &mut optimizer), (&mut copy.0, &mut copy.1)] {
        optimizer
            .step_flat(params, &dw, Updates::none(), 0.01)
            .unwrap();
    }
    assert_eq!(
        params.arena().to_vec::<f32>().unwrap(),
        copy.0.arena().to_vec::<f32>().unwrap()
    );
}

#[test]
fn a_learning_rate_alone_is_options_enough_and_dropout_changes_from_step_to_step() {
    let (id, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Ok(names.param("w", 64, Init::Constant(1.0), FileLayout::Same))
    })
    .unwrap();
    let mut optimizer = Optimizer::new(Sgd::default(), &params).unwrap();
    let mut losses = Vec::new();
    for _ in 0..3 {
        let loss = optimizer.train_step(&mut params, 0.0, |pass| {
            let rng = pass.rng().expect("a training pass has random numbers");
            pass.var(id)?.dropout(0.5, &rng)?.square()?.sum(..)
        });
        losses.push(loss.unwrap().item().unwrap());
    }
    assert!(
        losses[0] != losses[1] || losses[1] != losses[2],
        "{losses:?}"
    );
}

/// A rule whose moments cannot be told apart in a checkpoint.
struct Twins;

impl Rule for Twins {
    fn name(&self) -> &str {
        "twins"
    }

    fn moments(&self) -> &[&'static str] {
        &["a", "b", "a"]
    }

    fn update<T: Float>(&self, _: &Step, _: &mut [T], _: &[T], _: &mut [&mut [T]]) {}
}

#[test]
fn moments_have_names_of_their_own() {
    let refused = Optimizer::new(Twins, &three(DType::F32));
    assert_eq!(
        refused.err().unwrap().to_string(),
        "twins: two of its moments are called `a`"
    );
}
