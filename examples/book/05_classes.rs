//! Chapter 5 of the book, "Learning classes": two moons, cross-entropy, under- and overfitting.
//!
//! `cargo run --release --example book_05_classes -- [FOLDER]`, with a folder for the figure.

use std::f64::consts::PI;
use std::path::Path;

use wavemix::console::Stdout;
use wavemix::metrics::top_k;
use wavemix::plots::{Style, Svg};
use wavemix::prelude::*;

// ANCHOR: slopes
/// Two classes with logits 0 and z, the second one being right: the slopes by z of cross-entropy,
/// -log p, and of the squared error, (1 - p)^2.
fn slopes() -> Result<()> {
    let losses: [fn(&Var) -> Result<Var>; 2] = [|p| p.log()?.neg(), |p| (1.0 - p)?.square()];
    for z in [-8.0, -4.0, 0.0, 4.0] {
        let (mut p, mut slopes) = (0.0, [0.0; 2]);
        for (k, loss) in losses.iter().enumerate() {
            let z = Var::leaf(Tensor::scalar(z));
            let probability = z.sigmoid()?; // softmax of two: e^z / (1 + e^z)
            p = probability.item()?;
            let gradients = loss(&probability)?.backward()?;
            slopes[k] = gradients.of(&z).map_or(Ok(0.0), Tensor::item)?;
        }
        writeln!(Stdout, "z {z:2}: p {:.4}, slopes {:.4} and {:.4}", p, slopes[0], slopes[1])?;
    }
    Ok(())
}
// ANCHOR_END: slopes

// ANCHOR: data
/// Points with their classes.
struct Set {
    x: Tensor,      // [n, 2]
    labels: Tensor, // [n]
}

/// Two half circles that reach into each other, and an error of 0.3 in each direction.
fn moons(n: usize, seed: u64) -> Result<Set> {
    let mut rng = Rng::new(seed);
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let (sin, cos) = (PI * f64::from(rng.uniform())).sin_cos();
        let [u, v] = if i % 2 == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        x.extend([u + 0.3 * rng.normal(), v + 0.3 * rng.normal()]);
        labels.push((i % 2) as i64);
    }
    Ok(Set { x: Tensor::from_vec(x, [n, 2])?, labels: Tensor::from_vec(labels, n)? })
}
// ANCHOR_END: data

// ANCHOR: model
/// Two hidden layers of one width.
struct Net([Linear; 3]);

impl Module for Net {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let [first, second, last] = &self.0;
        let x = first.forward(pass, x)?.relu()?;
        last.forward(pass, &second.forward(pass, &x)?.relu()?)
    }
}

fn build(width: usize) -> Result<(Net, Params)> {
    Params::declare(DType::F64, &Rng::new(0), |names| {
        Ok(Net([
            Linear::new(names, "first", [2, width])?,
            Linear::new(names, "second", [width, width])?,
            Linear::new(names, "last", [width, 2])?,
        ]))
    })
}

/// Loss and accuracy.
fn measure(net: &Net, params: &Params, set: &Set) -> Result<(f64, f64)> {
    let logits = net.forward(&Pass::eval(params), &Var::from(&set.x))?;
    let right = top_k(logits.value(), &set.labels.to_vec()?, 1)?;
    let loss = logits.cross_entropy(&set.labels)?.item()?;
    Ok((loss, right as f64 / set.labels.elements() as f64))
}
// ANCHOR_END: model

// ANCHOR: train
/// Trains for 1000 steps. Gives the weights at the end, and those with the smallest validation loss
/// with the step that they are of.
fn train(net: &Net, params: &Params, sets: &[Set; 3]) -> Result<(Params, (u64, Params))> {
    let [training, validation, _] = sets;
    let mut params = params.clone();
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    let (mut best, mut smallest) = ((0, params.clone()), f64::INFINITY);
    for step in 1..=1000 {
        optimizer.train_step(&mut params, 0.01, |pass| {
            net.forward(pass, &Var::from(&training.x))?.cross_entropy(&training.labels)
        })?;
        let (loss, _) = measure(net, &params, validation)?;
        if loss < smallest {
            (best, smallest) = ((step, params.clone()), loss);
        }
    }
    Ok((params, best))
}
// ANCHOR_END: train

/// One line of the table.
fn report(name: &str, net: &Net, params: &Params, sets: &[Set; 3]) -> Result<()> {
    write!(Stdout, "{name:<24}")?;
    for set in sets {
        let (loss, accuracy) = measure(net, params, set)?;
        write!(Stdout, "{loss:8.3} {:6.1} %", 100.0 * accuracy)?;
    }
    writeln!(Stdout)
}

const INK: &str = "#1f2328";
const DOTS: [&str; 2] = ["#b4431a", "#1d4f91"];
/// From sure of the first class to sure of the second.
const LEVELS: [&str; 7] =
    ["#f0b595", "#f5cfb9", "#f9e6da", "#f4f4f4", "#dfe9f5", "#c2d6ee", "#9dbfe5"];

/// Where a network says what, and the points that it was trained with: x from -1.5 to 2.5, y from
/// -1.75 to 2.25, 60 pixels a unit.
fn panel(svg: &mut Svg, left: f64, (net, params): (&Net, &Params), set: &Set) -> Result<()> {
    const CELLS: usize = 48;
    let side = 240.0 / CELLS as f64;
    let at = |k: usize| (k as f64 + 0.5) / CELLS as f64;
    let grid =
        (0..CELLS * CELLS).flat_map(|i| [4.0 * at(i % CELLS) - 1.5, 2.25 - 4.0 * at(i / CELLS)]);
    let grid = Var::from(Tensor::from_vec(grid.collect(), [CELLS * CELLS, 2])?);
    let p = net.forward(&Pass::eval(params), &grid)?.softmax(1)?.to_vec::<f64>()?;
    let level = |i: usize| ((p[2 * i + 1] * 7.0) as usize).min(6);
    for row in 0..CELLS {
        let mut from = 0;
        for column in 1..=CELLS {
            let here = level(row * CELLS + from);
            if column == CELLS || level(row * CELLS + column) != here {
                let place = [left + from as f64 * side, 60.0 + row as f64 * side];
                // A little overlap hides the seams.
                svg.rect(place, [(column - from) as f64 * side, side + 0.3], LEVELS[here]);
                from = column;
            }
        }
    }
    let points = set.x.to_vec::<f64>()?;
    for (point, label) in points.chunks(2).zip(set.labels.to_vec::<i64>()?) {
        let [x, y] = [(point[0] + 1.5) * 60.0, (2.25 - point[1]) * 60.0];
        svg.circle([left + x, 60.0 + y], 3.2, DOTS[label as usize]);
    }
    Ok(())
}

fn main() -> Result<()> {
    slopes()?;
    let sets = [moons(60, 1)?, moons(400, 2)?, moons(4000, 3)?];
    let mut svg = Svg::new(1060.0, 320.0);
    writeln!(Stdout, "{:<24}{:^17}{:^17}{:^17}", "", "training", "validation", "test")?;
    let mut left = 20.0;
    for width in [1, 6, 200] {
        let (net, params) = build(width)?;
        let (last, (step, best)) = train(&net, &params, &sets)?;
        let mut kinds = vec![(format!("width {width}"), &last)];
        if width == 200 {
            kinds.push((format!("width {width}, at step {step}"), &best));
        }
        for (name, params) in kinds {
            report(&name, &net, params, &sets)?;
            svg.text([left, 40.0], Style::new(13.0, INK).bold(), &name);
            panel(&mut svg, left, (&net, params), &sets[0])?;
            left += 260.0;
        }
    }
    match std::env::args().nth(1) {
        Some(folder) => {
            let path = Path::new(&folder).join("05_moons.svg");
            std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
        }
        None => Ok(()),
    }
}
