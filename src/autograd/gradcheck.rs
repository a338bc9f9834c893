//! Checking a gradient against the definition of one.
//!
//! A backward rule claims to know how the output moves when an input does. So move each input a
//! little, along a random direction v, and look: the derivative of the loss along v must be the dot
//! product of gradient and v. One direction tests all elements at once: errors would go unnoticed
//! only if their vector were orthogonal to v, and a v drawn at random practically never is.

use crate::{DType, Error, Result, Rng, Tensor, Var};

/// How far gradient times v and the differences may be apart, relative to max(1, norm of the
/// gradient). The formula itself errs by about 1e-12 where the loss, and its fifth derivative along
/// v, are of size 1; the rest leaves room for rounding inside f, and for larger derivatives.
const TOLERANCE: f64 = 1e-7;

/// Step h of the differences, with f the loss along v, whose length is about the root of the number
/// of elements. f(x + h) - f(x - h) is 2 h f' + h^3 f'''/3 + ..; eight times that,
/// less f(x + 2 h) - f(x - 2 h), is 12 h f', for the third derivatives cancel. What is left is an
/// error of h^4 f'''''/30 ~ 1e-16, and of eps/h ~ 1e-12 by rounding. A longer step would round
/// less, but near a pole the fifth derivative is what counts: that of ln(x) at 0.1 is 24/0.1^5.
const STEP: f64 = 1.0 / 4096.0;

/// Checks the gradients of `f` at `inputs` by finite differences, in f64.
///
/// `f` may return a tensor of any shape: the loss is its dot product with fixed random weights. It
/// must be smooth where the differences are taken, up to 0.0005 times a standard normal number to
/// each side of an element, practically never more than 0.0025: keep away from the kink of `relu`,
/// and from ties in `max`. Gradients should be of about size 1: one of a smaller norm passes with
/// any error below 1e-7.
///
/// The weights of a layer are checked by [`nn::gradcheck_params`](crate::nn::gradcheck_params).
///
/// ```
/// use wavemix::{DType, Rng, Tensor, gradcheck::gradcheck};
/// let rng = Rng::new(1);
/// let x = Tensor::normal([3, 4], 0.0, 1.0, DType::F64, &rng);
/// let w = Tensor::normal([4], 0.0, 1.0, DType::F64, &rng.stream(1));
/// gradcheck(|v| &v[0] * &v[1], &[x, w])?;
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// # Errors
/// Those of `f`; inputs that are not f64; and a gradient that is off or not finite, with the
/// input's number and both values.
#[track_caller]
pub fn gradcheck(f: impl Fn(&[Var]) -> Result<Var>, inputs: &[Tensor]) -> Result<()> {
    if let Some(other) = inputs.iter().find(|x| x.dtype() != DType::F64) {
        return Err(Error::operand("gradcheck", "inputs", "f64", other.dtype()));
    }
    let rng = Rng::new(0x6772_6164);
    let leaves: Vec<Var> = inputs.iter().cloned().map(Var::leaf).collect();
    let y = f(&leaves)?;
    let probe = Tensor::normal(y.shape(), 0.0, 1.0, DType::F64, &rng);
    let gradients = y.backward_from(probe.clone(), &[])?;
    for (i, (leaf, x)) in leaves.iter().zip(inputs).enumerate() {
        let v = Tensor::normal(x.shape(), 0.0, 1.0, DType::F64, &rng.stream(1 + i as u64));
        let claimed = gradients.of(leaf).map_or(Ok(0.0), |dx| dot(dx, &v))?;
        let seen = slope(|h| {
            let moved = x
                .to_vec::<f64>()?
                .iter()
                .zip(v.as_slice::<f64>()?)
                .map(|(x, v)| x + h * v)
                .collect();
            let mut vars: Vec<Var> = inputs.iter().map(Var::from).collect();
            vars[i] = Tensor::from_vec(moved, x.shape())?.into();
            dot(f(&vars)?.value(), &probe)
        })?;
        let norm = gradients
            .of(leaf)
            .map_or(Ok(0.0), |dx| Ok::<_, Error>(dot(dx, dx)?.sqrt()))?;
        compare(&format!("gradcheck: input {i}"), claimed, seen, norm)?;
    }
    Ok(())
}

/// The derivative of `loss` at 0, by differences.
pub(crate) fn slope(loss: impl Fn(f64) -> Result<f64>) -> Result<f64> {
    let near = loss(STEP)? - loss(-STEP)?;
    let far = loss(2.0 * STEP)? - loss(-2.0 * STEP)?;
    Ok((8.0 * near - far) / (12.0 * STEP))
}

/// Checks that a derivative along a random direction is what a gradient of this norm `claimed`: the
/// norm is about its size.
pub(crate) fn compare(what: &str, claimed: f64, seen: f64, norm: f64) -> Result<()> {
    // Written so that not-a-number is an error; an infinite gradient would have an infinite
    // tolerance.
    let right = (claimed - seen).abs() <= TOLERANCE * norm.max(1.0) && norm.is_finite();
    if right {
        return Ok(());
    }
    Err(Error::Graph(format!(
        "{what}: the gradient gives {claimed:.9e}, differences {seen:.9e}"
    )))
}

/// Checks that the backward of a linear `f` is its adjoint: <f(x), y> = <x, b(y)> for random x and
/// y, with b the backward pass, exactly but for rounding. Stronger than differences where it
/// applies.
///
/// # Errors
/// Those of `f`; and two products that differ, with both.
pub fn adjoint_check(f: impl Fn(&Var) -> Result<Var>, shape: &[usize]) -> Result<()> {
    let rng = Rng::new(0x6164_6a6f);
    let x = Var::leaf(Tensor::normal(
        Tensor::checked_shape("adjoint_check", crate::Device::Cpu, shape, DType::F64)?,
        0.0,
        1.0,
        DType::F64,
        &rng,
    ));
    let ax = f(&x)?;
    let y = Tensor::normal(ax.shape(), 0.0, 1.0, DType::F64, &rng.stream(1));
    let (forward, size) = (
        dot(ax.value(), &y)?,
        dot(ax.value(), ax.value())?.sqrt() * dot(&y, &y)?.sqrt(),
    );
    let gradients = ax.backward_from(y, &[])?;
    let backward = gradients.of(&x).map_or(Ok(0.0), |dx| dot(dx, x.value()))?;
    // The roundings of a sum add up like a random walk, in f, in b and in the products: to about
    // eps sqrt(terms) times |f(x)| |y|, which is `size`. 1e-13 is 450 eps, and 450 is the root of
    // 200,000 terms. Written so that not-a-number is an error.
    let right = (forward - backward).abs() <= 1e-13 * size.max(1.0) && size.is_finite();
    if !right {
        return Err(Error::Graph(format!(
            "adjoint_check: <f(x), y> is {forward:.15e}, <x, b(y)> is {backward:.15e}"
        )));
    }
    Ok(())
}

/// The sum of products of all elements.
pub(crate) fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(a.as_slice::<f64>()?
        .iter()
        .zip(b.as_slice::<f64>()?)
        .map(|(a, b)| a * b)
        .sum())
}
