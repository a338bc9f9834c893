//! Chapter 6 of the book, "Going deeper": how weights begin, BatchNorm, residuals and dropout.
//!
//! `cargo run --release --example book_06_deeper -- [FOLDER]`, with a folder for the figure.

use std::path::Path;

use wavemix::console::Stdout;
use wavemix::plots::{Axes, Style, Svg};
use wavemix::prelude::*;

// ANCHOR: spread
/// The root mean square of the activations after each of 12 layers of 128 neurons, all followed by
/// relu, with weights of mean 0 and this standard deviation.
fn spread(std: f64) -> Result<Vec<f64>> {
    let rng = Rng::new(0);
    let mut x = Var::from(Tensor::normal([256, 128], 0.0, 1.0, DType::F64, &rng));
    let mut sizes = Vec::new();
    for layer in 1..=12 {
        let w = Tensor::normal([128, 128], 0.0, std, DType::F64, &rng.child(layer));
        x = x.matmul(&w.into())?.relu()?; // [256, 128] x [128, 128] -> [256, 128]
        sizes.push(x.square()?.mean(..)?.item()?.sqrt());
    }
    Ok(sizes)
}

/// Name, and standard deviation for a fan-in of n.
const STARTS: [(&str, fn(f64) -> f64); 4] = [
    ("0.2, whatever n", |_| 0.2),
    ("sqrt(2 / n)", |n| (2.0 / n).sqrt()),
    ("1 / sqrt(3 n)", |n| 1.0 / (3.0 * n).sqrt()),
    ("1 / n", |n| 1.0 / n),
];

fn spreads() -> Result<()> {
    for (name, std) in STARTS {
        let sizes = spread(std(128.0))?;
        let [a, b, c] = [sizes[0], sizes[5], sizes[11]];
        writeln!(Stdout, "std {name:<16} after layer 1: {a:.1e}, 6: {b:.1e}, 12: {c:.1e}")?;
    }
    Ok(())
}
// ANCHOR_END: spread

// ANCHOR: batch_norm
/// The gradient of one channel through y = (x - mean) / sqrt(var + eps): three terms.
fn batch_norm_backward(x: &[f64], dy: &[f64], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let inv = 1.0 / (var + eps).sqrt();
    let y: Vec<f64> = x.iter().map(|x| (x - mean) * inv).collect();
    let mean_dy = dy.iter().sum::<f64>() / n;
    let mean_dy_y = dy.iter().zip(&y).map(|(dy, y)| dy * y).sum::<f64>() / n;
    dy.iter().zip(&y).map(|(dy, y)| inv * (dy - mean_dy - y * mean_dy_y)).collect()
}

/// The same by the chain rule, op by op.
fn compare() -> Result<()> {
    let x = Var::leaf(Tensor::normal([6], 3.0, 2.0, DType::F64, &Rng::new(1)));
    let dy = Tensor::normal([6], 0.0, 1.0, DType::F64, &Rng::new(2));
    let centred = (&x - x.mean_keep(0)?)?;
    let var = centred.square()?.mean_keep(0)?;
    let y = (centred / (var + 1e-5)?.sqrt()?)?;
    let gradients = y.backward_from(dy.clone(), &[])?;
    let ours = batch_norm_backward(x.value().as_slice()?, dy.as_slice()?, 1e-5);
    writeln!(Stdout, "three terms: {ours:.4?}")?;
    match gradients.of(&x) {
        Some(dx) => writeln!(Stdout, "op by op:    {:.4?}", dx.to_vec::<f64>()?),
        None => Ok(()),
    }
}
// ANCHOR_END: batch_norm

// ANCHOR: networks
/// What the 24 hidden layers of a network are.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Norm,
    Residual,
}

struct Deep {
    kind: Kind,
    first: Linear,
    hidden: Vec<(Linear, BatchNorm)>,
    last: Linear,
}

impl Module for Deep {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let mut x = self.first.forward(pass, x)?;
        for (linear, norm) in &self.hidden {
            x = match self.kind {
                Kind::Plain => linear.forward(pass, &x)?.relu()?,
                Kind::Norm => norm.forward(pass, &linear.forward(pass, &x)?)?.relu()?,
                Kind::Residual => (&x + linear.forward(pass, &x.relu()?)?)?,
            };
        }
        self.last.forward(pass, &x)
    }
}

fn build(kind: Kind) -> Result<(Deep, Params)> {
    Params::declare(DType::F64, &Rng::new(0), |names| {
        let hidden = (0..24).map(|i| {
            let linear = Linear::new(names, &format!("linear{i}"), [32, 32])?;
            Ok((linear, BatchNorm::new(names, &format!("norm{i}"), 32)?))
        });
        let hidden = hidden.collect::<Result<_>>()?;
        let first = Linear::new(names, "first", [2, 32])?;
        Ok(Deep { kind, first, hidden, last: Linear::new(names, "last", [32, 2])? })
    })
}

/// On which side of the axes does a point lie? 256 points, and the answers.
fn question() -> Result<(Var, Tensor)> {
    let x = Tensor::normal([256, 2], 0.0, 1.0, DType::F64, &Rng::new(1));
    let points = x.to_vec::<f64>()?;
    let labels = points.chunks(2).map(|point| i64::from(point[0] * point[1] > 0.0)).collect();
    Ok((x.into(), Tensor::from_vec(labels, [256])?))
}

/// The loss at each of 200 steps.
fn train(kind: Kind) -> Result<Vec<f64>> {
    let ((net, mut params), (x, labels)) = (build(kind)?, question()?);
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    let step = |_| {
        let loss = optimizer
            .train_step(&mut params, 1e-3, |pass| net.forward(pass, &x)?.cross_entropy(&labels))?;
        loss.item()
    };
    (0..200).map(step).collect()
}
// ANCHOR_END: networks

const KINDS: [(&str, Kind); 3] =
    [("plain", Kind::Plain), ("BatchNorm", Kind::Norm), ("residuals", Kind::Residual)];

// ANCHOR: look
/// The root mean square of all elements.
fn size(x: &Var) -> Result<f64> {
    Ok(x.square()?.mean(..)?.item()?.sqrt())
}

/// Before the first step: how far the logits of the points lie from their mean, and how large the
/// gradients of the first weights and of the last are.
fn look(name: &str, kind: Kind) -> Result<()> {
    let ((net, params), (x, labels)) = (build(kind)?, question()?);
    let logits = net.forward(&Pass::train(&params, Rng::new(0)), &x)?;
    let spread = size(&(&logits - logits.mean_keep(0)?)?)?;
    let gradients = logits.cross_entropy(&labels)?.backward()?;
    let of = |name| match gradients.of_param(&params, params.id(name)?) {
        Some(gradient) => size(&gradient.into()),
        None => Ok(0.0),
    };
    let [first, last] = [of("first.weight")?, of("last.weight")?];
    writeln!(
        Stdout,
        "{name:<10} logits differ by {spread:.0e}; gradients: first {first:.0e}, last {last:.0e}"
    )
}
// ANCHOR_END: look

// ANCHOR: dropout
/// The mean of a layer's output in training, with and without the factor 1 / (1 - p).
fn dropout() -> Result<()> {
    let x = Var::from(Tensor::ones([100_000], DType::F64));
    let dropped = x.dropout(0.5, &Rng::new(0))?; // 0 or 2
    let unscaled = (&dropped * 0.5)?; // 0 or 1
    let [with, without] = [dropped.mean(..)?.item()?, unscaled.mean(..)?.item()?];
    writeln!(Stdout, "mean of ones after dropout: {with:.3}; without 1 / (1 - p): {without:.3}")
}
// ANCHOR_END: dropout

const INK: &str = "#1f2328";
const COLORS: [&str; 4] = ["#d9622b", "#3a9a5b", "#2f6fbb", "#8a5fb5"];

fn legend(svg: &mut Svg, [x, y]: [f64; 2], color: &str, text: &str) {
    svg.line(&[[x, y - 4.0], [x + 14.0, y - 4.0]], color, 2.5);
    svg.text([x + 18.0, y], Style::new(11.0, INK), text);
}

/// The spread of the activations by layer, and the losses of the deep networks.
fn draw(folder: &Path, losses: &[Vec<f64>]) -> Result<()> {
    let mut svg = Svg::new(860.0, 350.0);
    let title = Style::new(13.0, INK).bold();
    svg.text([50.0, 26.0], title, "size of the activations (powers of ten)");
    let axes = Axes::new([50.0, 76.0], [340.0, 220.0], (0.0, 12.0), (-15.0, 5.0));
    axes.draw(&mut svg, "layer", "");
    for (k, ((name, std), color)) in STARTS.into_iter().zip(COLORS).enumerate() {
        let sizes = spread(std(128.0))?.into_iter().map(f64::log10);
        let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(sizes).collect();
        axes.curve(&mut svg, &points, color);
        legend(
            &mut svg,
            [60.0 + 150.0 * (k % 2) as f64, 46.0 + 16.0 * (k / 2) as f64],
            color,
            name,
        );
    }
    svg.text([480.0, 26.0], title, "loss of networks with 24 hidden layers");
    let axes = Axes::new([480.0, 76.0], [340.0, 220.0], (0.0, 200.0), (0.0, 0.8));
    axes.draw(&mut svg, "step", "");
    for (k, ((name, _), color)) in KINDS.into_iter().zip(COLORS).enumerate() {
        // What is above the frame is a gap.
        let shown = losses[k].iter().map(|&loss| if loss > 0.8 { f64::NAN } else { loss });
        let points: Vec<(f64, f64)> = (0..).map(f64::from).zip(shown).collect();
        axes.curve(&mut svg, &points, color);
        legend(&mut svg, [490.0 + 110.0 * k as f64, 46.0], color, name);
    }
    let path = folder.join("06_depth.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    spreads()?;
    compare()?;
    let mut losses = Vec::new();
    for (name, kind) in KINDS {
        let loss = train(kind)?;
        let (first, last) = (loss[0], loss[199]);
        writeln!(Stdout, "{name:<10} loss {first:.3} at first, {last:.3} after 200 steps")?;
        losses.push(loss);
    }
    for (name, kind) in KINDS {
        look(name, kind)?;
    }
    dropout()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder), &losses),
        None => Ok(()),
    }
}
