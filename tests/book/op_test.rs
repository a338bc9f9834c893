//! The tests that chapter 4 gives to copy.

// ANCHOR: tests
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::nn::gradcheck_params;
use wavemix::prelude::*;

fn normal(shape: [usize; 2], seed: u64) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed))
}

/// An op: call yours in place of matmul and tanh. v[0] and v[1] are the two inputs.
#[test]
fn my_op_is_right() -> Result<()> {
    let inputs = [normal([4, 2], 0), normal([2, 3], 1)];
    gradcheck(|v| v[0].matmul(&v[1])?.tanh(), &inputs)
}

/// An op that is linear in its one input: stronger, and exact but for rounding.
#[test]
fn my_linear_op_is_right() -> Result<()> {
    adjoint_check(|x| x.transpose(0, 1), &[3, 4])
}

/// The weights of a layer.
#[test]
fn my_layer_is_right() -> Result<()> {
    let (layer, params) = Params::declare(DType::F64, &Rng::new(2), |names| {
        Linear::new(names, "mine", [2, 3])
    })?;
    let x = Var::from(normal([4, 2], 3));
    gradcheck_params(&params, |pass| layer.forward(pass, &x)?.gelu())
}
// ANCHOR_END: tests
