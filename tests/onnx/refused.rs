//! What cannot be exported, and what users' own models become.

use wavemix::nn::{Conv2d, Linear, Sequential};
use wavemix::onnx::{self, Options};
use wavemix::ops::{BatchNormOptions, Interpolation, Statistics, batch_norm};
use wavemix::prelude::*;
use wavemix::{Window, models::Config};

use crate::helpers::{assert_error, message};
use crate::reader::File;

/// What becomes of a model without weights.
fn of(model: impl Fn(&Pass, &Var) -> Result<Var> + Send + Sync, input: &[usize]) -> Result<File> {
    let (_, params) = Params::declare(DType::F32, &Rng::new(0), |_| Ok(())).unwrap();
    let exported = onnx::export(&model, &params, input, &Options::default())?;
    Ok(File::read(&exported.bytes))
}

fn ops(file: &File) -> Vec<&str> {
    file.nodes.iter().map(|node| &*node.op).collect()
}

#[test]
fn own_models_are_exported() {
    let (model, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        let conv = Conv2d::new(names, "conv", [1, 4], 3, Window::padded(1))?;
        let linear = Linear::new(names, "linear", [4, 2])?;
        Ok(Sequential::new()
            .then(conv)
            .apply(Var::relu)
            .apply(Var::global_avg_pool)
            .then(linear))
    })
    .unwrap();
    let exported = onnx::export(&model, &params, &[9, 9, 1], &Options::default()).unwrap();
    let file = File::read(&exported.bytes);
    assert_eq!(
        ops(&file),
        ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    );
    assert_eq!(file.nodes[0].inputs, ["images", "conv.weight", "conv.bias"]);
    assert_eq!(file.inputs[0].axes, ["batch", "1", "height", "width"]);
}

/// Of inputs that are no images, the batch alone is left open.
#[test]
fn rows_are_exported() {
    let file = of(|_, x| x.exp()?.sum(1)? * 2.0, &[7]).unwrap();
    assert_eq!(ops(&file), ["Exp", "ReduceSum", "Mul"]);
    assert_eq!(
        (&file.inputs[0].axes, &file.outputs[0].axes),
        (
            &vec!["batch".to_owned(), "7".into()],
            &vec!["batch".to_owned()]
        )
    );
}

/// An op of one's own is taken apart into those that it is made of.
#[test]
fn ops_of_ops_are_exported() {
    struct Rule;
    impl wavemix::autograd::Backward for Rule {
        fn backward(self: Box<Self>, dy: Tensor, _: &[bool]) -> Result<Vec<Option<Tensor>>> {
            Ok(vec![Some(dy)])
        }
        fn saves(&self) -> Vec<&Tensor> {
            vec![]
        }
    }
    let own = |_: &Pass, x: &Var| {
        let y = x.detach().square()?.tanh()?;
        Ok(Var::record("my_op", &[x], y.into_value(), || Rule))
    };
    assert_eq!(ops(&of(own, &[3]).unwrap()), ["Mul", "Tanh"]);
}

#[test]
fn what_cannot_be_exported_ends_in_a_sentence() {
    let by_value = |_: &Pass, x: &Var| Ok(Var::from(x.value().cast(DType::F64)?.cast(DType::F32)?));
    let half =
        |_: &Pass, x: &Var| x * Var::from(x.detach().value().cast(DType::F64)?.cast(DType::F32)?);
    let cumsum = |pass: &Pass, x: &Var| {
        let _layer = pass.enter("last");
        x.cumsum(1)
    };
    let cases = [
        (
            of(cumsum, &[4]),
            "the op `cumsum` in `last` cannot be exported, which has no counterpart",
        ),
        (
            of(by_value, &[4]),
            "the answer is not computed from the input by ops of `Var`",
        ),
        (
            of(half, &[4]),
            "an operand of `mul` in `` depends on the input by other ways than ops of `Var`, which export does not see",
        ),
        (of(|_, x| x.reshape([3]), &[4]), "reshape: "),
    ];
    for (result, start) in cases {
        assert_error(result, start);
    }
}

#[test]
fn settings_that_do_not_exist_are_refused() {
    let config = Config::parse("WaveMixLite-8/1").unwrap();
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let with = |opset| {
        let options = Options {
            opset,
            ..Options::default()
        };
        onnx::export(&model, &params, &[32, 32, 3], &options)
    };
    assert_eq!(
        message(with(18)),
        "the version of ONNX's operators is 17 or 20, got 18"
    );
    let (model, params) = config.build(DType::F64, &Rng::new(0)).unwrap();
    let wide = onnx::export(&model, &params, &[32, 32, 3], &Options::default());
    assert_eq!(
        message(wide),
        "weights are exported as f32 on the CPU, these are f64 on cpu"
    );
}

/// Where a model takes one size, the file says so, and why.
#[test]
fn one_size_has_its_reason() {
    let config = Config::parse("ViT-8/1x2").unwrap();
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let exported = onnx::export(&model, &params, &[32, 32, 3], &Options::default()).unwrap();
    let why = exported.fixed.unwrap();
    assert!(
        why.contains("[n, 32, 32, 3], as the model was made for"),
        "{why}"
    );
    assert_eq!(exported.ports[0], "images: f32 [batch, 3, 32, 32]");
}

/// A constant of one shape at every size, whose value follows the size.
#[test]
fn constants_that_follow_the_size_fix_it() {
    let of_height = |_: &Pass, x: &Var| x * Var::from(Tensor::scalar(1.0f32 / x.shape()[1] as f32));
    // Computed by ops, of a constant that has the image's shape.
    let of_ones =
        |_: &Pass, x: &Var| x * Var::from(Tensor::ones([x.shape()[2]], DType::F32)).sum(0)?;
    let (_, params) = Params::declare(DType::F32, &Rng::new(0), |_| Ok(())).unwrap();
    let models: [&dyn wavemix::Module; 2] = [&of_height, &of_ones];
    for (i, model) in models.into_iter().enumerate() {
        let exported = onnx::export(model, &params, &[32, 32, 3], &Options::default()).unwrap();
        let why = exported.fixed.expect("the constant holds for one size");
        assert!(why.contains("depends on the size of the input"), "{why}");
        assert_eq!(exported.ports[0], "images: f32 [batch, 3, 32, 32]");
        let file = File::read(&exported.bytes);
        let expected = [1.0f32 / 32.0, 32.0][i].to_le_bytes();
        assert!(file.tensors.iter().any(|tensor| tensor.data == expected));
    }
}

#[test]
fn constants_that_follow_the_batch_are_refused() {
    let of_batch = |_: &Pass, x: &Var| x * Var::from(Tensor::scalar(1.0f32 / x.shape()[0] as f32));
    for input in [&[32, 32, 3][..], &[7]] {
        assert_error(
            of(of_batch, input),
            "an operand of `mul` in `` depends on the size of the input",
        );
    }
}

/// Scale and shift that the input changes stay operands, also of values that are no images.
#[test]
fn batch_norm_of_rows_takes_computed_vectors() {
    let model = |_: &Pass, x: &Var| {
        let [gamma, beta] = [x.mean([0, 1])?.exp()?, x.mean([0, 1])?.sin()?];
        let vector = |value: f64| Tensor::full([4], value, DType::F32);
        let given = BatchNormOptions {
            statistics: Statistics::Given(&vector(0.5), &vector(2.0)),
            ..BatchNormOptions::default()
        };
        Ok(batch_norm(x, &gamma, &beta, given)?.0)
    };
    let file = of(model, &[5, 4]).unwrap();
    for op in ["Exp", "Sin"] {
        let node = file.nodes.iter().find(|node| node.op == op).expect(op);
        let taken = |other: &crate::reader::Node| other.inputs.contains(&node.outputs[0]);
        assert!(file.nodes.iter().any(taken), "nothing takes {op}");
    }
}

#[test]
fn lengths_are_any_multiple_of_an_axis() {
    let upsampled = |times: usize| {
        of(
            move |_, x| {
                let [h, w] = [1, 2].map(|axis| times * x.shape()[axis]);
                x.upsample([h, w], Interpolation::Nearest)
            },
            &[8, 8, 1],
        )
    };
    for times in [9, 10, 49] {
        let file = upsampled(times).unwrap();
        assert_eq!(ops(&file), ["Resize"]);
        assert_eq!(file.inputs[0].axes, ["batch", "1", "height", "width"]);
        let factors = [1.0, 1.0, times as f32, times as f32].map(f32::to_le_bytes);
        assert_eq!(file.tensors[0].data, factors.concat());
    }
    let windows = |_: &Pass, x: &Var| x.mean_keep(0)?.expand([49 * x.shape()[0], 7]);
    let file = of(windows, &[7]).unwrap();
    assert_eq!(
        ops(&file),
        ["ReduceMean", "Shape", "Mul", "Concat", "Expand"]
    );
}
