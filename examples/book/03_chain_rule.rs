//! Chapter 3 of the book, "The chain rule as a program": reverse-mode differentiation in 60 lines.
//!
//! `cargo run --release --example book_03_chain_rule -- [FOLDER]`, with a folder for the figure.

use std::cell::RefCell;
use std::ops::{Add, Mul, Sub};
use std::path::Path;

use wavemix::console::Stdout;
use wavemix::{Result, Rng, Tensor, Var, plots};

// ANCHOR: engine
/// A number that was computed: its value, and for each of its inputs which number that is, and the
/// derivative of this number by it.
struct Node {
    value: f64,
    inputs: Vec<(usize, f64)>,
}

/// All numbers that were computed, the oldest first.
#[derive(Default)]
struct Tape(RefCell<Vec<Node>>);

/// A number on a tape.
#[derive(Clone, Copy)]
struct Scalar<'a> {
    tape: &'a Tape,
    index: usize,
}

impl Tape {
    fn record(&self, value: f64, inputs: Vec<(usize, f64)>) -> Scalar<'_> {
        let mut nodes = self.0.borrow_mut();
        nodes.push(Node { value, inputs });
        Scalar { tape: self, index: nodes.len() - 1 }
    }

    fn leaf(&self, value: f64) -> Scalar<'_> {
        self.record(value, Vec::new())
    }
}

impl<'a> Scalar<'a> {
    fn value(self) -> f64 {
        self.tape.0.borrow()[self.index].value
    }

    fn tanh(self) -> Scalar<'a> {
        let y = self.value().tanh();
        self.tape.record(y, vec![(self.index, 1.0 - y * y)])
    }

    /// The derivative of this number by every number on the tape.
    fn backward(self) -> Vec<f64> {
        let nodes = self.tape.0.borrow();
        let mut slopes = vec![0.0; nodes.len()];
        slopes[self.index] = 1.0;
        for i in (0..=self.index).rev() {
            for &(input, local) in &nodes[i].inputs {
                slopes[input] += slopes[i] * local;
            }
        }
        slopes
    }
}

impl<'a> Add for Scalar<'a> {
    type Output = Scalar<'a>;
    fn add(self, b: Scalar<'a>) -> Scalar<'a> {
        self.tape.record(self.value() + b.value(), vec![(self.index, 1.0), (b.index, 1.0)])
    }
}

impl<'a> Sub for Scalar<'a> {
    type Output = Scalar<'a>;
    fn sub(self, b: Scalar<'a>) -> Scalar<'a> {
        self.tape.record(self.value() - b.value(), vec![(self.index, 1.0), (b.index, -1.0)])
    }
}

impl<'a> Mul for Scalar<'a> {
    type Output = Scalar<'a>;
    fn mul(self, b: Scalar<'a>) -> Scalar<'a> {
        let (x, y) = (self.value(), b.value());
        self.tape.record(x * y, vec![(self.index, y), (b.index, x)])
    }
}
// ANCHOR_END: engine

// ANCHOR: neuron
/// The loss of one neuron, (tanh(w x + b) - t)^2.
fn loss<'a>(tape: &'a Tape, w: Scalar<'a>, b: Scalar<'a>) -> Scalar<'a> {
    let (x, t) = (tape.leaf(2.0), tape.leaf(1.0));
    let y = (w * x + b).tanh();
    let e = y - t;
    e * e
}

fn one_neuron() -> Result<()> {
    let tape = Tape::default();
    let (w, b) = (tape.leaf(0.5), tape.leaf(-0.3));
    let loss_here = loss(&tape, w, b);
    let slopes = loss_here.backward();
    writeln!(Stdout, "loss {:.6}", loss_here.value())?;
    writeln!(Stdout, "dloss/dw {:.6}, dloss/db {:.6}", slopes[w.index], slopes[b.index])?;

    // The definition of a derivative, with a small step in place of the limit.
    let h = 1e-5;
    let at = |w: f64| {
        let tape = Tape::default();
        loss(&tape, tape.leaf(w), tape.leaf(-0.3)).value()
    };
    writeln!(Stdout, "by differences: dloss/dw {:.6}", (at(0.5 + h) - at(0.5 - h)) / (2.0 * h))
}
// ANCHOR_END: neuron

// ANCHOR: network
/// Neurons that read the same inputs. Each has a weight for every input, and one number to add.
fn layer<'a>(inputs: &[Scalar<'a>], weights: &[Scalar<'a>]) -> Vec<Scalar<'a>> {
    let neurons = weights.chunks(inputs.len() + 1);
    neurons
        .map(|w| {
            let terms = inputs.iter().zip(w).map(|(&x, &w)| w * x);
            terms.fold(w[inputs.len()], |sum, term| sum + term).tanh()
        })
        .collect()
}

/// Exclusive or: -1 and 1 stand for false and true.
const TABLE: [([f64; 2], f64); 4] =
    [([-1.0, -1.0], -1.0), ([-1.0, 1.0], 1.0), ([1.0, -1.0], 1.0), ([1.0, 1.0], -1.0)];

fn exclusive_or() -> Result<()> {
    // Three hidden neurons of three numbers each, and one that reads them, of four.
    let mut rng = Rng::new(1);
    let mut weights: Vec<f64> = (0..13).map(|_| rng.normal()).collect();
    for step in 0..=200 {
        let tape = Tape::default();
        let w: Vec<Scalar> = weights.iter().map(|&w| tape.leaf(w)).collect();
        let mut loss = tape.leaf(0.0);
        let mut answers = Vec::new();
        for (inputs, target) in TABLE {
            let hidden = layer(&inputs.map(|x| tape.leaf(x)), &w[..9]);
            let y = layer(&hidden, &w[9..])[0];
            let e = y - tape.leaf(target);
            loss = loss + e * e;
            answers.push(y.value());
        }
        if step % 50 == 0 {
            writeln!(Stdout, "step {step:3}: loss {:.4}, answers {answers:.2?}", loss.value())?;
        }
        let slopes = loss.backward();
        for (weight, w) in weights.iter_mut().zip(&w) {
            *weight -= 0.1 * slopes[w.index];
        }
    }
    Ok(())
}
// ANCHOR_END: network

// ANCHOR: library
/// The same neuron with the library's `Var`, drawn with values and derivatives.
fn draw(folder: &Path) -> Result<()> {
    let leaf = |value: f64| Var::leaf(Tensor::scalar(value));
    let [w, x, b, t] = [0.5, 2.0, -0.3, 1.0].map(leaf);
    let p = (&w * &x)?;
    let u = (&p + &b)?;
    let y = u.tanh()?;
    let e = (&y - &t)?;
    let loss = (&e * &e)?;
    let gradients = loss.backward_keeping(&[&p, &u, &y, &e, &loss])?;
    let named = [("w", &w), ("x", &x), ("b", &b), ("t", &t), ("p", &p), ("u", &u), ("y", &y)];
    let mut graph = loss.graph();
    for (name, var) in named.into_iter().chain([("e", &e), ("L", &loss)]) {
        let slope = gradients.of(var).map_or(Ok(0.0), Tensor::item)?;
        let text = format!("{name} = {:.3}, dL/d{name} = {slope:.3}", var.item()?);
        graph = graph.with_label(var, text)?;
    }
    plots::graph(folder.join("03_graph.svg"), &graph)
}
// ANCHOR_END: library

fn main() -> Result<()> {
    one_neuron()?;
    exclusive_or()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
