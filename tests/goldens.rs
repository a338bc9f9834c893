//! Models, blocks, training and optimizers against PyTorch and the authors' package `wavemix`
//! 0.2.4.
//!
//! `goldens/make.py` wrote the numbers; `goldens/README.md` says what each file holds. In f64 we
//! agree to 1e-10: any difference in a formula shows. In f32 we agree as far as f32 goes.

use std::collections::BTreeMap;

use serde_json::Value;
use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::models::{
    Architecture, BlockKind, Config, LiteBlock, Mixing, Model, Stem, Task, WaveMix,
};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{AdamW, Lion, Method, Optimizer, Sgd};
use wavemix::{DType, Gradients, Module, Params, Pass, Result, Rng, Tensor, Var};

type Tensors = BTreeMap<String, Tensor>;

/// One file of goldens: tensors in PyTorch's layouts, and what they were made with.
struct Golden {
    name: String,
    tensors: Tensors,
    config: Value,
}

impl Golden {
    fn read(name: &str) -> Golden {
        let file = read(name);
        let config = serde_json::from_str(&file.metadata["config"]).unwrap();
        Golden {
            name: name.to_owned(),
            tensors: file.tensors,
            config,
        }
    }

    fn number(&self, key: &str) -> usize {
        self.config[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{}: no number `{key}`", self.name)) as usize
    }

    /// The model's configuration; for a block, one whose blocks are like it.
    fn config(&self) -> Config {
        let task = match self.config["kind"].as_str().unwrap() {
            "segment" => Task::Segment {
                classes: self.number("classes"),
            },
            "upscale" => Task::Upscale { channels: 3 },
            "classify" => Task::Classify {
                classes: self.number("classes"),
            },
            _ => Task::Classify { classes: 1 },
        };
        let stem = match self.config["stem"].as_str() {
            Some("strided") => {
                Some(Stem::Strided([0, 1].map(|i| {
                    self.config["stem_strides"][i].as_u64().unwrap() as usize
                })))
            }
            Some("patchify") => Some(Stem::Patchify(self.number("patch"))),
            _ => None,
        };
        Config {
            dropout: 0.0,
            task,
            ..Config::of(WaveMix {
                ff: self.number("ff"),
                mult: self.number("mult"),
                mixing: Mixing::Cascade(self.number("levels")),
                stem,
                ..WaveMix::new(BlockKind::Lite, self.number("dim"), self.number("depth"))
            })
        }
    }

    /// The tensors named `prefix.NAME`, by NAME.
    fn under(&self, prefix: &str) -> Tensors {
        let below = |name: &String| {
            name.strip_prefix(prefix)?
                .strip_prefix('.')
                .map(str::to_owned)
        };
        self.tensors
            .iter()
            .filter_map(|(name, tensor)| Some((below(name)?, tensor.clone())))
            .collect()
    }

    fn values(&self, key: &str) -> Vec<f64> {
        floats(&self.tensors[key])
    }

    /// Images or maps, from NCHW to NHWC.
    fn maps(&self, key: &str, dtype: DType) -> Tensor {
        channels_last(&self.tensors[key]).cast(dtype).unwrap()
    }

    /// Asserts that `got` is as near to the golden `key` as `tolerance` times `scale` says.
    fn near(&self, key: &str, got: &Tensor, [tolerance, scale]: [f64; 2]) {
        let (want, got) = (self.values(key), floats(got));
        assert_eq!(want.len(), got.len(), "{}: {key}", self.name);
        let worst = want
            .iter()
            .zip(&got)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        let finite = got.iter().all(|x| x.is_finite());
        assert!(
            finite && worst <= tolerance * scale,
            "{}: {key} is off by {worst:e} with entries up to {scale:e}",
            self.name
        );
    }

    fn largest(&self, key: &str) -> f64 {
        self.values(key)
            .into_iter()
            .map(f64::abs)
            .fold(0.0, f64::max)
    }
}

fn read(name: &str) -> TensorFile {
    TensorFile::read(path(name)).unwrap()
}

fn path(name: &str) -> String {
    format!(
        "{}/tests/goldens/{name}.safetensors",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn floats(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

/// NCHW to NHWC; anything but four dimensions stays.
fn channels_last(x: &Tensor) -> Tensor {
    permuted(x, [0, 2, 3, 1])
}

/// NHWC to NCHW; anything but four dimensions stays.
fn channels_first(x: &Tensor) -> Tensor {
    permuted(x, [0, 3, 1, 2])
}

fn permuted(x: &Tensor, axes: [usize; 4]) -> Tensor {
    if x.shape().len() == 4 {
        Var::from(x).permute(&axes).unwrap().into_value()
    } else {
        x.clone()
    }
}

/// What a golden was made from.
enum Net {
    Block(LiteBlock),
    Model(Box<Model>),
}

impl Net {
    fn build(golden: &Golden, dtype: DType) -> (Net, Params) {
        let (config, rng) = (golden.config(), Rng::new(0));
        let net = Params::declare(dtype, &rng, |names| {
            Ok(match golden.config["kind"].as_str() {
                Some("block") => {
                    let Architecture::WaveMix(wavemix) = &config.architecture else {
                        unreachable!("{}", config.name())
                    };
                    Net::Block(LiteBlock::new(names, wavemix, 0.0)?)
                }
                _ => Net::Model(Box::new(Model::new(names, &config)?)),
            })
        });
        let (net, mut params) = net.unwrap();
        let fit = weights::from_file(&mut params, &golden.under("weight")).unwrap();
        assert!(fit.is_exact(), "{}: {fit}", golden.name);
        (net, params)
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        match self {
            Net::Block(block) => block.forward(pass, x),
            Net::Model(model) => model.forward(pass, x),
        }
    }
}

/// The gradients of all parameters, by name, in the layout of files.
fn in_file_layout(params: &Params, gradients: &Gradients) -> Tensors {
    let (flat, mut copy) = (gradients.flatten(params).unwrap(), params.clone());
    for entry in params.entries() {
        let dw = flat
            .rows(entry.offset..entry.offset + entry.shape.elements())
            .unwrap()
            .reshape(entry.shape)
            .unwrap();
        copy.set(&entry.name, &dw).unwrap();
    }
    weights::to_file(&copy).unwrap()
}

/// Forward, every gradient, BatchNorm's statistics and evaluation of one golden.
fn step(name: &str, dtype: DType, value: f64, gradient: f64) {
    let golden = Golden::read(name);
    let (net, mut params) = Net::build(&golden, dtype);
    let near = |key: &str, got: &Tensor| {
        golden.near(key, &channels_first(got), [value, golden.largest(key)])
    };

    let pass = Pass::train(&params, Rng::new(1));
    let x = Var::leaf(golden.maps("input", dtype));
    let y = net.forward(&pass, &x).unwrap();
    near("output", y.value());
    let loss = (&y * &Var::from(golden.maps("probe", dtype)))
        .unwrap()
        .sum_all()
        .unwrap();
    let gradients = loss.backward().unwrap();

    let got = in_file_layout(&params, &gradients);
    let keys: Vec<String> = params
        .entries()
        .iter()
        .map(|entry| format!("grad.{}", entry.name))
        .collect();
    let largest = keys
        .iter()
        .map(|key| golden.largest(key))
        .fold(0.0, f64::max);
    for key in keys {
        golden.near(&key, &got[&key["grad.".len()..]], [gradient, largest]);
    }
    let dx = channels_first(gradients.of(&x).unwrap());
    golden.near("grad_input", &dx, [gradient, golden.largest("grad_input")]);

    let updates = pass.into_updates();
    params.apply(updates).unwrap();
    for (name, got) in params.buffers() {
        let key = format!("after.{name}");
        golden.near(&key, got, [value, golden.largest(&key)]);
    }
    near(
        "eval_output",
        net.forward(&Pass::eval(&params), &x.detach())
            .unwrap()
            .value(),
    );
}

/// One test for each golden of a training step: in f64, then in f32.
macro_rules! steps {
    ($($name:ident)*) => {
        const STEPS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            step(stringify!($name), DType::F64, 1e-10, 1e-10);
            step(stringify!($name), DType::F32, 1e-5, 1e-4);
        })*
    };
}

steps! {
    block_level1 block_level2 block_level3 block_level4 block_oblong
    classifier_strided1 classifier_strided2_level2 classifier_patchify2_level3 classifier_patchify4
    segment_level3 segment_strided2 upscale upscale_level2
}

#[test]
fn every_golden_is_read_by_a_test() {
    let elsewhere = [
        "layers",
        "pypi_patchify_level3",
        "pypi_patchify_level3_logits",
        "pypi_strided",
        "pypi_strided_logits",
        "trace_optimizers",
        "trace_training",
    ];
    let mut known: Vec<String> = STEPS
        .iter()
        .chain(&elsewhere)
        .map(|name| format!("{name}.safetensors"))
        .collect();
    let names = std::fs::read_dir(format!("{}/tests/goldens", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    known.sort();
    found.sort();
    assert_eq!(known, found);
}

/// Ten steps from PyTorch's weights on its batches: the losses, and the weights and statistics at
/// the end.
fn train(dtype: DType, optimizer: &str, method: Method, tolerance: f64) {
    let golden = Golden::read("trace_training");
    let (net, mut params) = Net::build(&golden, dtype);
    let (images, labels) = (&golden.tensors["images"], &golden.tensors["labels"]);
    let lr = golden.config["optimizers"][optimizer]["lr"]
        .as_f64()
        .unwrap();
    let mut update = Optimizer::new(method, &params).unwrap();
    let mut losses = Vec::new();
    for i in 0..10 {
        let x = images
            .rows(i..i + 1)
            .unwrap()
            .reshape([4, 3, 8, 8])
            .unwrap();
        let x = channels_last(&x).cast(dtype).unwrap();
        let y = labels.rows(i..i + 1).unwrap().reshape([4]).unwrap();
        let pass = Pass::train(&params, Rng::new(i as u64));
        let logits = net.forward(&pass, &x.into()).unwrap();
        let loss = cross_entropy(&logits, &y, CrossEntropyOptions::default()).unwrap();
        losses.push(loss.value().item().unwrap());
        let (gradients, updates) = (loss.backward().unwrap(), pass.into_updates());
        update.step(&mut params, &gradients, updates, lr).unwrap();
    }
    let losses = Tensor::from_vec(losses, [10]).unwrap();
    golden.near(&format!("{optimizer}.losses"), &losses, [tolerance, 1.0]);
    if dtype == DType::F64 {
        for (name, got) in weights::to_file(&params).unwrap() {
            // In front of BatchNorm a bias has a true gradient of 0. Lion follows the sign of its
            // rounding, and AdamW magnifies it by lr / eps = 1e5; the mean that BatchNorm keeps
            // moves along.
            let noise = name.ends_with("feedforward.4.bias")
                || name.ends_with("feedforward.5.running_mean");
            if optimizer == "sgd" || !noise {
                golden.near(&format!("{optimizer}.final.{name}"), &got, [tolerance, 1.0]);
            }
        }
    }
}

#[test]
fn ten_steps_of_adamw() {
    train(DType::F64, "adamw", Method::AdamW(AdamW::default()), 1e-9);
    train(DType::F32, "adamw", Method::AdamW(AdamW::default()), 1e-5);
}

#[test]
fn ten_steps_of_sgd() {
    train(DType::F64, "sgd", Method::Sgd(Sgd::default()), 1e-9);
    train(DType::F32, "sgd", Method::Sgd(Sgd::default()), 1e-5);
}

#[test]
fn ten_steps_of_lion() {
    train(DType::F64, "lion", Method::Lion(Lion::default()), 1e-9);
}

/// A state dict that a user of the package saved gives the package's logits.
fn state_dict(name: &str) {
    let golden = Golden::read(&format!("{name}_logits"));
    let (model, mut params) = golden.config().build(DType::F32, &Rng::new(0)).unwrap();
    weights::load(path(name), &mut params).unwrap();
    let images = golden.maps("input", DType::F32);
    let logits = model.forward(&Pass::eval(&params), &images.into()).unwrap();
    golden.near("logits", logits.value(), [1e-5, 1.0]);
    // Written again it holds the same names, shapes and numbers.
    let (again, original) = (weights::to_file(&params).unwrap(), read(name).tensors);
    assert_eq!(
        again.keys().collect::<Vec<_>>(),
        original.keys().collect::<Vec<_>>()
    );
    for (name, tensor) in original {
        assert_eq!(
            (tensor.shape(), floats(&tensor)),
            (again[&name].shape(), floats(&again[&name])),
            "{name}"
        );
    }
}

#[test]
fn state_dict_of_the_package() {
    state_dict("pypi_strided");
}

#[test]
fn state_dict_of_the_package_with_patches_and_a_cascade() {
    state_dict("pypi_patchify_level3");
}
