//! A step taken apart: the time from one op's report to the next belongs to that op.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wavemix::autograd::trace::{Event, Watcher, watch};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer};
use wavemix::{DType, Module, Pass, Result, Rng, Tensor};

use crate::Load;
use crate::peak::Meter;
use crate::table::{Row, Table};

const FORWARD: &str = "forward";
const BACKWARD: &str = "backward";
const UPDATE: &str = "update";

/// Steps are taken apart for so long.
const TIME: Duration = Duration::from_secs(3);

/// What a kind of op, in all blocks together, took in one step.
#[derive(Clone, Copy, Default)]
struct Spent {
    count: usize,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

type Parts = BTreeMap<(&'static str, String), Spent>;

struct Clock {
    last: Instant,
    parts: Parts,
    /// Of each op and layer: FLOPs forward, and bytes that its backward rule reads.
    forward: BTreeMap<(&'static str, String), (f64, f64)>,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            last: Instant::now(),
            parts: Parts::new(),
            forward: BTreeMap::new(),
        }
    }

    fn spend(&mut self, direction: &'static str, name: String, flops: f64, bytes: f64) {
        let now = Instant::now();
        let spent = self.parts.entry((direction, name)).or_default();
        spent.count += 1;
        spent.seconds += (now - self.last).as_secs_f64();
        spent.flops += flops;
        spent.bytes += bytes;
        // Whatever the report itself took is nobody's.
        self.last = Instant::now();
    }
}

impl Watcher for Clock {
    fn forward(&mut self, event: Event<'_>) {
        let read: usize = event.inputs.iter().map(|input| input.bytes()).sum();
        let saved: usize = event.saves.iter().map(|tensor| tensor.bytes()).sum();
        let (flops, written) = (event.flops as f64, event.output.bytes());
        self.spend(
            FORWARD,
            format!("{} {}", event.op, everywhere(&event.scope)),
            flops,
            (read + written) as f64,
        );
        self.forward
            .insert((event.op, event.scope), (flops, (saved + written) as f64));
    }

    fn backward(&mut self, op: &'static str, scope: String, gradients: &[Option<Tensor>]) {
        let name = format!("{op} {}", everywhere(&scope));
        let (flops, read) = self.forward.get(&(op, scope)).copied().unwrap_or_default();
        // The gradients of a product's two factors are products of the same size.
        let products = gradients.iter().take(2).flatten().count() as f64;
        // A residual's gradient is dy itself, and nobody writes it; a sum reads both of its terms.
        let written: usize = gradients
            .iter()
            .take(if op == "batch_norm" { 3 } else { 9 })
            .flatten()
            .map(Tensor::bytes)
            .sum();
        let terms = if op == "sum of gradients" {
            2 * written
        } else {
            0
        };
        // BatchNorm's first gradient needs sums over all of dy and x: it reads them twice.
        let reads = if op.starts_with("batch_norm") {
            2.0
        } else {
            1.0
        };
        self.spend(
            BACKWARD,
            name,
            products * flops,
            reads * read + (written + terms) as f64,
        );
    }
}

/// `layers.3.feedforward.0` as `layers.*.feedforward.0`: the same layer in all blocks.
fn everywhere(scope: &str) -> String {
    match scope
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((_, layer)) => format!("layers.*.{layer}"),
        None if scope.starts_with("layers.") => "layers.*".into(),
        None => scope.to_owned(),
    }
}

/// What a training step spends on which op.
pub fn training(load: &Load, meter: &mut Meter) -> Result<Table> {
    let (model, mut params) = load.config.build(DType::F32, &Rng::new(0))?;
    let (images, labels) = load.data()?;
    let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
    let mut step = || -> Result<Parts> {
        let (clock, gradients) = watch(Clock::start(), || {
            let pass = Pass::train(&params, Rng::new(2).child(optimizer.steps()?))
                .in_precision(load.precision)?;
            let logits = model.forward(&pass, &(&images).into())?;
            let gradients =
                cross_entropy(&logits, &labels, CrossEntropyOptions::default())?.backward()?;
            Ok((gradients, pass.into_updates()))
        });
        let (mut clock, (gradients, statistics)) = (clock, gradients?);
        let arena = params.arena().bytes() as f64;
        let flat = gradients.flatten(&params)?;
        drop(gradients);
        clock.spend(UPDATE, "gradients into one array".into(), 0.0, 2.0 * arena);
        optimizer.step_flat(&mut params, &flat, statistics, 1e-3)?;
        // Reads weights, gradients and two moments, writes all but the gradients.
        clock.spend(UPDATE, "adamw".into(), 0.0, 7.0 * arena);
        Ok(clock.parts)
    };
    table(format!("A training step of {load}"), meter, &mut step)
}

/// What an inference step spends on which op.
pub fn inference(load: &Load, meter: &mut Meter) -> Result<Table> {
    let (model, params) = load.config.build(DType::F32, &Rng::new(0))?;
    let (images, _) = load.data()?;
    let mut step = || -> Result<Parts> {
        let (clock, answer) = watch(Clock::start(), || {
            model.forward(
                &Pass::eval(&params).in_precision(load.precision)?,
                &(&images).into(),
            )
        });
        answer.map(|_| clock.parts)
    };
    table(format!("An inference step of {load}"), meter, &mut step)
}

impl Load {
    /// Random images and labels.
    pub fn data(&self) -> Result<(Tensor, Tensor)> {
        let shape = [
            self.batch,
            self.config.size,
            self.config.size,
            self.config.channels,
        ];
        let images = Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(1));
        Ok((
            images,
            Tensor::from_vec(
                (0..self.batch).map(|i| (i % self.classes) as i64).collect(),
                [self.batch],
            )?,
        ))
    }
}

/// Medians over steps, after two to warm up: of the whole, of each part, and of the machine's
/// limits between the steps.
fn table(
    title: String,
    meter: &mut Meter,
    step: &mut dyn FnMut() -> Result<Parts>,
) -> Result<Table> {
    step()?;
    step()?;
    let (began, mut totals, mut all) = (Instant::now(), Vec::new(), Vec::new());
    while all.len() < 3 || began.elapsed() < TIME {
        let start = Instant::now();
        all.push(step()?);
        totals.push(start.elapsed().as_secs_f64());
        meter.read();
    }
    let peak = meter.peak();
    let mut rows: Vec<Row> = Vec::new();
    for ((direction, name), spent) in &all[0] {
        let key = (*direction, name.clone());
        let seconds = median(
            all.iter()
                .filter_map(|parts| parts.get(&key))
                .map(|spent| spent.seconds)
                .collect(),
        );
        let Spent {
            count,
            flops,
            bytes,
            ..
        } = *spent;
        rows.push(Row {
            name: name.trim().to_owned(),
            direction,
            count,
            seconds,
            flops,
            bytes,
            peak,
        });
    }
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(Table {
        title,
        rows,
        total: Some(median(totals)),
    })
}

/// The middle one, of one at least.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
