//! Chapter 4 of the book, "The same with tensors": vector-Jacobian products, and how a rule is
//! checked.
//!
//! `cargo run --release --example book_04_tensors -- [FOLDER]`, with a folder for the figure.

use std::path::Path;

use wavemix::autograd::Backward;
use wavemix::console::Stdout;
use wavemix::gradcheck::gradcheck;
use wavemix::plots::{Style, Svg};
use wavemix::{DType, Error, Result, Rng, Tensor, Var};

// ANCHOR: op
/// What becomes of dy on its way to the bias: right or wrong, as the caller wants it.
type BiasRule = fn(&Var) -> Result<Var>;

/// y = x w + b, with shapes [n, k] x [k, m] + [m] -> [n, m].
fn linear(x: &Var, w: &Var, b: &Var, bias_rule: BiasRule) -> Result<Var> {
    // On constants, so that the ops inside record nothing.
    let y = (x.detach().matmul(&w.detach())? + b.detach())?.into_value();
    let rule = || Linear { x: x.value().clone(), w: w.value().clone(), bias_rule };
    Ok(Var::record("linear", &[x, w, b], y, rule))
}

/// What the backward pass will need.
struct Linear {
    x: Tensor,
    w: Tensor,
    bias_rule: BiasRule,
}

impl Backward for Linear {
    /// dx = dy w^T, dw = x^T dy, db = the sum of the rows of dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let [x, w, dy] = [self.x, self.w, dy].map(Var::from);
        let dx = dy.matmul(&w.transpose(0, 1)?)?; // [n, m] x [m, k] -> [n, k]
        let dw = x.transpose(0, 1)?.matmul(&dy)?; // [k, n] x [n, m] -> [k, m]
        let db = (self.bias_rule)(&dy)?; //                             [m]
        Ok([dx, dw, db].map(|gradient| Some(gradient.into_value())).into())
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.w]
    }
}
// ANCHOR_END: op

fn normal(shape: &[usize], seed: u64) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed))
}

// ANCHOR: check
fn check_rules() -> Result<()> {
    let rules: [(&str, BiasRule); 3] = [
        ("the sum of the rows", |dy| dy.sum(0)),
        ("dy as it is", |dy| Ok(dy.clone())),
        ("the mean of the rows", |dy| dy.mean(0)),
    ];
    let inputs = [normal(&[4, 2], 0), normal(&[2, 3], 1), normal(&[3], 2)];
    for (name, rule) in rules {
        match gradcheck(|v| linear(&v[0], &v[1], &v[2], rule), &inputs) {
            Ok(()) => writeln!(Stdout, "db is {name}: agrees with differences")?,
            Err(error) => writeln!(Stdout, "db is {name}:\n  {error}")?,
        }
    }
    Ok(())
}
// ANCHOR_END: check

// ANCHOR: jacobian
/// The Jacobian of f at x, a row for each output: one backward pass each, that begins with a 1 at
/// this output and 0 elsewhere.
fn jacobian(f: impl Fn(&Var) -> Result<Var>, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let outputs = f(&x.into())?.value().elements();
    let row = |i: usize| {
        let x = Var::leaf(x.clone());
        let y = f(&x)?;
        let mut unit = vec![0.0; outputs];
        unit[i] = 1.0;
        let gradients = y.backward_from(Tensor::from_vec(unit, y.shape())?, &[])?;
        gradients.of(&x).map_or(Ok(vec![0.0; x.value().elements()]), Tensor::to_vec)
    };
    (0..outputs).map(row).collect()
}

fn compare() -> Result<()> {
    let (x, w) = (normal(&[1, 3], 3), Var::from(normal(&[3, 2], 4)));
    let f = |x: &Var| x.matmul(&w)?.tanh();
    let rows = jacobian(f, &x)?;
    rows.iter().try_for_each(|row| writeln!(Stdout, "row of the Jacobian: {row:.3?}"))?;

    let dy = [2.0, -1.0];
    let product: Vec<f64> = (0..3).map(|j| dy[0] * rows[0][j] + dy[1] * rows[1][j]).collect();
    writeln!(Stdout, "dy times the Jacobian: {product:.3?}")?;
    let x = Var::leaf(x);
    let gradients = f(&x)?.backward_from(Tensor::from_slice(&dy, [1, 2])?, &[])?;
    if let Some(dx) = gradients.of(&x) {
        writeln!(Stdout, "by one backward pass:  {:.3?}", dx.to_vec::<f64>()?)?;
    }
    Ok(())
}
// ANCHOR_END: jacobian

const INK: &str = "#1f2328";
const GREY: &str = "#6a737d";
const COLORS: [&str; 3] = ["#f5b7a6", "#b7dfb9", "#b3cdf0"];

fn cell(svg: &mut Svg, [x, y]: [f64; 2], width: f64, fill: &str, text: &str) {
    svg.rect([x, y], [width, 30.0], fill);
    svg.frame([x, y], [width, 30.0], GREY);
    svg.text([x + width / 2.0, y + 19.0], Style::new(11.5, INK).middle(), text);
}

/// Forward, a row is copied to every row; backward, what comes back from each is added.
fn draw(folder: &Path) -> Result<()> {
    let mut svg = Svg::new(560.0, 270.0);
    for (side, title) in ["forward: copied", "backward: added"].into_iter().enumerate() {
        let forward = side == 0;
        let left = 30.0 + side as f64 * 270.0;
        svg.text([left, 28.0], Style::new(13.0, INK).bold(), title);
        for (j, color) in COLORS.into_iter().enumerate() {
            let x = left + j as f64 * 80.0;
            cell(
                &mut svg,
                [x, 44.0],
                70.0,
                color,
                &format!("{}{j}", if forward { "b" } else { "db" }),
            );
            // A line down the left side, with a branch to each row.
            svg.line(&[[x + 5.0, 74.0], [x + 5.0, 229.0]], GREY, 1.2);
            for i in 0..3 {
                let y = 122.0 + i as f64 * 46.0;
                let text = if forward { format!("x{i}{j} + b{j}") } else { format!("dy{i}{j}") };
                cell(&mut svg, [x + 18.0, y], 52.0, color, &text);
                let middle = y + 15.0;
                svg.line(&[[x + 5.0, middle], [x + 18.0, middle]], GREY, 1.2);
                if forward {
                    let head = [[18.0, 0.0], [11.0, -3.5], [11.0, 3.5]];
                    svg.polygon(&head.map(|[dx, dy]| [x + dx, middle + dy]), GREY);
                }
            }
            if !forward {
                let head = [[5.0, 0.0], [1.5, 7.0], [8.5, 7.0]];
                svg.polygon(&head.map(|[dx, dy]| [x + dx, 74.0 + dy]), GREY);
                svg.text([x + 14.0, 100.0], Style::new(15.0, INK), "+");
            }
        }
    }
    let path = folder.join("04_broadcast.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    check_rules()?;
    compare()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
