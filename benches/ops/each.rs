//! Each op of a WaveMix-Lite model by itself, at the shapes the model has.

use std::time::{Duration, Instant};

use wavemix::models::Stem;
use wavemix::ops::{CrossEntropyOptions, batch_norm, conv_transpose2d, conv2d, cross_entropy, linear, matmul_with};
use wavemix::optim::{Method, Optimizer};
use wavemix::params::{FileLayout, Init};
use wavemix::{DType, Error, Params, Result, Rng, Tensor, Var, Window};

use crate::Load;
use crate::parts::median;
use crate::table::{Row, Table};

/// Time to spend on each op.
const TIME: Duration = Duration::from_millis(400);

/// An op with operands.
struct Case {
    name: String,
    /// Floating-point operations of its products.
    flops: f64,
    operands: Vec<Var>,
    run: Box<dyn Fn(&[Var]) -> Result<Var> + Sync>,
    backward: Needs,
}

/// What a backward rule reads and writes.
#[derive(Clone, Copy)]
enum Needs {
    /// The operands again and dy; writes their gradients.
    Operands,
    /// dy; writes the operands' gradients.
    Dy,
    /// Nothing: dy itself is the gradient.
    Nothing,
}

/// All ops whose name contains `only`.
pub fn table(load: &Load, only: &str) -> Result<Table> {
    let mut rows = Vec::new();
    for case in cases(load)?.iter().filter(|case| case.name.contains(only)) {
        rows.extend(time(case)?);
    }
    if "adamw".contains(only) {
        rows.push(adamw(load)?);
    }
    Ok(Table { title: format!("The ops of {}, batch {}", load.config, load.batch), rows, total: None })
}

fn cases(load: &Load) -> Result<Vec<Case>> {
    let (config, n) = (&load.config, load.batch);
    let Stem::Strided([s1, s2]) = config.stem() else {
        return Err(Error::Argument("a stem of strided convolutions only".into()));
    };
    let (c, mult, ff, colours) = (config.dim, config.mult * config.dim, config.ff, config.channels);
    let at = |side: usize, c: usize| leaf([n, side, side, c]);
    let (h1, padded) = (config.size.div_ceil(s1), |s| Window { stride: [s; 2], padding: [1; 2], ..Window::default() });
    let h = h1.div_ceil(s2);
    let half = h.div_ceil(2);
    let pixels = |side: usize| (n * side * side) as f64;
    let convolution = |name: &str, side: usize, [from, to]: [usize; 2], kernel: usize, window: Window| {
        let out = side.div_ceil(window.stride[0]);
        Case {
            name: format!("conv2d {kernel}x{kernel}, {from} to {to} ({name})"),
            flops: 2.0 * pixels(out) * (from * to * kernel * kernel) as f64,
            operands: vec![at(side, from), leaf([to, kernel, kernel, from]), leaf([to])],
            run: Box::new(move |v| conv2d(&v[0], &v[1], Some(&v[2]), window)),
            backward: Needs::Operands,
        }
    };
    let plain = |name: &str, operands: Vec<Var>, backward: Needs, run: Box<dyn Fn(&[Var]) -> Result<Var> + Sync>| Case {
        name: name.into(),
        flops: 0.0,
        operands,
        run,
        backward,
    };
    let mut cases = vec![
        convolution("stem", config.size, [colours, c / 2], 3, padded(s1)),
        convolution("stem", h1, [c / 2, c], 3, padded(s2)),
        convolution("reduction", h, [c, c / 4], 1, Window::default()),
        convolution("mlp", half, [c, mult], 1, Window::default()),
        convolution("mlp", half, [mult, ff], 1, Window::default()),
    ];
    let doubled = Window { stride: [2; 2], padding: [1; 2], ..Window::default() };
    cases.push(Case {
        name: format!("conv_transpose2d 4x4, {ff} to {c}"),
        flops: 2.0 * pixels(half) * (ff * c * 16) as f64,
        operands: vec![at(half, ff), leaf([ff, 4, 4, c]), leaf([c])],
        run: Box::new(move |v| conv_transpose2d(&v[0], &v[1], Some(&v[2]), doubled)),
        backward: Needs::Operands,
    });
    cases.push(plain("dwt", vec![at(h, c / 4)], Needs::Dy, Box::new(|v| v[0].dwt())));
    let dropped = |v: &[Var]| v[0].gelu_dropout(0.5, Some(&Rng::new(7)));
    cases.push(plain("gelu_dropout", vec![at(half, mult)], Needs::Operands, Box::new(dropped)));
    cases.push(plain("gelu", vec![at(half, mult)], Needs::Operands, Box::new(|v| v[0].gelu())));
    let normalised = |v: &[Var]| batch_norm(&v[0], &v[1], &v[2], 1e-5).map(|(y, _)| y);
    cases.push(plain("batch_norm", vec![at(h, c), leaf([c]), leaf([c])], Needs::Operands, Box::new(normalised)));
    cases.push(plain("add", vec![at(h, c), at(h, c)], Needs::Nothing, Box::new(|v| &v[0] + &v[1])));
    cases.push(plain("global_avg_pool", vec![at(h, c)], Needs::Dy, Box::new(|v| v[0].global_avg_pool())));
    let (classes, head) = (load.classes, [n, load.classes]);
    cases.push(Case {
        name: format!("linear, {c} to {classes}"),
        flops: 2.0 * (n * c * classes) as f64,
        operands: vec![leaf([n, c]), leaf([classes, c]), leaf([classes])],
        run: Box::new(|v| linear(&v[0], &v[1], Some(&v[2]))),
        backward: Needs::Operands,
    });
    let labels = load.data()?.1;
    let loss = move |v: &[Var]| cross_entropy(&v[0], &labels, CrossEntropyOptions::default());
    cases.push(plain("cross_entropy", vec![leaf(head)], Needs::Operands, Box::new(loss)));
    const SIDE: usize = 1024;
    cases.push(Case {
        name: format!("matmul {SIDE}x{SIDE}x{SIDE}"),
        flops: 2.0 * (SIDE * SIDE * SIDE) as f64,
        operands: vec![leaf([SIDE, SIDE]), leaf([SIDE, SIDE])],
        run: Box::new(|v| matmul_with(&v[0], &v[1], false, false)),
        backward: Needs::Operands,
    });
    Ok(cases)
}

/// Random numbers whose gradient is asked for.
fn leaf<const N: usize>(shape: [usize; N]) -> Var {
    Var::leaf(Tensor::normal(shape, 0.0, 0.1, DType::F32, &Rng::new(N as u64)))
}

/// Median times, forward and backward in turns.
fn time(case: &Case) -> Result<[Row; 2]> {
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let mut again = (case.run)(&case.operands)?;
    let dy = Tensor::normal(again.shape(), 0.0, 1.0, DType::F32, &Rng::new(5));
    again.backward_from(dy.clone(), &[])?;
    let began = Instant::now();
    while forward.len() < 5 || began.elapsed() < TIME {
        drop(again);
        let start = Instant::now();
        again = (case.run)(&case.operands)?;
        forward.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let gradients = again.backward_from(dy.clone(), &[])?;
        backward.push(start.elapsed().as_secs_f64());
        drop(gradients);
    }
    let inputs: usize = case.operands.iter().map(|operand| operand.value().bytes()).sum();
    let output = dy.bytes();
    let row = |direction, times, flops, bytes: usize| Row {
        name: case.name.clone(),
        direction,
        count: 1,
        seconds: median(times),
        flops,
        bytes: bytes as f64,
    };
    let moved = match case.backward {
        Needs::Operands => inputs + output + inputs,
        Needs::Dy => output + inputs,
        Needs::Nothing => 0,
    };
    Ok([row("forward", forward, case.flops, inputs + output), row("backward", backward, 2.0 * case.flops, moved)])
}

/// One update of all the model's weights.
fn adamw(load: &Load) -> Result<Row> {
    let weights = load.config.build(DType::F32, &Rng::new(0))?.1.count();
    let (_, mut params) =
        Params::declare(DType::F32, &Rng::new(0), |names| Ok(names.param("w", [weights], Init::Uniform(1.0), FileLayout::Same)))?;
    let gradients = Tensor::normal(params.arena().shape(), 0.0, 1.0, DType::F32, &Rng::new(1));
    let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || began.elapsed() < TIME {
        let start = Instant::now();
        optimizer.step_flat(&mut params, &gradients, 1e-3)?;
        times.push(start.elapsed().as_secs_f64());
    }
    // Reads weights, gradients and two moments, writes all but the gradients.
    let bytes = 7.0 * gradients.bytes() as f64;
    Ok(Row { name: "adamw".into(), direction: "update", count: 1, seconds: median(times), flops: 0.0, bytes })
}
