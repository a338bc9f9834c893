//! A model, layer by layer: shapes, parameters, operations, and what is kept for the backward pass.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use crate::autograd::trace::{Event, Watcher, watch};
use crate::models::Config;
use crate::tensor::memory::{most_taken, shapes_only};
use crate::{DType, Module, Params, Pass, Precision, Result, Rng, Shape, Tensor};

/// What one layer does to one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The layer's dotted name, `layers.0.reduction`; an op outside of any layer goes by the scope
    /// it runs in.
    pub layer: String,
    /// Its ops.
    pub ops: Vec<&'static str>,
    /// The shape of its output.
    pub output: Shape,
    /// Its trained numbers.
    pub parameters: usize,
    /// Floating-point operations of its matrix products, forward.
    pub flops: u64,
    /// Bytes it keeps for the backward pass that no earlier layer keeps already.
    pub saved_bytes: usize,
}

/// A model's layers in the order of the forward pass; prints as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The model's name and settings.
    pub title: String,
    /// One row a layer.
    pub rows: Vec<Row>,
    /// All trained numbers.
    pub parameters: usize,
}

impl Config {
    /// What the model does to one image `[h, w]`, in a training step on the CPU. Runs on shapes
    /// alone: no weight is drawn, and it takes no memory, however large model and image are.
    ///
    /// # Errors
    /// Settings that contradict one another, an image too small for the model or too large to be
    /// addressed, a precision that the CPU lacks.
    pub fn summary(&self, [h, w]: [usize; 2], precision: Precision) -> Result<Summary> {
        let (rows, params) = shapes_only(|| self.rows([h, w], precision))?;
        let settings = self.settings();
        let settings = settings.iter().map(|(name, value)| match value {
            Value::Null => String::new(),
            Value::String(text) => format!(", {name} {text}"),
            value => format!(", {name} {value}"),
        });
        let title = format!(
            "{self} on {h}x{w}x{}{}",
            self.channels,
            settings.collect::<String>()
        );
        Ok(Summary {
            title,
            rows,
            parameters: params.count(),
        })
    }

    /// The rows of a summary, and the parameters that they are of.
    fn rows(&self, [h, w]: [usize; 2], precision: Precision) -> Result<(Vec<Row>, Params)> {
        let (model, params) = self.build(DType::F32, &Rng::new(0))?;
        let pass = Pass::train(&params, Rng::new(0)).in_precision(precision)?;
        // Weights are kept anyway.
        let kept = HashSet::from([params.arena(), pass.arena()].map(|arena| arena.block().0));
        let image = Tensor::zeros(Shape::new(&[1, h, w, self.channels])?, DType::F32);
        let ledger = Ledger {
            rows: Vec::new(),
            kept,
        };
        // The output is held until the rows are read: while it lives, so does every block that the
        // graph keeps.
        let (ledger, output) = watch(ledger, || model.forward(&pass, &image.into()));
        let rows = with_parameters(ledger.rows, &params);
        output?;
        drop(pass);
        Ok((rows, params))
    }

    /// The most bytes that the image and what is made of it take at once when the model reads one
    /// image `[h, w]` without training, on the CPU: a map is let go when nothing needs it any more.
    /// Without the weights, and without what a single op needs while it runs. Runs on shapes alone,
    /// as [`Config::summary`] does.
    ///
    /// # Errors
    /// Those of [`Config::summary`].
    pub fn inference_bytes(&self, [h, w]: [usize; 2], precision: Precision) -> Result<usize> {
        let (model, params) = shapes_only(|| self.build(DType::F32, &Rng::new(0)))?;
        let pass = Pass::eval(&params);
        let pass = shapes_only(|| pass.in_precision(precision))?;
        let image = Shape::new(&[1, h, w, self.channels])?;
        let forward = || model.forward(&pass, &Tensor::zeros(image, DType::F32).into());
        let (output, bytes) = most_taken(|| shapes_only(forward));
        output.map(|_| bytes)
    }
}

/// Collects rows, and which blocks of memory are kept.
struct Ledger {
    rows: Vec<Row>,
    kept: HashSet<usize>,
}

impl Watcher for Ledger {
    fn forward(&mut self, event: Event<'_>) {
        // What is made of constants alone is not the image's way: BatchNorm's running statistics,
        // for instance.
        if !event.recorded {
            return;
        }
        let fresh = event
            .saves
            .iter()
            .map(|tensor| tensor.block())
            .filter(|(block, _)| self.kept.insert(*block));
        let saved_bytes = fresh.map(|(_, bytes)| bytes).sum();
        match self.rows.last_mut() {
            Some(row) if row.layer == event.scope => {
                row.ops.push(event.op);
                row.output = *event.output.shape();
                row.flops += event.flops;
                row.saved_bytes += saved_bytes;
            }
            _ => self.rows.push(Row {
                layer: event.scope,
                ops: vec![event.op],
                output: *event.output.shape(),
                parameters: 0,
                flops: event.flops,
                saved_bytes,
            }),
        }
    }
}

/// Files each parameter under its layer's first row.
fn with_parameters(mut rows: Vec<Row>, params: &Params) -> Vec<Row> {
    for entry in params.entries() {
        let layer = entry.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        if let Some(row) = rows.iter_mut().find(|row| row.layer == layer) {
            row.parameters += entry.shape.elements();
        }
    }
    rows
}

impl Summary {
    /// Floating-point operations of one image, forward.
    pub fn flops(&self) -> u64 {
        self.rows.iter().map(|row| row.flops).sum()
    }

    /// Bytes kept for the backward pass, an image.
    pub fn saved_bytes(&self) -> usize {
        self.rows.iter().map(|row| row.saved_bytes).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.layer.len())
            .max()
            .unwrap_or(0)
            .max(5);
        let ops = self
            .rows
            .iter()
            .map(|row| row.ops.join(" ").len())
            .max()
            .unwrap_or(0)
            .max(3);
        writeln!(f, "{}\n", self.title)?;
        writeln!(
            f,
            "{:width$}  {:ops$}  {:>20}  {:>11}  {:>9}  {:>9}",
            "layer", "ops", "output", "parameters", "MFLOP", "saved KiB"
        )?;
        for row in &self.rows {
            let (mflop, kib) = (row.flops as f64 / 1e6, row.saved_bytes as f64 / 1024.0);
            let (joined, output) = (row.ops.join(" "), row.output.to_string());
            writeln!(
                f,
                "{:width$}  {joined:ops$}  {output:>20}  {:>11}  {mflop:>9.2}  {kib:>9.1}",
                row.layer, row.parameters
            )?;
        }
        let (gflop, mib) = (
            self.flops() as f64 / 1e9,
            self.saved_bytes() as f64 / 1048576.0,
        );
        writeln!(
            f,
            "\nforward: {gflop:.4} GFLOP an image; saved for backward: {mib:.3} MiB an image"
        )?;
        write!(f, "parameters: {}", self.parameters)
    }
}
