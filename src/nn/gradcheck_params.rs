//! Checking the gradients of a layer's weights.

use crate::autograd::gradcheck::{compare, dot, slope};
use crate::{DType, Error, Params, Pass, Result, Rng, Tensor, Var};

/// Checks the gradients of every weight of a layer or a model by finite differences, in f64, as
/// [`gradcheck`](crate::gradcheck::gradcheck) does those of inputs.
///
/// `f` is a training pass, such as `layer.forward(pass, &x)`, and may return a tensor of any shape.
/// It is called once, and four times for each parameter, always with the same random numbers, so
/// dropout drops the same elements. Frozen parameters are constants and are not checked. The
/// weights must not lie at a kink, as the scale before a `relu` of zeros does.
///
/// ```
/// use wavemix::{DType, Module, Params, Rng, Tensor, Var, nn::{self, Linear}};
/// let rng = Rng::new(0);
/// let (layer, params) = Params::declare(DType::F64, &rng, |names| Linear::new(names, "layer", [4, 3]))?;
/// let x: Var = Tensor::normal([5, 4], 0.0, 1.0, DType::F64, &rng).into();
/// nn::gradcheck_params(&params, |pass| layer.forward(pass, &x)?.gelu())?;
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// # Errors
/// Those of `f`; weights that are not f64; and a gradient that is off or not finite, with the
/// parameter's name and both values.
#[track_caller]
pub fn gradcheck_params(params: &Params, f: impl Fn(&Pass) -> Result<Var>) -> Result<()> {
    if params.dtype() != DType::F64 {
        let got = params.dtype();
        return Err(Error::operand("gradcheck_params", "params", "f64", got));
    }
    let rng = Rng::new(0x7061_7261);
    let y = f(&Pass::train(params, rng.clone()))?;
    let probe = Tensor::normal(y.shape(), 0.0, 1.0, DType::F64, &rng.stream(1));
    let gradients = y.backward_from(probe.clone(), &[])?;
    for (i, entry) in params.entries().iter().enumerate() {
        if entry.group.frozen {
            continue;
        }
        let (x, dx) = (params.get(&entry.name)?, params.id(&entry.name)?);
        let dx = match gradients.of_param(params, dx) {
            Some(dx) => dx.clone(),
            None => Tensor::zeros(entry.shape, DType::F64),
        };
        let v = Tensor::normal(entry.shape, 0.0, 1.0, DType::F64, &rng.stream(2 + i as u64));
        let seen = slope(|h| {
            let moved = x.as_slice::<f64>()?.iter().zip(v.as_slice::<f64>()?);
            let moved = moved.map(|(x, v)| x + h * v).collect();
            let mut params = params.clone();
            params.set(&entry.name, &Tensor::from_vec(moved, entry.shape)?)?;
            dot(f(&Pass::train(&params, rng.clone()))?.value(), &probe)
        })?;
        let what = format!("gradcheck_params: `{}`", entry.name);
        compare(&what, dot(&dx, &v)?, seen, dot(&dx, &dx)?.sqrt())?;
    }
    Ok(())
}
