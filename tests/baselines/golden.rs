//! What `goldens/models/make.py` wrote, and the same forward and backward pass here.

use std::collections::BTreeMap;

use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::models::Config;
use wavemix::{DType, Module, Pass, Precision, Rng, Tensor, Var};

/// A model's file.
pub struct Golden {
    tensors: BTreeMap<String, Tensor>,
    /// Whether the pass trains.
    train: bool,
}

impl Golden {
    pub fn read(name: &str) -> Golden {
        let root = env!("CARGO_MANIFEST_DIR");
        let path = format!("{root}/tests/goldens/models/{name}.safetensors");
        let file = TensorFile::read(path).unwrap();
        Golden {
            train: file.metadata["train"] == "true",
            tensors: file.tensors.into_iter().collect(),
        }
    }

    /// A tensor; maps with channels last.
    pub fn get(&self, name: &str) -> Tensor {
        let x = Var::from(&self.tensors[name]);
        let last = match x.shape().len() {
            4 => x.permute(&[0, 2, 3, 1]).unwrap(),
            _ => x,
        };
        last.into_value()
    }

    /// Those named `prefix.NAME`, by NAME, in PyTorch's layout.
    pub fn under(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let below = |name: &str| {
            let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some(rest.to_owned())
        };
        let tensors = self.tensors.iter();
        tensors
            .filter_map(|(name, x)| Some((below(name)?, x.clone())))
            .collect()
    }

    /// The largest number of all those named `prefix.NAME`, or 1.
    pub fn largest(&self, prefix: &str) -> f64 {
        let all = self.under(prefix);
        let all = all.values().flat_map(floats);
        all.fold(1.0, |most, x| f64::max(most, x.abs()))
    }
}

/// The output, the gradient of the images and, under files' names and in their layout, those of the
/// weights, and the buffers after the pass.
pub struct Outcome {
    pub y: Tensor,
    pub images: Tensor,
    pub weights: BTreeMap<String, Tensor>,
}

/// The golden's pass, with weights in this type.
pub fn run(golden: &Golden, config: &Config, precision: Precision, dtype: DType) -> Outcome {
    let (model, mut params) = config.build(dtype, &Rng::new(0)).unwrap();
    let fit = weights::from_file(&mut params, &golden.under("weight")).unwrap();
    assert!(fit.is_exact(), "{config}: {fit}");
    let cast = |name: &str| golden.get(name).cast(dtype).unwrap();
    let images = Var::leaf(cast("input"));
    // Evaluation lends weights as constants. What differs is BatchNorm, which such models have not.
    let pass = Pass::train(&params, Rng::new(1));
    assert!(golden.train || params.buffers().is_empty(), "{config}");
    let pass = pass.in_precision(precision).unwrap();
    let y = model.forward(&pass, &images).unwrap();
    let gradients = y.backward_from(cast("probe"), &[]).unwrap();
    let updates = pass.into_updates();
    let names: Vec<String> = params.entries().iter().map(|e| e.name.clone()).collect();
    let own = names.into_iter().map(|name| {
        let id = params.id(&name).unwrap();
        // That of a weight that is added or concatenated has the type that the pass computes in.
        let gradient = gradients.of_param(&params, id).unwrap().cast(dtype);
        (name, gradient.unwrap())
    });
    let own: Vec<(String, Tensor)> = own.collect();
    params.apply(updates).unwrap();
    for (name, gradient) in own {
        params.set(&name, &gradient).unwrap();
    }
    Outcome {
        y: y.into_value(),
        images: gradients.of(&images).unwrap().clone(),
        weights: weights::to_file(&params).unwrap(),
    }
}

fn floats(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

pub fn difference(a: &Tensor, b: &Tensor) -> Tensor {
    let pairs = floats(a).into_iter().zip(floats(b));
    Tensor::from_vec(pairs.map(|(a, b)| a - b).collect(), a.shape()).unwrap()
}

/// The root of the mean square.
pub fn rms(x: &Tensor) -> f64 {
    let x = floats(x);
    (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
}

/// That no element is off by more than this.
pub fn assert_within(what: &str, got: &Tensor, want: &Tensor, allowed: f64) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for (i, (got, want)) in floats(got).iter().zip(&floats(want)).enumerate() {
        let off = (got - want).abs();
        assert!(off <= allowed, "{what}: element {i} is {got}, not {want}");
    }
}

/// That no element is off by more than `tolerance` of the largest, or of 1.
pub fn assert_near(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    let largest = floats(want)
        .iter()
        .fold(1.0f64, |most, x| most.max(x.abs()));
    assert_within(what, got, want, tolerance * largest);
}
