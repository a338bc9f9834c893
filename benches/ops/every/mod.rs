//! Every public op at three shapes or more: small; as in LeNet, ResNet-18 or ViT-128 at batch 64;
//! large. `ops_compare.py` times them beside PyTorch.
//!
//! Commands are lines of the input, and each is answered by a line of JSON:
//!
//! ```text
//! list            all cases: op, operands and settings, by which the other side builds its own
//! case N          builds operands; answers with the sums of what comes out, and bytes and FLOPs
//! time SECONDS    times of calls of that case, forward and backward
//! limits          multiply-adds and copied bytes a second
//! ```
//!
//! Operands are functions of an element's number, the same on both sides, so that equal sums show
//! that both compute one function.

mod images;
mod layout;
mod losses;
mod pointwise;
mod products;
mod reductions;

use std::io::BufRead;
use std::time::Duration;

use serde_json::{Value, json};
use wavemix::console::Stdout;
use wavemix::{DType, Error, Result, Tensor, Var};

use crate::case::{Case, Needs, Run};
use crate::peak::Meter;

/// A case that is not built yet.
pub struct Spec {
    op: &'static str,
    operands: Vec<Operand>,
    settings: Value,
    flops: f64,
    needs: Needs,
    run: Run,
}

/// An operand to build.
pub struct Operand {
    shape: Vec<usize>,
    values: Values,
    /// Whether its gradient is asked for.
    leaf: bool,
}

/// What an operand's elements are.
#[derive(Clone, Copy)]
pub enum Values {
    /// From -1 to 1.
    Plain,
    /// From 0.1 to 1.1.
    Positive,
    /// From 0.99 to 1.01.
    NearOne,
    /// Whole numbers below this one, i64.
    Index(usize),
    /// 0 and 1, u8.
    Mask,
}

impl Spec {
    fn new(
        op: &'static str,
        operands: Vec<Operand>,
        needs: Needs,
        run: impl Fn(&[Var]) -> Result<Var> + Send + Sync + 'static,
    ) -> Spec {
        Spec {
            op,
            operands,
            settings: json!({}),
            flops: 0.0,
            needs,
            run: Box::new(run),
        }
    }

    /// With these settings, for the other side.
    fn with(mut self, settings: Value) -> Spec {
        self.settings = settings;
        self
    }

    /// With products of so many floating-point operations.
    fn with_flops(mut self, flops: usize) -> Spec {
        self.flops = flops as f64;
        self
    }

    fn json(&self) -> Value {
        let operands = self.operands.iter().map(|operand| {
            let (values, below) = match operand.values {
                Values::Plain => ("plain", 0),
                Values::Positive => ("positive", 0),
                Values::NearOne => ("near one", 0),
                Values::Index(below) => ("index", below),
                Values::Mask => ("mask", 0),
            };
            json!({"shape": operand.shape, "values": values, "below": below, "leaf": operand.leaf})
        });
        let operands: Vec<Value> = operands.collect();
        json!({"op": self.op, "operands": operands, "settings": self.settings})
    }

    fn build(self) -> Result<Case> {
        let operands = self.operands.iter().enumerate();
        Ok(Case {
            name: self.op.into(),
            flops: self.flops,
            operands: operands
                .map(|(i, o)| o.build(i as u32))
                .collect::<Result<_>>()?,
            run: self.run,
            backward: self.needs,
        })
    }
}

/// Random numbers whose gradient is asked for.
fn leaf(shape: impl Into<Vec<usize>>) -> Operand {
    let (shape, values) = (shape.into(), Values::Plain);
    Operand {
        shape,
        values,
        leaf: true,
    }
}

/// Numbers of a kind: a leaf if they are floats of any other than the first kind.
fn of(values: Values, shape: impl Into<Vec<usize>>) -> Operand {
    let leaf = matches!(values, Values::Positive | Values::NearOne | Values::Plain);
    Operand {
        values,
        leaf,
        shape: shape.into(),
    }
}

/// Random numbers without a gradient.
fn constant(shape: impl Into<Vec<usize>>) -> Operand {
    Operand {
        leaf: false,
        ..leaf(shape)
    }
}

impl Operand {
    fn build(&self, number: u32) -> Result<Var> {
        let count = self.shape.iter().product::<usize>() as u32;
        let bits = (0..count).map(|i| hash(i.wrapping_add(number.wrapping_mul(0x9e37_79b9))));
        let unit = |bits: u32| (bits >> 8) as f32 / (1 << 24) as f32;
        let plain = |bits: u32| 2.0 * unit(bits) - 1.0;
        let shape = &self.shape[..];
        let tensor = match self.values {
            Values::Plain => Tensor::from_vec(bits.map(plain).collect(), shape)?,
            Values::Positive => Tensor::from_vec(bits.map(|b| unit(b) + 0.1).collect(), shape)?,
            Values::NearOne => {
                Tensor::from_vec(bits.map(|b| 1.0 + 0.01 * plain(b)).collect(), shape)?
            }
            Values::Index(n) => {
                Tensor::from_vec(bits.map(|b| i64::from(b % n as u32)).collect(), shape)?
            }
            Values::Mask => Tensor::from_vec(bits.map(|b| (b & 1) as u8).collect(), shape)?,
        };
        Ok(if self.leaf {
            Var::leaf(tensor)
        } else {
            Var::from(tensor)
        })
    }
}

/// Scatters the bits of a number: two rounds of xor-shift and multiplication.
fn hash(mut x: u32) -> u32 {
    for factor in [0x7feb_352d, 0x846c_a68b] {
        x = (x ^ x >> 16).wrapping_mul(factor);
    }
    x ^ x >> 15
}

fn specs() -> Vec<Spec> {
    let rooms = [
        pointwise::specs(),
        reductions::specs(),
        products::specs(),
        layout::specs(),
        images::specs(),
        losses::specs(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Answers lines of the input until it ends.
pub fn serve(meter: &mut Meter) -> Result<()> {
    let mut case = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::Argument(format!("cannot read the input: {e}")))?;
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("list", _) => Ok(json!({"cases": specs().iter().map(Spec::json).collect::<Vec<_>>()})),
            ("case", number) => {
                // The operands of the one before make room first.
                drop(case.take());
                prepare(number).map(|(built, answer)| {
                    case = Some(built);
                    answer
                })
            }
            ("time", seconds) => time(case.as_ref(), seconds),
            ("limits", _) => {
                meter.read();
                let peak = meter.peak();
                Ok(json!({"flops": peak.flops, "bytes": peak.bytes}))
            }
            _ => Err(Error::Argument(format!("`{line}` is no command"))),
        };
        let answer = answer.unwrap_or_else(|e| json!({"error": e.to_string()}));
        writeln!(Stdout, "{answer}")?;
    }
    Ok(())
}

/// The case of this number, and what is known of it.
fn prepare(number: &str) -> Result<(Case, Value)> {
    let number: Option<usize> = number.parse().ok();
    let spec = number.and_then(|number| specs().into_iter().nth(number));
    let case = spec
        .ok_or_else(|| Error::Argument("no case has this number".into()))?
        .build()?;
    let y = (case.run)(&case.operands)?;
    let (shape, moved) = (y.shape().to_vec(), case.moved(y.value().bytes()));
    let mut sums = vec![sums_of(y.value())?];
    if y.requires_grad() {
        let dy = Operand {
            shape: shape.clone(),
            values: Values::Plain,
            leaf: false,
        };
        let dy = dy.build(100)?.into_value().cast(y.dtype())?;
        let gradients = y.backward_from(dy, &[])?;
        for operand in case.operands.iter().filter(|v| v.requires_grad()) {
            sums.extend(gradients.of(operand).map(sums_of).transpose()?);
        }
    }
    let answer = json!({"shape": shape, "sums": sums, "bytes": moved, "flops": [case.flops, 2.0 * case.flops]});
    Ok((case, answer))
}

/// Of all elements, and of their sizes.
fn sums_of(x: &Tensor) -> Result<[f64; 2]> {
    let numbers: Vec<f64> = match x.dtype() {
        DType::U8 => x.to_vec::<u8>()?.into_iter().map(f64::from).collect(),
        DType::I64 => x.to_vec::<i64>()?.into_iter().map(|x| x as f64).collect(),
        _ => x
            .cast(DType::F32)?
            .to_vec::<f32>()?
            .into_iter()
            .map(f64::from)
            .collect(),
    };
    Ok([numbers.iter().sum(), numbers.iter().map(|x| x.abs()).sum()])
}

fn time(case: Option<&Case>, seconds: &str) -> Result<Value> {
    let time = seconds
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let (Some(case), Some(time)) = (case, time) else {
        return Err(Error::Argument(
            "`time SECONDS` comes after `case N`".into(),
        ));
    };
    let times = case.times(time)?;
    Ok(json!({"forward": times.forward, "backward": times.backward}))
}
