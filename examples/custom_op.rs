//! An op of your own with two operands that broadcast, its backward rule, and the proof that the
//! rule is right.
//!
//! `cargo run --release --example custom_op`
//!
//! The op is y = sqrt(a^2 + b^2), the length of a hypotenuse. Its derivatives are a / y and b / y.

use proptest::test_runner::{Config, TestRunner};
use wavemix::autograd::Backward;
use wavemix::console::Stdout;
use wavemix::gradcheck::gradcheck;
use wavemix::prelude::*;

/// The forward pass works on constants, so that the ops inside record nothing; `Var::record` makes
/// the whole of it one node.
fn hypot(a: &Var, b: &Var) -> Result<Var> {
    let y = (a.detach().square()? + b.detach().square()?)?.sqrt()?.into_value();
    let saved = [a.value().clone(), b.value().clone(), y.clone()];
    Ok(Var::record("hypot", &[a, b], y, || Hypot { saved }))
}

/// What the op saves for its backward pass: a, b and y.
struct Hypot {
    saved: [Tensor; 3],
}

impl Backward for Hypot {
    /// da = a dy / y, db = b dy / y, each summed over the axes along which it was repeated.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let [a, b, y] = self.saved.map(Var::from);
        let slope = (Var::from(dy) / y)?;
        let gradient = |x: &Var| Ok(Some((x * &slope)?.sum_to(x.shape())?.into_value()));
        Ok(vec![gradient(&a)?, gradient(&b)?])
    }

    fn saves(&self) -> Vec<&Tensor> {
        self.saved.iter().collect()
    }
}

fn main() -> Result<()> {
    let y =
        hypot(&Tensor::full(1, 3.0, DType::F64).into(), &Tensor::full(1, 4.0, DType::F64).into());
    writeln!(Stdout, "hypot(3, 4) = {}", y?.item()?)?;
    // Against differences in f64, on shapes that proptest picks: a of [n, 1] and b of [m].
    let mut runner =
        TestRunner::new(Config { cases: 50, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(1usize..6, 1usize..6, 0u64..1000), |(n, m, seed)| {
        let draw = |shape: &[usize]| Tensor::uniform(shape, 0.5, 2.0, DType::F64, &Rng::new(seed));
        gradcheck(|v| hypot(&v[0], &v[1]), &[draw(&[n, 1]), draw(&[m])])?;
        Ok(())
    });
    outcome.map_err(|e| Error::Argument(format!("the rule is wrong: {e}")))?;
    writeln!(Stdout, "50 shapes: the backward rule agrees with differences")
}
