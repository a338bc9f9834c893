//! An op of your own, with its own backward rule, from outside the crate.
//!
//! `cargo run --release --example custom_op`
//!
//! The op is the softplus, y = ln(1 + e^x): a smooth relu. Composed of the crate's ops it would be
//! three nodes, and e^x is infinite from x = 89 on. As one op it is stable, and its backward is a
//! line: dy/dx = sigmoid(x).

use std::process::ExitCode;

use wavemix::autograd::Backward;
use wavemix::console::{Stdout, exit_status};
use wavemix::gradcheck::gradcheck;
use wavemix::{DType, Result, Rng, Tensor, Var};

/// y = ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
///
/// The forward pass works on a constant copy of x, so that the ops inside record nothing;
/// `Var::record` then makes the whole of it one node.
fn softplus(x: &Var) -> Result<Var> {
    let constant = x.detach();
    let tail = constant.abs()?.neg()?.exp()?.add_scalar(1.0)?.log()?;
    let y = (&constant.relu()? + &tail)?.into_value();
    Ok(Var::record("softplus", &[x], y, || Softplus {
        x: x.value().clone(),
    }))
}

/// What the op saves for its backward pass: the fields are all there is.
struct Softplus {
    x: Tensor,
}

impl Backward for Softplus {
    /// dx = sigmoid(x) dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let slope = Var::from(self.x).sigmoid()?;
        Ok(vec![Some((&slope * &Var::from(dy))?.into_value())])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}

/// The same op by someone who takes tanh for the sigmoid.
fn wrong_softplus(x: &Var) -> Result<Var> {
    let y = softplus(&x.detach())?.into_value();
    Ok(Var::record("wrong_softplus", &[x], y, || Wrong {
        x: x.value().clone(),
    }))
}

struct Wrong {
    x: Tensor,
}

impl Backward for Wrong {
    /// Not the derivative.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let slope = Var::from(self.x).tanh()?;
        Ok(vec![Some((&slope * &Var::from(dy))?.into_value())])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}

fn main() -> ExitCode {
    exit_status(compare())
}

fn compare() -> Result<()> {
    let x = Var::leaf(Tensor::from_vec(
        vec![-100.0f32, -1.0, 0.0, 1.0, 100.0],
        [5],
    )?);
    let y = softplus(&x)?;
    writeln!(Stdout, "softplus  {y}")?;
    let gradients = y.sum_all()?.backward()?;
    if let Some(dx) = gradients.of(&x) {
        writeln!(Stdout, "gradient  {dx}")?;
    }

    // Is it the gradient? Differences in f64 know.
    let point = Tensor::normal([4, 3], 0.0, 2.0, DType::F64, &Rng::new(1));
    gradcheck(|v| softplus(&v[0]), std::slice::from_ref(&point))?;
    writeln!(Stdout, "gradcheck passes the right rule")?;
    match gradcheck(|v| wrong_softplus(&v[0]), &[point]) {
        Ok(()) => writeln!(
            Stdout,
            "gradcheck passed the wrong rule: this must not happen"
        ),
        Err(error) => writeln!(Stdout, "gradcheck catches the wrong one: {error}"),
    }
}
