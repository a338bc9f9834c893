//! Steps that a GPU skips, as a gradient is not finite.

use wavemix::models::Config;
use wavemix::nn::BatchNorm;
use wavemix::optim::{Method, Optimizer};
use wavemix::params::Updates;
use wavemix::{DType, Module, Params, Rng, Tensor};

use crate::harness::gpu;
use crate::helpers::laid_out;

#[test]
fn an_infinite_gradient_leaves_out_the_step_and_halves_the_scale() {
    let Some(gpu) = gpu() else { return };
    let (_, mut params) = Config::parse("WaveMixLite-8/1")
        .unwrap()
        .build(DType::F32, &Rng::new(1))
        .unwrap();
    params.to_device(gpu).unwrap();
    let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params)
        .unwrap()
        .with_loss_scaling()
        .unwrap();
    let before = params.arena().to_vec::<f32>().unwrap();
    let mut gradients = vec![1.0; params.count()];
    gradients[17] = f64::INFINITY;
    let bad = laid_out(&params, &gradients).to_device(gpu).unwrap();
    optimizer
        .step_flat(&mut params, &bad, Updates::none(), 1e-3)
        .unwrap();
    let progress = optimizer.progress().unwrap();
    assert_eq!(
        (progress.steps, progress.skipped, progress.loss_scale),
        (0, 1, 32768.0)
    );
    assert_eq!(params.arena().to_vec::<f32>().unwrap(), before);
    gradients[17] = 1.0;
    let good = laid_out(&params, &gradients).to_device(gpu).unwrap();
    optimizer
        .step_flat(&mut params, &good, Updates::none(), 1e-3)
        .unwrap();
    assert_eq!(optimizer.steps().unwrap(), 1);
    assert_ne!(params.arena().to_vec::<f32>().unwrap(), before);
    // A checkpoint carries all of it over.
    let state = optimizer.state(&params).unwrap().into_iter().collect();
    let mut copy = Optimizer::new("adamw".parse::<Method>().unwrap(), &params)
        .unwrap()
        .with_loss_scaling()
        .unwrap();
    copy.load_state(&params, &state).unwrap();
    assert_eq!(copy.progress().unwrap(), optimizer.progress().unwrap());
}

/// With and without a loss scale. As with PyTorch's `GradScaler`, BatchNorm's running statistics
/// move with each forward pass, whether the step behind it is skipped or not.
#[test]
fn a_skipped_step_leaves_weights_and_moves_batchnorms_statistics() {
    let Some(gpu) = gpu() else { return };
    for scaled in [false, true] {
        let (norm, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
            BatchNorm::new(names, "norm", 1)
        })
        .unwrap();
        params.to_device(gpu).unwrap();
        let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
        if scaled {
            optimizer = optimizer.with_loss_scaling().unwrap();
        }
        let x = Tensor::from_vec(vec![1.0f32, 5.0], [2, 1]).unwrap();
        let x = x.to_device(gpu).unwrap();
        let arena = |params: &Params| params.arena().to_vec::<f32>().unwrap();
        let moments = |optimizer: &Optimizer, params: &Params| -> Vec<f64> {
            let state = optimizer.state(params).unwrap();
            let moments = state.iter().filter(|(name, _)| name.contains("norm."));
            moments.map(|(_, x)| x.item().unwrap()).collect()
        };
        let before = arena(&params);

        // A loss of infinite slope: the gradient of the bias is infinite.
        optimizer
            .train_step(&mut params, 1e-3, |pass| {
                let y = norm.forward(pass, &(&x).into())?;
                y.mul_scalar(f64::INFINITY)?.sum_all()
            })
            .unwrap();
        let progress = optimizer.progress().unwrap();
        assert_eq!((progress.steps, progress.skipped), (0, 1), "{scaled}");
        assert_eq!(progress.loss_scale, if scaled { 32768.0 } else { 1.0 });
        assert_eq!(arena(&params), before);
        assert_eq!(moments(&optimizer, &params), [0.0; 4]);
        // A tenth of the way from 0 to the mean, 3, and from 1 to the unbiased variance, 8.
        let near = |name: &str, want: f64| {
            let got = params.get(name).unwrap().item().unwrap();
            let bound = 2.0 * f64::from(f32::EPSILON) * want;
            assert!((got - want).abs() <= bound, "{name}: {got}, not {want}");
        };
        near("norm.running_mean", 0.3);
        near("norm.running_var", 1.7);
        assert_eq!(
            params
                .get("norm.num_batches_tracked")
                .unwrap()
                .item()
                .unwrap(),
            1.0
        );

        optimizer
            .train_step(&mut params, 1e-3, |pass| {
                norm.forward(pass, &(&x).into())?.sum_all()
            })
            .unwrap();
        let progress = optimizer.progress().unwrap();
        assert_eq!((progress.steps, progress.skipped), (1, 1), "{scaled}");
        assert_ne!(arena(&params), before);
        assert_eq!(
            params
                .get("norm.num_batches_tracked")
                .unwrap()
                .item()
                .unwrap(),
            2.0
        );
    }
}
