//! A transformer: blocks of attention, layer norm and two linear layers learn to reverse sequences.
//!
//! `cargo run --release --example transformer`
//!
//! Source: Vaswani et al., "Attention is all you need" (NeurIPS 2017), the encoder, with the norms
//! before attention and MLP as in GPT-2, and learned positions.

use wavemix::console::Stdout;
use wavemix::prelude::*;

const LENGTH: usize = 12;
const TOKENS: usize = 16;
const WIDTH: usize = 32;

/// x + attention(norm(x)), then x + mlp(norm(x)).
fn block(names: &mut Names) -> Result<Sequential> {
    let attention = Sequential::new()
        .then(LayerNorm::new(names, "norm1", WIDTH)?)
        .then(MultiHeadAttention::new(names, "attention", WIDTH, 4)?);
    let mlp = Sequential::new()
        .then(LayerNorm::new(names, "norm2", WIDTH)?)
        .then(Linear::new(names, "mlp.0", [WIDTH, 4 * WIDTH])?)
        .then(|_: &Pass, x: &Var| x.gelu())
        .then(Linear::new(names, "mlp.2", [4 * WIDTH, WIDTH])?);
    Ok(Sequential::new()
        .then(move |pass: &Pass, x: &Var| x + attention.forward(pass, x)?)
        .then(move |pass: &Pass, x: &Var| x + mlp.forward(pass, x)?))
}

/// A sequence of random tokens, and the same from its end to its beginning.
struct Reversed(u64);

impl Dataset for Reversed {
    fn len(&self) -> usize {
        8000
    }

    fn sample(&self, i: usize) -> Result<Sample> {
        let rng = Rng::new(self.0).child(i as u64);
        let input = Tensor::uniform(LENGTH, 0.0, TOKENS as f64, DType::I64, &rng);
        Ok(Sample { target: Var::from(&input).flip(0)?.into_value(), input })
    }
}

fn main() -> Result<()> {
    let (model, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        let token = Embedding::new(names, "token", [TOKENS, WIDTH])?;
        let place = Embedding::new(names, "place", [LENGTH, WIDTH])?;
        let places = Tensor::arange(0.0, 1.0, LENGTH, DType::I64);
        Ok(Sequential::new()
            .then(move |p: &Pass, x: &Var| token.forward(p, x)? + place.look_up(p, &places)?)
            .then(block(&mut names.within("0"))?)
            .then(block(&mut names.within("1"))?)
            .then(Linear::new(names, "head", [WIDTH, TOKENS])?))
    })?;
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    for (step, batch) in Loader::new(Reversed(1), 32)?.epoch(&Rng::new(2), 0, 0)?.enumerate() {
        let (x, y) = batch?.into_parts(); // [n, length]
        let loss = optimizer
            .train_step(&mut params, 2e-3, |pass| model.forward(pass, &x)?.cross_entropy(&y))?;
        if step % 50 == 0 {
            writeln!(Stdout, "step {step}: loss {loss}")?;
        }
    }
    let (x, y) = Loader::new(Reversed(3), 1000)?.in_order()?.next().expect("a batch")?.into_parts();
    let answer = model.forward(&Pass::eval(&params), &x)?.value().argmax(2)?;
    let right = Var::from(answer.eq(&y)?.cast(DType::F32)?).mean(..)?.item()?;
    writeln!(Stdout, "{:.2} % of the tokens of new sequences are right", 100.0 * right)
}
