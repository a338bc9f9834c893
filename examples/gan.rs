//! A generative adversarial network: two networks with an optimizer each, and eight points on a
//! ring to imitate.
//!
//! `cargo run --release --example gan`
//!
//! Source: Goodfellow et al., "Generative adversarial nets" (NeurIPS 2014), with the loss of its
//! section 3 that does not saturate; in logits, -ln sigmoid(d) = softplus(-d).

use std::f64::consts::TAU;

use wavemix::console::Stdout;
use wavemix::ops::concat;
use wavemix::prelude::*;

/// Two hidden layers of 64, from points of the plane to `outputs` numbers, with their weights.
fn mlp(outputs: usize, seed: u64) -> Result<(impl Module, Params)> {
    Params::declare(DType::F32, &Rng::new(seed), |names| {
        let (a, b) = (Linear::new(names, "0", [2, 64])?, Linear::new(names, "1", [64, 64])?);
        let c = Linear::new(names, "2", [64, outputs])?;
        Ok(move |p: &Pass, x: &Var| c.forward(p, &b.forward(p, &a.forward(p, x)?.relu()?)?.relu()?))
    })
}

/// 256 points near the eight of the ring, each with an error of 0.05.
fn ring(rng: &Rng) -> Result<Var> {
    let angle = Var::from(Tensor::arange(0.0, TAU / 8.0, 256, DType::F32).reshape([256, 1])?);
    let error = Var::from(Tensor::normal([256, 2], 0.0, 0.05, DType::F32, rng));
    concat(&[&angle.cos()?, &angle.sin()?], 1)? + error
}

fn main() -> Result<()> {
    let ((g, mut g_params), (d, mut d_params)) = (mlp(2, 1)?, mlp(1, 2)?);
    let adam = Adam { betas: (0.5, 0.999), ..Adam::default() };
    let mut g_adam = Optimizer::new(adam, &g_params)?;
    let mut d_adam = Optimizer::new(adam, &d_params)?;
    for step in 0..=3000 {
        let noise = Tensor::normal([256, 2], 0.0, 1.0, DType::F32, &Rng::new(3).child(step)).into();
        let real = ring(&Rng::new(4).child(step))?;
        let fake = g.forward(&Pass::eval(&g_params), &noise)?;
        let loss = d_adam.train_step(&mut d_params, 1e-3, |pass| {
            let (real, fake) = (d.forward(pass, &real)?, d.forward(pass, &fake)?);
            (-real)?.softplus()?.mean(..)? + fake.softplus()?.mean(..)?
        })?;
        g_adam.train_step(&mut g_params, 1e-3, |pass| {
            let judged = d.forward(&Pass::eval(&d_params), &g.forward(pass, &noise)?)?;
            (-judged)?.softplus()?.mean(..)
        })?;
        if step % 500 == 0 {
            let radius = fake.norm(1)?.mean(..)?;
            writeln!(Stdout, "step {step}: mean radius {radius}, loss of the judge {loss}")?;
        }
    }
    Ok(())
}
