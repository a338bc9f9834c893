//! Chapter 12 of the book, "Sure": how far rounding may go, a search for what breaks a program, and
//! results that do not depend on threads or on interruptions.
//!
//! `cargo run --release --example book_12_sure -- [FOLDER]`, with a folder for the figure.

use std::path::Path;
use std::thread;

use wavemix::console::Stdout;
use wavemix::plots::{Axes, Style, Svg};
use wavemix::prelude::*;

// ANCHOR: rounding
/// The error of a sum of n random products in f32, one by one, in units of eps times the root of
/// the sum of their squares; the root of its mean square over 200 trials.
fn error(n: usize) -> f64 {
    let mut rng = Rng::new(n as u64);
    let squares = (0..200).map(|_| {
        let (mut short, mut long, mut square) = (0f32, 0f64, 0f64);
        for _ in 0..n {
            let product = (rng.normal() * rng.normal()) as f32;
            short += product;
            long += f64::from(product);
            square += f64::from(product).powi(2);
        }
        ((f64::from(short) - long) / square.sqrt() / f64::from(f32::EPSILON)).powi(2)
    });
    (squares.sum::<f64>() / 200.0).sqrt()
}

fn rounding() -> Result<()> {
    for n in [16, 256, 4096] {
        let (error, root) = (error(n), (n as f64).sqrt());
        writeln!(
            Stdout,
            "{n:4} terms: an error of {error:.2} eps, {:.2} sqrt(n) eps",
            error / root
        )?;
    }
    Ok(())
}
// ANCHOR_END: rounding

// ANCHOR: search
/// A sum by four lanes, as one writes it for vector instructions. Is it right?
fn sum_by_lanes(x: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    for four in x.chunks_exact(4) {
        (0..4).for_each(|k| lanes[k] += four[k]);
    }
    lanes.iter().sum()
}

/// Tries random lengths, and makes the first one that fails as short as it still fails.
fn search() -> Result<()> {
    let mut rng = Rng::new(7);
    let fails = |n: usize| {
        let x = vec![1.0; n];
        sum_by_lanes(&x) != x.iter().sum::<f64>()
    };
    let lengths = (1..=100).map(|trial| (trial, (64.0 * rng.uniform()) as usize));
    match lengths.into_iter().find(|&(_, n)| fails(n)) {
        Some((trial, n)) => {
            let smallest = (0..=n).find(|&n| fails(n)).unwrap_or(n);
            writeln!(Stdout, "trial {trial}: wrong for {n} elements; the fewest are {smallest}")
        }
        None => writeln!(Stdout, "right for 100 lengths"),
    }
}
// ANCHOR_END: search

// ANCHOR: threads
/// What each thread makes of its part of x, put together in order.
fn in_parallel(x: &[f32], part: usize, sums: fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    let parts = thread::scope(|scope| {
        let started = x.chunks(part).map(|part| scope.spawn(move || sums(part)));
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    parts.concat()
}

/// One sum a thread, added up.
fn by_thread(x: &[f32], threads: usize) -> f32 {
    let part = x.len().div_ceil(threads);
    in_parallel(x, part, |part| vec![part.iter().sum()]).iter().sum()
}

/// Sums of blocks of 1000, however many threads share them, added up in order.
fn by_block(x: &[f32], threads: usize) -> f32 {
    let part = x.len().div_ceil(threads).next_multiple_of(1000);
    let blocks = |part: &[f32]| part.chunks(1000).map(|block| block.iter().sum()).collect();
    in_parallel(x, part, blocks).iter().sum()
}

fn threads() -> Result<()> {
    let x = Tensor::normal([100_000], 0.0, 1.0, DType::F32, &Rng::new(0)).to_vec::<f32>()?;
    for (name, sum) in [("thread", by_thread as fn(&[f32], usize) -> f32), ("block", by_block)] {
        let bits = [1, 2, 3].map(|threads| sum(&x, threads).to_bits());
        let same = if bits.iter().all(|&b| b == bits[0]) { "the same" } else { "other" };
        writeln!(Stdout, "summed by {name}: {same} bits with 1, 2 and 3 threads")?;
    }
    Ok(())
}
// ANCHOR_END: threads

// ANCHOR: resume
/// The weights after steps `from..to` of training a line, with the weights and the optimizer as
/// they are. The batch of a step is a function of its number.
fn train(params: &mut Params, optimizer: &mut Optimizer, [from, to]: [u64; 2]) -> Result<Vec<f64>> {
    let w = params.id("w")?;
    for step in from..to {
        let x = Var::from(Tensor::normal([8, 2], 0.0, 1.0, DType::F64, &Rng::new(1).child(step)));
        let y = Var::from(x.value().clone()).sum(1)?.reshape([8, 1])?;
        optimizer.train_step(params, 0.1, |pass| x.matmul(&pass.var(w)?)?.mse(&y))?;
    }
    params.get("w")?.to_vec()
}

fn resume() -> Result<()> {
    let (_, begin) = Params::declare(DType::F64, &Rng::new(0), |names| {
        Ok(names.param("w", [2, 1], Init::Normal(1.0), FileLayout::Same))
    })?;
    let mut params = begin.clone();
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    let whole = train(&mut params, &mut optimizer, [0, 20])?;

    let mut params = begin.clone();
    let mut optimizer = Optimizer::new(Adam::default(), &params)?;
    train(&mut params, &mut optimizer, [0, 10])?;
    let state = optimizer.state(&params)?.into_iter().collect();
    for (name, with_state) in [("with", true), ("without", false)] {
        let mut params = params.clone();
        let mut optimizer = Optimizer::new(Adam::default(), &params)?;
        if with_state {
            optimizer.load_state(&params, &state)?;
        }
        let same = train(&mut params, &mut optimizer, [10, 20])? == whole;
        writeln!(Stdout, "resumed {name} the optimizer's state: the same weights: {same}")?;
    }
    Ok(())
}
// ANCHOR_END: resume

/// Measured errors beside the two laws, on logarithmic scales.
fn draw(folder: &Path) -> Result<()> {
    let mut svg = Svg::new(460.0, 340.0);
    let title = Style::new(13.0, "#1f2328");
    svg.text([50.0, 26.0], title.bold(), "error of a sum in f32 (log2 of eps)");
    let axes = Axes::new([50.0, 66.0], [380.0, 220.0], (2.0, 14.0), (-2.0, 14.0));
    axes.draw(&mut svg, "log2 of the number of terms", "");
    let measured: Vec<(f64, f64)> =
        (2..=14).map(|k| (f64::from(k), error(1 << k).log2())).collect();
    let law = |slope: f64, at_1: f64| [2.0, 14.0].map(|k| (k, slope * k + at_1));
    let kinds: [(&str, &[(f64, f64)], &str); 3] = [
        ("n / 2", &law(1.0, -1.0), "#c3c8ce"),
        ("0.35 sqrt(n)", &law(0.5, -1.5), "#d9622b"),
        ("measured", &measured, "#2f6fbb"),
    ];
    for (k, (name, points, color)) in kinds.into_iter().enumerate() {
        axes.curve(&mut svg, points, color);
        let x = 60.0 + 110.0 * k as f64;
        svg.line(&[[x, 42.0], [x + 14.0, 42.0]], color, 2.5);
        svg.text([x + 18.0, 46.0], Style::new(11.0, "#1f2328"), name);
    }
    let path = folder.join("12_rounding.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    rounding()?;
    search()?;
    threads()?;
    resume()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
