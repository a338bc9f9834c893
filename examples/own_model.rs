//! A model of your own, trained by a loop of your own: LeNet on handwritten digits.
//!
//! `cargo run --release --example own_model -- [FOLDER]`, with the folder of MNIST's files;
//! built-in glyphs of the digits are drawn without.
//!
//! Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
//! recognition" (1998), with maxima and relu in place of its averages and tanh.

use wavemix::console::Stdout;
use wavemix::data::Source;
use wavemix::metrics::top_k;
use wavemix::prelude::*;

/// Two convolutions, then three linear layers.
struct LeNet(Conv2d, Conv2d, Linear, Linear, Linear);

impl Module for LeNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let LeNet(conv1, conv2, fc1, fc2, fc3) = self;
        let x = conv1.forward(pass, x)?.relu()?.max_pool2d(2)?; // [n, 14, 14, 6]
        let x = conv2.forward(pass, &x)?.relu()?.max_pool2d(2)?; // [n, 5, 5, 16]
        let x = fc1.forward(pass, &x.flatten(1)?)?.relu()?;
        fc3.forward(pass, &fc2.forward(pass, &x)?.relu()?)
    }
}

fn main() -> Result<()> {
    let data = Source::Mnist.load_or_drawn(std::env::args().nth(1), [600, 100])?;
    let (train, test) = data.loaders(32)?;
    let (model, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Ok(LeNet(
            Conv2d::new(names, "conv1", [1, 6], 5, Window::padded(2))?,
            Conv2d::new(names, "conv2", [6, 16], 5, Window::default())?,
            Linear::flattened(names, "fc1", [5, 5, 16], 120)?,
            Linear::new(names, "fc2", [120, 84])?,
            Linear::new(names, "fc3", [84, 10])?,
        ))
    })?;
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    for epoch in 0..2 {
        for batch in train.epoch(&Rng::new(1), epoch, 0)? {
            let (x, labels) = batch?.into_parts();
            optimizer.train_step(&mut params, 1.5e-3, |pass| {
                model.forward(pass, &x)?.cross_entropy(&labels)
            })?;
        }
        let mut right = 0;
        for batch in test.in_order()? {
            let (x, labels) = batch?.into_parts();
            let logits = model.forward(&Pass::eval(&params), &x)?;
            right += top_k(logits.value(), &labels.to_vec()?, 1)?;
        }
        let accuracy = 100.0 * right as f64 / test.data().len() as f64;
        writeln!(Stdout, "epoch {}: {accuracy:.2} % of the test images are read right", epoch + 1)?;
    }
    Ok(())
}
