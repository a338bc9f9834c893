//! Chapter 7 of the book, "Optimizers": momentum, Adam, weight decay and learning rates in time.
//!
//! `cargo run --release --example book_07_optimizers -- [FOLDER]`, with a folder for the figure.

use std::path::Path;

use wavemix::console::Stdout;
use wavemix::optim::Schedule;
use wavemix::plots::{Style, Svg};
use wavemix::{Error, Result, Rng};

// ANCHOR: rules
/// What an optimizer remembers of each weight.
#[derive(Default, Clone)]
struct Memory {
    m: Vec<f64>,
    v: Vec<f64>,
    steps: i32,
}

/// One step: moves the weights, given their gradients and the learning rate.
type Rule = fn(&mut Memory, &mut [f64], &[f64], f64);

fn sgd(_: &mut Memory, w: &mut [f64], g: &[f64], lr: f64) {
    w.iter_mut().zip(g).for_each(|(w, g)| *w -= lr * g);
}

fn momentum(memory: &mut Memory, w: &mut [f64], g: &[f64], lr: f64) {
    memory.m.resize(w.len(), 0.0);
    for ((w, g), m) in w.iter_mut().zip(g).zip(&mut memory.m) {
        *m = 0.9 * *m + g;
        *w -= lr * *m;
    }
}

fn adam(memory: &mut Memory, w: &mut [f64], g: &[f64], lr: f64) {
    memory.m.resize(w.len(), 0.0);
    memory.v.resize(w.len(), 0.0);
    memory.steps += 1;
    let [old_m, old_v] = [0.9f64, 0.999].map(|beta| beta.powi(memory.steps));
    for (i, w) in w.iter_mut().enumerate() {
        memory.m[i] = 0.9 * memory.m[i] + 0.1 * g[i];
        memory.v[i] = 0.999 * memory.v[i] + 0.001 * g[i] * g[i];
        let (m, v) = (memory.m[i] / (1.0 - old_m), memory.v[i] / (1.0 - old_v));
        *w -= lr * m / (v.sqrt() + 1e-8);
    }
}
// ANCHOR_END: rules

// ANCHOR: valley
/// A valley whose walls are 200 times as steep as its floor: L = (x^2 + 200 y^2) / 2.
const CURVATURES: [f64; 2] = [1.0, 200.0];

const RULES: [(&str, Rule, f64); 3] =
    [("gradient descent", sgd, 0.0095), ("momentum", momentum, 0.005), ("Adam", adam, 0.2)];

/// The places after 0, 1, 2, .. steps.
fn walk(rule: Rule, lr: f64, steps: usize) -> Vec<[f64; 2]> {
    let mut memory = Memory::default();
    let mut w = [-9.0, 0.75];
    let mut path = vec![w];
    for _ in 0..steps {
        let g = [CURVATURES[0] * w[0], CURVATURES[1] * w[1]];
        rule(&mut memory, &mut w, &g, lr);
        path.push(w);
    }
    path
}

fn valley() -> Result<()> {
    for (name, rule, lr) in RULES {
        let path = walk(rule, lr, 1000);
        let loss = |[x, y]: [f64; 2]| (CURVATURES[0] * x * x + CURVATURES[1] * y * y) / 2.0;
        let last = path.iter().rposition(|&w| loss(w) > 1e-4).unwrap_or(0);
        writeln!(Stdout, "{name:<16} rate {lr:<6} below 0.0001 from step {} on", last + 1)?;
    }
    Ok(())
}
// ANCHOR_END: valley

// ANCHOR: noise
/// How far Adam moves weights whose gradients are nothing but noise, by step, as a part of the
/// learning rate.
fn first_steps() -> Result<()> {
    let mut rng = Rng::new(1);
    let (mut memory, mut w) = (Memory::default(), vec![0.0; 4000]);
    for step in 1..=1000 {
        let g: Vec<f64> = w.iter().map(|_| rng.normal()).collect();
        let before = w.clone();
        adam(&mut memory, &mut w, &g, 1.0);
        if [1, 2, 5, 20, 1000].contains(&step) {
            let moved = w.iter().zip(&before).map(|(a, b)| (a - b).abs()).sum::<f64>() / 4000.0;
            writeln!(Stdout, "step {step:4}: Adam moves a weight by {moved:.2} learning rates")?;
        }
    }
    Ok(())
}
// ANCHOR_END: noise

// ANCHOR: cosine
/// Gradient descent on w^2 / 2 from w = 10, with noise on every slope: how far from 0 it ends after
/// 200 steps, over 4000 runs.
fn ends(rate: impl Fn(u64) -> f64) -> f64 {
    let mut rng = Rng::new(2);
    let mut w = vec![10.0; 4000];
    for step in 0..200 {
        w.iter_mut().for_each(|w| *w -= rate(step) * (*w + rng.normal()));
    }
    (w.iter().map(|w| w * w).sum::<f64>() / 4000.0).sqrt()
}

fn schedules() -> Result<()> {
    let [large, small] = [ends(|_| 0.5), ends(|_| 0.01)];
    let cosine = ends(|step| 0.5 * Schedule::Cosine { warmup: 0.0 }.factor(step, 200));
    writeln!(Stdout, "ends {large:.2} from the minimum with rate 0.5, {small:.2} with rate 0.01")?;
    writeln!(Stdout, "ends {cosine:.2} from it with rate 0.5, down to 0 along a cosine")
}
// ANCHOR_END: cosine

// ANCHOR: decay
/// Two weights that begin at 1, one with noisy gradients of size 10, one with those of size 0.1.
/// Nothing but weight decay pulls them. Means over 1000 copies after 1000 steps.
fn decay(decoupled: bool) -> [f64; 2] {
    let (lr, strength) = (0.01, 0.1);
    [10.0, 0.1].map(|noise| {
        let mut rng = Rng::new(3);
        let (mut memory, mut w) = (Memory::default(), vec![1.0; 1000]);
        for _ in 0..1000 {
            let pull = if decoupled { 0.0 } else { strength };
            let g: Vec<f64> = w.iter().map(|w| noise * rng.normal() + pull * w).collect();
            if decoupled {
                w.iter_mut().for_each(|w| *w -= lr * strength * *w);
            }
            adam(&mut memory, &mut w, &g, lr);
        }
        w.iter().sum::<f64>() / 1000.0
    })
}

fn decays() -> Result<()> {
    for (name, decoupled) in [("in the gradient", false), ("decoupled", true)] {
        // Two digits; adding 0 turns -0 into 0.
        let [large, small] = decay(decoupled).map(|w| (100.0 * w).round() / 100.0 + 0.0);
        writeln!(Stdout, "decay {name:<15}: gradients of 10 leave {large:.2}, of 0.1 {small:.2}")?;
    }
    Ok(())
}
// ANCHOR_END: decay

const INK: &str = "#1f2328";
const COLORS: [&str; 3] = ["#d9622b", "#2f6fbb", "#3a9a5b"];

/// The valley from above with the first 40 steps of each rule.
fn draw(folder: &Path) -> Result<()> {
    let mut svg = Svg::new(900.0, 210.0);
    for (k, ((name, rule, lr), color)) in RULES.into_iter().zip(COLORS).enumerate() {
        let middle = [155.0 + 295.0 * k as f64, 120.0];
        let place = |[x, y]: [f64; 2]| [middle[0] + 13.0 * x, middle[1] - 80.0 * y];
        svg.text([middle[0] - 125.0, 28.0], Style::new(13.0, INK).bold(), name);
        for loss in [1.0, 5.0, 15.0, 40.0f64] {
            let ring = (0..=60).map(|i| {
                let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / 60.0).sin_cos();
                let radius = CURVATURES.map(|curvature| (2.0 * loss / curvature).sqrt());
                place([radius[0] * cos, radius[1] * sin])
            });
            svg.line(&ring.collect::<Vec<_>>(), "#d0d5dc", 1.0);
        }
        let path: Vec<[f64; 2]> = walk(rule, lr, 40).into_iter().map(place).collect();
        svg.line(&path, color, 1.4);
        path.iter().for_each(|&at| svg.circle(at, 2.2, color));
    }
    let path = folder.join("07_valley.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    valley()?;
    first_steps()?;
    schedules()?;
    decays()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
