//! What long training is made of: a schedule, gradients of two batches a step, clipping, a running
//! mean of the weights, and checkpoints from which a run goes on bit for bit.
//!
//! `cargo run --release --example long_training -- CHECKPOINT [STEPS]`: trains up to that step, of
//! 120; started again with the same file it goes on, and ends with the bytes of a run that was
//! never stopped.

use wavemix::console::Stdout;
use wavemix::data::Source;
use wavemix::io::{checkpoint::State, weights};
use wavemix::models::Config;
use wavemix::optim::clip_norm;
use wavemix::params::Updates;
use wavemix::prelude::*;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).expect("a file for the checkpoint");
    let stop = std::env::args().nth(2).map_or(120, |n| n.parse().expect("a number of steps"));
    let (train, _) = Source::Mnist.drawn([96, 1], 0)?.loaders(16)?;
    let config = Config { channels: 1, dropout: 0.1, ..Config::parse("WaveMixLite-8/2")? };
    let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
    let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
    let mut ema = Ema::new(&params, 0.99)?;
    let mut done = 0;
    if std::fs::exists(&path).is_ok_and(|is_there| is_there) {
        let state = State::read(&path)?;
        done = state.get("step")?;
        weights::from_file(&mut params, &state.section("weights")?)?;
        optimizer.load_state(&params, &state.section("optimizer")?)?;
        ema.load_state(&params, &state.section("mean")?)?;
    }
    for step in done..stop {
        // Two batches make a step, of the 60 of an epoch.
        let mut batches = train.epoch(&Rng::new(1), step / 30, (step % 30) as usize * 2)?;
        let mut sum = Var::from(Tensor::zeros(params.arena().shape(), DType::F32));
        let mut updates = Updates::none();
        for batch in batches.by_ref().take(2) {
            let (x, labels) = batch?.into_parts();
            let pass = Pass::train(&params, Rng::new(2).child(step)).with_updates(updates)?;
            let loss = (model.forward(&pass, &x)?.cross_entropy(&labels)? / 2.0)?;
            sum = (sum + Var::from(loss.backward()?.flatten(&params)?))?;
            updates = pass.into_updates();
        }
        let mut gradients = sum.into_value();
        let norm = clip_norm(&params, &mut gradients, 1.0)?;
        let lr = 0.01 * Schedule::COSINE.factor(step, 120);
        optimizer.step_flat(&mut params, &gradients, updates, lr)?;
        ema.update(&params)?;
        if (step + 1) % 30 == 0 || step + 1 == stop {
            let mut state = State::new();
            state.put("step", step + 1);
            state.put_section("weights", weights::to_file(&params)?);
            state.put_section("optimizer", optimizer.state(&params)?);
            state.put_section("mean", ema.state(&params)?);
            state.write(&path)?;
            writeln!(Stdout, "step {step}: lr {lr:.5}, norm of the gradients {norm:.2}")?;
        }
    }
    Ok(())
}
