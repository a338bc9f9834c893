//! Each op of a WaveMix-Lite model by itself, at the shapes the model has.

use std::time::{Duration, Instant};

use wavemix::models::Stem;
use wavemix::ops::{
    BatchNormOptions, CrossEntropyOptions, batch_norm, conv_transpose2d, conv2d, cross_entropy,
    linear, matmul_with,
};
use wavemix::optim::{Method, Optimizer};
use wavemix::params::{FileLayout, Init, Updates};
use wavemix::{DType, Error, Params, Result, Rng, Tensor, Var, Window};

use crate::Load;
use crate::case::{Case, Needs, Run};
use crate::parts::median;
use crate::peak::Meter;
use crate::table::{Row, Table};

/// Time to spend on each op.
const TIME: Duration = Duration::from_millis(400);

/// All ops whose name contains `only`.
pub fn table(load: &Load, only: &str, meter: &mut Meter) -> Result<Table> {
    let mut rows = Vec::new();
    for case in cases(load)?.iter().filter(|case| case.name.contains(only)) {
        rows.extend(time(case, meter)?);
    }
    if "adamw".contains(only) {
        rows.push(adamw(load, meter)?);
    }
    Ok(Table {
        title: format!("The ops of {load}"),
        rows,
        total: None,
    })
}

fn cases(load: &Load) -> Result<Vec<Case>> {
    let mut cases = products(load)?;
    cases.extend(passes(load)?);
    Ok(cases)
}

/// The sides of the maps behind the stem's two convolutions.
fn sides(load: &Load) -> Result<([usize; 2], [usize; 2])> {
    let Stem::Strided(strides) = load.wavemix.stem(load.config.size, load.config.task) else {
        return Err(Error::Argument(
            "a stem of strided convolutions only".into(),
        ));
    };
    let first = load.config.size.div_ceil(strides[0]);
    Ok((strides, [first, first.div_ceil(strides[1])]))
}

/// What multiplies matrices.
fn products(load: &Load) -> Result<Vec<Case>> {
    let (n, dtype) = (load.batch, load.precision.compute());
    let (c, ff, classes) = (load.wavemix.dim, load.wavemix.ff, load.classes);
    let mut cases = convolutions(load)?;
    let half = sides(load)?.1[1].div_ceil(2);
    let doubled = Window {
        stride: [2; 2],
        padding: [1; 2],
        ..Window::default()
    };
    cases.push(Case {
        name: format!("conv_transpose2d 4x4, {ff} to {c}"),
        flops: 2.0 * (n * half * half * ff * c * 16) as f64,
        operands: vec![
            leaf(dtype, [n, half, half, ff]),
            leaf(dtype, [ff, 4, 4, c]),
            leaf(dtype, [c]),
        ],
        run: Box::new(move |v| conv_transpose2d(&v[0], &v[1], Some(&v[2]), doubled)),
        backward: Needs::Operands,
    });
    cases.push(Case {
        name: format!("linear, {c} to {classes}"),
        flops: 2.0 * (n * c * classes) as f64,
        operands: vec![
            leaf(dtype, [n, c]),
            leaf(dtype, [classes, c]),
            leaf(dtype, [classes]),
        ],
        run: Box::new(|v| linear(&v[0], &v[1], Some(&v[2]))),
        backward: Needs::Operands,
    });
    const SIDE: usize = 1024;
    cases.push(Case {
        name: format!("matmul {SIDE}x{SIDE}x{SIDE}"),
        flops: 2.0 * (SIDE * SIDE * SIDE) as f64,
        operands: vec![leaf(dtype, [SIDE, SIDE]), leaf(dtype, [SIDE, SIDE])],
        run: Box::new(|v| matmul_with(&v[0], &v[1], false, false)),
        backward: Needs::Operands,
    });
    Ok(cases)
}

/// The convolutions of the stem and of a block.
fn convolutions(load: &Load) -> Result<Vec<Case>> {
    let (config, n, dtype) = (&load.config, load.batch, load.precision.compute());
    let wavemix = &load.wavemix;
    let (c, ff, mult) = (wavemix.dim, wavemix.ff, wavemix.mult * wavemix.dim);
    let (strides, [h1, h]) = sides(load)?;
    let half = h.div_ceil(2);
    let case = |name: &str, side: usize, [from, to]: [usize; 2], kernel: usize, stride: usize| {
        let window = Window {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..Window::default()
        };
        Case {
            name: format!("conv2d {kernel}x{kernel}, {from} to {to} ({name})"),
            flops: 2.0 * (n * side.div_ceil(stride).pow(2) * from * to * kernel * kernel) as f64,
            operands: vec![
                leaf(dtype, [n, side, side, from]),
                leaf(dtype, [to, kernel, kernel, from]),
                leaf(dtype, [to]),
            ],
            run: Box::new(move |v| conv2d(&v[0], &v[1], Some(&v[2]), window)),
            backward: Needs::Operands,
        }
    };
    Ok(vec![
        case("stem", config.size, [config.channels, c / 2], 3, strides[0]),
        case("stem", h1, [c / 2, c], 3, strides[1]),
        case("reduction", h, [c, c / 4], 1, 1),
        case("mlp", half, [c, mult], 1, 1),
        case("mlp", half, [mult, ff], 1, 1),
    ])
}

/// What passes over memory.
fn passes(load: &Load) -> Result<Vec<Case>> {
    // What norms and losses keep in f32 at any precision is wide.
    let (dtype, wide) = (load.precision.compute(), DType::F32);
    let (n, c, [_, h]) = (load.batch, load.wavemix.dim, sides(load)?.1);
    let (at, half) = (
        |side: usize, c: usize| leaf(dtype, [n, side, side, c]),
        h.div_ceil(2),
    );
    let hidden = || vec![at(half, load.wavemix.mult * c)];
    let case = |name: &str, operands: Vec<Var>, backward: Needs, run: Run| Case {
        name: name.into(),
        flops: 0.0,
        operands,
        run,
        backward,
    };
    let dropped = |v: &[Var]| v[0].gelu_dropout(0.5, Some(&Rng::new(7)));
    let normalised =
        |v: &[Var]| batch_norm(&v[0], &v[1], &v[2], BatchNormOptions::default()).map(|(y, _)| y);
    let labels = load.data()?.1;
    let loss = move |v: &[Var]| cross_entropy(&v[0], &labels, CrossEntropyOptions::default());
    Ok(vec![
        case(
            "dwt",
            vec![at(h, c / 4)],
            Needs::Dy,
            Box::new(|v| v[0].dwt()),
        ),
        case("gelu_dropout", hidden(), Needs::Operands, Box::new(dropped)),
        case("gelu", hidden(), Needs::Operands, Box::new(|v| v[0].gelu())),
        case(
            "batch_norm",
            vec![at(h, c), leaf(wide, [c]), leaf(wide, [c])],
            Needs::OperandsTwice,
            Box::new(normalised),
        ),
        case(
            "add",
            vec![at(h, c), at(h, c)],
            Needs::Nothing,
            Box::new(|v| &v[0] + &v[1]),
        ),
        case(
            "global_avg_pool",
            vec![at(h, c)],
            Needs::Dy,
            Box::new(|v| v[0].global_avg_pool()),
        ),
        case(
            "cross_entropy",
            vec![leaf(wide, [n, load.classes])],
            Needs::Operands,
            Box::new(loss),
        ),
    ])
}

/// Random numbers whose gradient is asked for.
fn leaf<const N: usize>(dtype: DType, shape: [usize; N]) -> Var {
    Var::leaf(Tensor::normal(shape, 0.0, 0.1, dtype, &Rng::new(N as u64)))
}

/// Measures the limits a few times, before an op and after it.
fn at_rates(meter: &mut Meter) {
    (0..4).for_each(|_| meter.read());
}

/// Median times, forward and backward in turns.
fn time(case: &Case, meter: &mut Meter) -> Result<[Row; 2]> {
    let output = (case.run)(&case.operands)?.value().bytes();
    at_rates(meter);
    let times = case.times(TIME)?;
    at_rates(meter);
    let peak = meter.peak();
    let row = |direction, times, flops, bytes: usize| Row {
        name: case.name.clone(),
        direction,
        count: 1,
        seconds: median(times),
        flops,
        bytes: bytes as f64,
        peak,
    };
    let [forward, backward] = case.moved(output);
    Ok([
        row("forward", times.forward, case.flops, forward),
        row("backward", times.backward, 2.0 * case.flops, backward),
    ])
}

/// One update of all the model's weights.
fn adamw(load: &Load, meter: &mut Meter) -> Result<Row> {
    let weights = load.config.build(DType::F32, &Rng::new(0))?.1.count();
    let (_, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Ok(names.param("w", [weights], Init::Uniform(1.0), FileLayout::Same))
    })?;
    let gradients = Tensor::normal(params.arena().shape(), 0.0, 1.0, DType::F32, &Rng::new(1));
    let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
    at_rates(meter);
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || began.elapsed() < TIME {
        let start = Instant::now();
        optimizer.step_flat(&mut params, &gradients, Updates::none(), 1e-3)?;
        times.push(start.elapsed().as_secs_f64());
    }
    at_rates(meter);
    // Reads weights, gradients and two moments, writes all but the gradients.
    let bytes = 7.0 * gradients.bytes() as f64;
    Ok(Row {
        name: "adamw".into(),
        direction: "update",
        count: 1,
        seconds: median(times),
        flops: 0.0,
        bytes,
        peak: meter.peak(),
    })
}
