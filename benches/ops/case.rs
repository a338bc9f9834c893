//! An op with operands, and the times of its two directions.

use std::time::{Duration, Instant};

use wavemix::{Result, Rng, Tensor, Var};

/// An op with operands.
pub struct Case {
    pub name: String,
    /// Floating-point operations of its products.
    pub flops: f64,
    pub operands: Vec<Var>,
    pub run: Run,
    pub backward: Needs,
}

pub type Run = Box<dyn Fn(&[Var]) -> Result<Var> + Send + Sync>;

/// What a backward rule reads and writes.
#[derive(Clone, Copy)]
pub enum Needs {
    /// The operands again and dy; writes their gradients.
    Operands,
    /// The same, but forward and backward read all of them twice: sums over all of them come first.
    OperandsTwice,
    /// dy; writes the operands' gradients.
    Dy,
    /// Nothing: dy itself is the gradient.
    Nothing,
}

/// Seconds of each call.
#[derive(Default)]
pub struct Times {
    pub forward: Vec<f64>,
    pub backward: Vec<f64>,
}

impl Case {
    /// Forward and backward in turns: five times each at least, and for this long. An output without
    /// a computation graph has no backward pass.
    pub fn times(&self, time: Duration) -> Result<Times> {
        let mut times = Times::default();
        let mut y = (self.run)(&self.operands)?;
        let dy = Tensor::normal(y.shape(), 0.0, 1.0, y.dtype(), &Rng::new(5));
        if y.requires_grad() {
            y.backward_from(dy.clone(), &[])?;
        }
        let began = Instant::now();
        while times.forward.len() < 5 || began.elapsed() < time {
            drop(y);
            let start = Instant::now();
            y = (self.run)(&self.operands)?;
            times.forward.push(start.elapsed().as_secs_f64());
            if !y.requires_grad() {
                continue;
            }
            // Of its own, so that a rule may write into it.
            let own = Var::from(&dy).mul_scalar(1.0)?.into_value();
            let start = Instant::now();
            let gradients = y.backward_from(own, &[])?;
            times.backward.push(start.elapsed().as_secs_f64());
            drop(gradients);
        }
        Ok(times)
    }

    /// Bytes that must be read and written, forward and backward, with an output of so many.
    pub fn moved(&self, output: usize) -> [usize; 2] {
        let bytes = |operands: &mut dyn Iterator<Item = &Var>| -> usize {
            operands.map(|operand| operand.value().bytes()).sum()
        };
        let inputs = bytes(&mut self.operands.iter());
        let gradients = bytes(&mut self.operands.iter().filter(|v| v.requires_grad()));
        match self.backward {
            Needs::Operands => [inputs + output, inputs + output + gradients],
            Needs::OperandsTwice => [2 * inputs + output, 2 * (inputs + output) + gradients],
            Needs::Dy => [inputs + output, output + gradients],
            Needs::Nothing => [inputs + output, 0],
        }
    }
}
