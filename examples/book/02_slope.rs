//! Chapter 2 of the book, "Slope": a line is fitted to points by gradient descent.
//!
//! `cargo run --release --example book_02_slope -- [FOLDER]`, with a folder for the figure.

use std::path::Path;

use wavemix::console::Stdout;
use wavemix::plots::{Axes, Style, Svg};
use wavemix::{Error, Result, Rng};

// ANCHOR: loss
/// The line y = a x + b.
#[derive(Clone, Copy)]
struct Line {
    a: f64,
    b: f64,
}

impl Line {
    fn at(self, x: f64) -> f64 {
        self.a * x + self.b
    }

    /// The mean of the squared errors.
    fn loss(self, points: &[(f64, f64)]) -> f64 {
        let squares = points.iter().map(|&(x, y)| (self.at(x) - y).powi(2));
        squares.sum::<f64>() / points.len() as f64
    }

    /// The derivatives of the loss by a and by b.
    fn slopes(self, points: &[(f64, f64)]) -> (f64, f64) {
        let mut slopes = (0.0, 0.0);
        for &(x, y) in points {
            let e = self.at(x) - y;
            slopes.0 += 2.0 * e * x / points.len() as f64;
            slopes.1 += 2.0 * e / points.len() as f64;
        }
        slopes
    }
}
// ANCHOR_END: loss

// ANCHOR: descend
/// The lines after 0, 1, 2, .. steps of gradient descent with this learning rate.
fn descend(points: &[(f64, f64)], rate: f64, steps: usize) -> Vec<Line> {
    let mut line = Line { a: 0.0, b: 0.0 };
    let mut lines = vec![line];
    for _ in 0..steps {
        let (da, db) = line.slopes(points);
        line.a -= rate * da;
        line.b -= rate * db;
        lines.push(line);
    }
    lines
}
// ANCHOR_END: descend

// ANCHOR: runs
/// Twenty measurements: y is 1.5 x - 1, and an error of about 0.4.
fn measure() -> Vec<(f64, f64)> {
    let mut rng = Rng::new(3);
    (0..20)
        .map(|i| {
            let x = 3.0 * i as f64 / 19.0;
            (x, 1.5 * x - 1.0 + 0.4 * rng.normal())
        })
        .collect()
}

const RATES: [f64; 3] = [0.02, 0.2, 0.27];

fn runs(points: &[(f64, f64)]) -> Result<()> {
    for rate in RATES {
        let lines = descend(points, rate, 100);
        for step in [1, 10, 100] {
            let Line { a, b } = lines[step];
            let loss = lines[step].loss(points);
            writeln!(
                Stdout,
                "rate {rate:<4}, step {step:3}: y = {a:.3} x {b:+.3}, loss {loss:.4}"
            )?;
        }
    }
    let best = exact(points);
    let (a, b, loss) = (best.a, best.b, best.loss(points));
    writeln!(Stdout, "the best line is     y = {a:.3} x {b:+.3}, loss {loss:.4}")
}
// ANCHOR_END: runs

/// The line whose slopes are zero, by the formulas of least squares.
fn exact(points: &[(f64, f64)]) -> Line {
    let n = points.len() as f64;
    let mean = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| f(x, y)).sum::<f64>() / n;
    let (x, y) = (mean(&|x, _| x), mean(&|_, y| y));
    let a = (mean(&|x, y| x * y) - x * y) / (mean(&|x, _| x * x) - x * x);
    Line { a, b: y - a * x }
}

const INK: &str = "#1f2328";
const GREY: &str = "#6a737d";
const COLORS: [&str; 4] = ["#b7cbe6", "#86a9d8", "#5486c6", "#1d4f91"];
const RATE_COLORS: [&str; 3] = ["#3a9a5b", "#2f6fbb", "#d9622b"];

/// The points with the lines of some steps; the loss after each step, for three rates.
fn draw(folder: &Path, points: &[(f64, f64)]) -> Result<()> {
    let mut svg = Svg::new(820.0, 340.0);
    let title = Style::new(13.0, INK).bold();
    svg.text([50.0, 26.0], title, "the line after some steps with rate 0.2");
    let axes = Axes::new([50.0, 60.0], [330.0, 220.0], (0.0, 3.0), (-2.0, 4.0));
    axes.draw(&mut svg, "x", "y");
    points.iter().for_each(|&point| svg.circle(axes.place(point), 3.5, GREY));
    let lines = descend(points, 0.2, 100);
    for (k, (step, color)) in [0, 1, 4, 100].into_iter().zip(COLORS).enumerate() {
        let ends = [(0.0, lines[step].at(0.0)), (3.0, lines[step].at(3.0))];
        svg.line(&ends.map(|end| axes.place(end)), color, 2.0);
        let x = 70.0 + 74.0 * k as f64;
        svg.line(&[[x, 42.0], [x + 14.0, 42.0]], color, 2.5);
        svg.text([x + 18.0, 46.0], Style::new(11.0, INK), &format!("step {step}"));
    }

    svg.text([460.0, 26.0], title, "the loss, for three learning rates");
    let axes = Axes::new([460.0, 60.0], [330.0, 220.0], (0.0, 40.0), (0.0, 5.0));
    axes.draw(&mut svg, "step", "loss");
    for (k, (rate, color)) in RATES.into_iter().zip(RATE_COLORS).enumerate() {
        let losses = descend(points, rate, 40).into_iter().map(|line| line.loss(points));
        let points: Vec<(f64, f64)> = (0..).map(f64::from).zip(losses).collect();
        // What has left the frame is not drawn.
        let inside = points.iter().position(|point| point.1 > 5.0).unwrap_or(points.len());
        axes.curve(&mut svg, &points[..inside], color);
        let x = 510.0 + 92.0 * k as f64;
        svg.line(&[[x, 42.0], [x + 14.0, 42.0]], color, 2.5);
        svg.text([x + 18.0, 46.0], Style::new(11.0, INK), &format!("rate {rate}"));
    }
    std::fs::write(folder.join("02_line.svg"), svg.finish()).map_err(Error::io("write", folder))
}

fn main() -> Result<()> {
    let points = measure();
    runs(&points)?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder), &points),
        None => Ok(()),
    }
}
