//! Points where a formula meets 0 times infinity, infinity minus infinity or a number too large to
//! add to: values and gradients there, as mathematics has them or PyTorch 2.11 gives them. One
//! table for the CPU and for GPUs.

use wavemix::ops::{
    AttentionOptions, BatchNormOptions, CrossEntropyOptions, attention, batch_norm,
    bce_with_logits, cross_entropy, focal_loss, huber_loss, l1_loss, layer_norm, nll_loss, select,
    smooth_l1_loss,
};
use wavemix::{DType, Device, Result, Shape, Tensor, Var};

mod elementwise;
mod rows;

use elementwise::*;
use rows::*;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const LN_2: f64 = std::f64::consts::LN_2;

/// Elements, and the shape they are in.
type Operand = (Vec<f64>, Vec<usize>);

#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    inputs: Vec<Operand>,
    /// What y is, where that is in question too.
    y: Option<Vec<f64>>,
    /// The gradient of y; ones where it is not given.
    dy: Option<Vec<f64>>,
    /// The gradient of each input.
    want: Vec<Vec<f64>>,
}

impl Case {
    fn dy(self, dy: &[f64]) -> Case {
        Case {
            dy: Some(dy.to_vec()),
            ..self
        }
    }

    fn y(self, y: &[f64]) -> Case {
        Case {
            y: Some(y.to_vec()),
            ..self
        }
    }
}

/// Of one operand, a vector.
fn one(name: &'static str, run: fn(&[Var]) -> Result<Var>, x: &[f64], want: &[f64]) -> Case {
    of(
        name,
        run,
        vec![(x.to_vec(), vec![x.len()])],
        vec![want.to_vec()],
    )
}

/// Of two vectors.
fn two(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    [a, b]: [&[f64]; 2],
    want: [&[f64]; 2],
) -> Case {
    let vector = |x: &[f64]| (x.to_vec(), vec![x.len()]);
    of(
        name,
        run,
        vec![vector(a), vector(b)],
        want.map(<[f64]>::to_vec).to_vec(),
    )
}

/// Of rows of `k` elements.
fn rows(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    x: &[f64],
    k: usize,
    want: &[f64],
) -> Case {
    of(
        name,
        run,
        vec![(x.to_vec(), vec![x.len() / k, k])],
        vec![want.to_vec()],
    )
}

fn of(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    inputs: Vec<Operand>,
    want: Vec<Vec<f64>>,
) -> Case {
    Case {
        name,
        run,
        inputs,
        y: None,
        dy: None,
        want,
    }
}

/// A label 0 for each row, where x is.
fn zeros(x: &Var) -> Result<Tensor> {
    Tensor::zeros([x.shape()[0]], DType::I64).to_device(x.value().device())
}

fn smoothed(x: &Var, label_smoothing: f64) -> Result<Var> {
    cross_entropy(
        x,
        &zeros(x)?,
        CrossEntropyOptions {
            label_smoothing,
            ignore_index: None,
        },
    )
}

/// Every case on this device in this type. Of 16-bit f16, whose largest number is 65504, those that
/// fit.
pub fn check(device: Device, dtype: DType) {
    let largest = if dtype == DType::F16 {
        65504.0
    } else {
        f64::MAX
    };
    let powers: &[i32] = if dtype == DType::F64 {
        &[0, 20, 30, 53, 60, 1000]
    } else {
        &[0, 10, 15, 20, 23, 27, 30, 100]
    };
    let parts = [
        functions(),
        of_two_operands(),
        reductions(),
        norms(),
        probabilities(),
        pointwise_losses(),
    ];
    let large = powers.iter().flat_map(|&power| {
        let far = if power < 10 {
            vec![]
        } else {
            [far_below(power), large_residuals(power)].concat()
        };
        [large_logits(power), far].concat()
    });
    let mut wrong = Vec::new();
    for case in parts.into_iter().flatten().chain(large) {
        let fits =
            |x: &f64| !x.is_finite() || *x == 0.0 || (x.abs() < largest && x.abs() > 1.0 / largest);
        let numbers = case
            .inputs
            .iter()
            .map(|(x, _)| x)
            .chain(&case.want)
            .chain(&case.y);
        if numbers.flatten().all(fits) {
            wrong.extend(differences(&case, device, dtype));
        }
    }
    assert!(
        wrong.is_empty(),
        "{dtype} on {device}:\n{}",
        wrong.join("\n")
    );
}

/// A sentence for each result of a case that is not what it should be.
fn differences(case: &Case, device: Device, dtype: DType) -> Vec<String> {
    let there = |(x, shape): &Operand| {
        let x = Tensor::from_slice(x, Shape::new(shape).unwrap()).unwrap();
        Var::leaf(x.cast(dtype).unwrap().to_device(device).unwrap())
    };
    let inputs: Vec<Var> = case.inputs.iter().map(there).collect();
    let y = (case.run)(&inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let dy = case.dy.clone().unwrap_or(vec![1.0; y.value().elements()]);
    let dy = Tensor::from_vec(dy, y.shape())
        .unwrap()
        .cast(y.dtype())
        .unwrap()
        .to_device(device)
        .unwrap();
    let gradients = y.backward_from(dy, &[]).unwrap();
    // A few roundings of the type.
    let unit = match dtype {
        DType::F64 => 2f64.powi(-50),
        DType::BF16 => 2f64.powi(-7),
        DType::F16 => 2f64.powi(-9),
        _ => 2f64.powi(-21),
    };
    let same = |got: f64, want: f64, room: f64| {
        got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= room
    };
    let mut wrong = Vec::new();
    let mut compare = |what: String, got: &Tensor, want: &[f64]| {
        let got = got
            .to_device(Device::Cpu)
            .unwrap()
            .cast(DType::F64)
            .unwrap()
            .to_vec::<f64>()
            .unwrap();
        let room = unit
            * want
                .iter()
                .filter(|x| x.is_finite())
                .fold(0.0, |size: f64, x| size.max(x.abs()));
        if got.len() != want.len()
            || !got
                .iter()
                .zip(want)
                .all(|(&got, &want)| same(got, want, room))
        {
            let x: Vec<&[f64]> = case.inputs.iter().map(|(x, _)| &x[..]).collect();
            wrong.push(format!(
                "{}, {what} at {x:?}: {got:?}, should be {want:?}",
                case.name
            ));
        }
    };
    if let Some(want) = &case.y {
        compare("y".into(), y.value(), want);
    }
    for (i, (x, want)) in inputs.iter().zip(&case.want).enumerate() {
        let zeros = || Tensor::zeros(x.shape(), DType::F64);
        compare(
            format!("gradient {i}"),
            gradients.of(x).unwrap_or(&zeros()),
            want,
        );
    }
    wrong
}
