//! What `goldens/layers.py` wrote, and one forward and backward pass of its layers.

use std::collections::BTreeMap;

use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::{DType, Device, Params, Pass, Precision, Rng, Tensor, Var};

use super::cases::{Case, Layer};

/// The tensors of `layers.safetensors` whose names begin with a case's.
pub struct Golden(pub BTreeMap<String, Tensor>);

impl Golden {
    pub fn of(case: &Case) -> Golden {
        let root = env!("CARGO_MANIFEST_DIR");
        let file = TensorFile::read(format!("{root}/tests/goldens/layers.safetensors")).unwrap();
        Golden(under(&file.tensors, case.name))
    }

    /// The same with all numbers rounded to this type.
    pub fn rounded(mut self, dtype: DType) -> Golden {
        let floats = self.0.values_mut().filter(|x| x.dtype() == DType::F64);
        floats.for_each(|x| *x = x.cast(dtype).unwrap().cast(DType::F64).unwrap());
        self
    }

    /// A tensor with channels last.
    pub fn get(&self, case: &Case, name: &str) -> Tensor {
        channels_last(case, &self.0[name])
    }

    /// The inputs, with channels last.
    pub fn inputs(&self, case: &Case) -> Vec<Tensor> {
        let inputs = under(&self.0, "input");
        inputs.values().map(|x| channels_last(case, x)).collect()
    }
}

/// Those named `prefix.NAME`, by NAME.
pub fn under(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let below = |name: &str| {
        name.strip_prefix(prefix)?
            .strip_prefix('.')
            .map(str::to_owned)
    };
    let found = tensors
        .iter()
        .filter_map(|(name, x)| Some((below(name)?, x.clone())));
    found.collect()
}

/// PyTorch's images `[n, c, h, w]` as `[n, h, w, c]`, and rows `[n, c, length]` of a layer that works
/// along them as `[n, length, c]`; others stay.
fn channels_last(case: &Case, x: &Tensor) -> Tensor {
    let x = Var::from(x);
    let last = match x.shape().len() {
        4 => x.permute(&[0, 2, 3, 1]),
        3 if case.rows => x.transpose(1, 2),
        _ => Ok(x),
    };
    last.unwrap().into_value()
}

/// A layer, and parameters that hold the golden's state dict, in this dtype.
pub fn loaded(case: &Case, golden: &Golden, dtype: DType) -> (Layer, Params) {
    let (layer, mut params) =
        Params::declare(dtype, &Rng::new(0), |names| (case.declare)(names)).unwrap();
    let state = under(&golden.0, "weight").into_iter();
    let state = state
        .map(|(name, x)| (format!("layer.{name}"), x))
        .collect();
    let fit = weights::from_file(&mut params, &state).unwrap();
    assert!(fit.is_exact(), "{}: {fit}", case.name);
    (layer, params)
}

/// The output, the gradients of the inputs, and as files have them those of the weights, and the
/// buffers after the step; on the CPU.
pub struct Outcome {
    pub y: Tensor,
    pub inputs: Vec<Tensor>,
    pub weights: BTreeMap<String, Tensor>,
}

/// The golden's step in this precision; f64 where that is `None`.
pub fn run(case: &Case, golden: &Golden, precision: Option<Precision>, device: Device) -> Outcome {
    let dtype = precision.map_or(DType::F64, |_| DType::F32);
    let (layer, mut params) = loaded(case, golden, dtype);
    params.to_device(device).unwrap();
    let there = |x: &Tensor| x.cast(dtype).unwrap().to_device(device).unwrap();
    let leaves: Vec<Var> = golden
        .inputs(case)
        .iter()
        .map(|x| Var::leaf(there(x)))
        .collect();
    let pass = Pass::train(&params, Rng::new(1))
        .in_precision(precision.unwrap_or_default())
        .unwrap();
    let given: Vec<Var> = leaves.iter().map(|x| pass.input(x).unwrap()).collect();
    let y = layer(&pass, &given, device).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let probe = there(&golden.get(case, "probe")).cast(y.dtype()).unwrap();
    let gradients = y.backward_from(probe, &[]).unwrap();
    let updates = pass.into_updates();
    let here = |x: &Tensor| x.to_device(Device::Cpu).unwrap();
    let names: Vec<String> = params.entries().iter().map(|e| e.name.clone()).collect();
    let own = names.into_iter().map(|name| {
        let id = params.id(&name).unwrap();
        let gradient = gradients.of_param(&params, id).unwrap();
        (name, here(gradient))
    });
    let own: Vec<(String, Tensor)> = own.collect();
    params.apply(updates).unwrap();
    params.to_device(Device::Cpu).unwrap();
    for (name, gradient) in own {
        params.set(&name, &gradient).unwrap();
    }
    Outcome {
        y: here(y.value()),
        inputs: leaves
            .iter()
            .map(|x| here(gradients.of(x).unwrap()))
            .collect(),
        weights: under(&weights::to_file(&params).unwrap(), "layer"),
    }
}

fn floats(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

/// That two tensors are as near as `allowed` times the largest number of what is wanted, or 1.
pub fn assert_near(what: &str, got: &Tensor, want: &Tensor, allowed: f64) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let (got, want) = (floats(got), floats(want));
    let largest = want.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let off = (got - want).abs();
        assert!(
            off <= allowed * largest,
            "{what}: element {i} is {got}, not {want}"
        );
    }
}

/// That a step in 16 bits, or f32, is that in f64 from the same numbers but for the roundings on the
/// way, each off by `unit` of the number at most. Those of a sum's terms add up like a random walk
/// over the few terms that are here. Gradients pass the same ops once more.
pub fn assert_rounded(case: &Case, got: &Outcome, want: &Outcome, unit: f64) {
    let (name, allowed) = (case.name, 2.0 * case.roundings * unit);
    assert_near(name, &got.y, &want.y, allowed);
    for (i, (got, want)) in got.inputs.iter().zip(&want.inputs).enumerate() {
        assert_near(&format!("{name}, input {i}"), got, want, 2.0 * allowed);
    }
    for (weight, want) in &want.weights {
        if want.dtype() == DType::F64 {
            let what = format!("{name}, {weight}");
            assert_near(&what, &got.weights[weight], want, 2.0 * allowed);
        }
    }
}
