//! Regression: a small network learns a function from noisy samples, with a loss of your own that
//! does not mind outliers.
//!
//! `cargo run --release --example regression`

use wavemix::console::Stdout;
use wavemix::prelude::*;

/// The mean of q (e - q / 2), with the error e = |y - target| and q = min(e, 1): that is e^2 / 2
/// for small errors and e - 1/2 for large ones.
fn huber(y: &Var, target: &Var) -> Result<Var> {
    let e = (y - target).and_then(|e| e.abs())?;
    let q = e.clamp(0.0, 1.0)?;
    (&q * (&e - &q / 2.0))?.mean(..)
}

fn main() -> Result<()> {
    // y = sin 3x with an error of 0.1, for 1000 numbers between -1 and 1.
    let x = Tensor::uniform([1000, 1], -1.0, 1.0, DType::F32, &Rng::new(0));
    let error = Var::from(Tensor::normal([1000, 1], 0.0, 0.1, DType::F32, &Rng::new(1)));
    let y = ((Var::from(&x) * 3.0)?.sin()? + error)?.into_value();
    let loader = Loader::new(TensorDataset::new(x, y)?, 50)?;
    let ([hidden, last], mut params) = Params::declare(DType::F32, &Rng::new(2), |names| {
        Ok([Linear::new(names, "hidden", [1, 64])?, Linear::new(names, "last", [64, 1])?])
    })?;
    let model = |pass: &Pass, x: &Var| last.forward(pass, &hidden.forward(pass, x)?.tanh()?);
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    for epoch in 0..100 {
        for batch in loader.epoch(&Rng::new(3), epoch, 0)? {
            let (x, y) = batch?.into_parts();
            optimizer.train_step(&mut params, 3e-3, |pass| huber(&model(pass, &x)?, &y.into()))?;
        }
    }
    let x = Var::from(Tensor::arange(-0.8, 0.4, 5, DType::F32).reshape([5, 1])?);
    let (y, want) = (model(&Pass::eval(&params), &x)?, (&x * 3.0)?.sin()?);
    writeln!(Stdout, "sin 3x is {}, the network says {}", want.flatten(0)?, y.flatten(0)?)
}
