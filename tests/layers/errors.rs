//! What layers refuse when they are declared and when they run; dropout, masks and sequences.

use wavemix::nn::{
    Conv1d, Conv2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear, MultiHeadAttention, RmsNorm,
    Sequential,
};
use wavemix::params::Names;
use wavemix::{DType, Module, Params, Pass, Result, Rng, Tensor, Var, Window, Window1d};

use crate::helpers::message;

fn declared<T>(declare: impl FnOnce(&mut Names) -> Result<T>) -> Result<(T, Params)> {
    Params::declare(DType::F32, &Rng::new(0), declare)
}

fn refusal<T>(declare: impl FnOnce(&mut Names) -> Result<T>) -> String {
    message(declared(declare))
}

#[test]
fn of_what_is_declared() {
    let row = |change: fn(&mut Window1d)| {
        let mut window = Window1d::default();
        change(&mut window);
        window
    };
    let cases = [
        (
            refusal(|n| LayerNorm::new(n, "norm", 0)),
            "layer_norm: channels expects 1 or more, got 0",
        ),
        (
            refusal(|n| RmsNorm::new(n, "norm", 0)),
            "rms_norm: channels expects 1 or more, got 0",
        ),
        (
            refusal(|n| GroupNorm::new(n, "norm", 2, 0)),
            "group_norm: channels expects 1 or more, got 0",
        ),
        (
            refusal(|n| GroupNorm::new(n, "norm", 4, 6)),
            "group_norm: groups expects a divisor of the 6 channels, got 4",
        ),
        (
            refusal(|n| GroupNorm::new(n, "norm", 0, 6)),
            "group_norm: groups expects a divisor of the 6 channels, got 0",
        ),
        (
            refusal(|n| MultiHeadAttention::new(n, "norm", 0, 1)),
            "attention: width expects 1 or more, got 0",
        ),
        (
            refusal(|n| MultiHeadAttention::new(n, "norm", 8, 3)),
            "attention: heads expects a divisor of the width, 8, got 3",
        ),
        (
            refusal(|n| MultiHeadAttention::without_bias(n, "norm", 8, 0)),
            "attention: heads expects a divisor of the width, 8, got 0",
        ),
        (
            refusal(|n| Conv1d::new(n, "norm", [4, 6], 0, Window1d::default())),
            "conv1d: kernel expects 1 or more, got [1, 0]",
        ),
        (
            refusal(|n| Conv1d::new(n, "norm", [4, 6], 3, row(|w| w.stride = 0))),
            "conv1d: stride expects 1 or more, got [1, 0]",
        ),
        (
            refusal(|n| Conv1d::without_bias(n, "norm", [4, 6], 3, row(|w| w.groups = 4))),
            "conv1d: c_out expects a multiple of 4 groups, got 6",
        ),
        (
            refusal(|n| Conv2d::new(n, "norm", [4, 6], [3, 0], Window::default())),
            "conv2d: kernel expects 1 or more, got [3, 0]",
        ),
    ];
    for (got, expected) in cases {
        assert!(got.starts_with(&format!("{expected} (errors.rs:")), "{got}");
        assert!(got.ends_with(", in norm)"), "{got}");
    }
    let dropouts = [
        (
            message(Dropout::new(1.5)),
            "dropout: p expects a probability in 0..=1, got 1.5 (errors.rs:",
        ),
        (
            refusal(|n| MultiHeadAttention::new(n, "norm", 8, 2)?.with_dropout(-0.1)),
            "attention: p expects a probability in 0..=1, got -0.1 (errors.rs:",
        ),
    ];
    for (got, expected) in dropouts {
        assert!(got.starts_with(expected), "{got}");
    }
    let huge = [
        refusal(|n| Embedding::new(n, "words", [1 << 40, 1 << 40])),
        refusal(|n| Linear::without_bias(n, "head", [1 << 40, 1 << 40])),
        refusal(|n| MultiHeadAttention::new(n, "attention", 1 << 60, 1)),
        refusal(|n| Conv1d::new(n, "conv", [1 << 40, 1 << 40], 3, Window1d::default())),
    ];
    for error in huge {
        assert!(error.ends_with("does not fit in memory"), "{error}");
    }
}

#[test]
fn of_what_is_passed() {
    let zeros = |shape: &[usize]| Var::from(Tensor::zeros(shape, DType::F32));
    fn ran(layer: &dyn Module, params: &Params, x: &Var) -> String {
        message(layer.forward(&Pass::eval(params), x))
    }
    let (norm, of_norm) = declared(|n| GroupNorm::new(n, "body.norm", 2, 6)).unwrap();
    let (rms, of_rms) = declared(|n| RmsNorm::new(n, "body.norm", 6)).unwrap();
    let row = Window1d::default();
    let (conv, of_conv) = declared(|n| Conv1d::new(n, "body.norm", [4, 6], 3, row)).unwrap();
    let (words, of_words) = declared(|n| Embedding::new(n, "body.norm", [5, 6])).unwrap();
    let seven = Var::from(Tensor::from_vec(vec![0i64, 7], [2]).unwrap());
    let (heads, of_heads) = declared(|n| MultiHeadAttention::new(n, "body.norm", 6, 2)).unwrap();
    let attended = |shapes: [&[usize]; 3]| {
        let [q, k, v] = shapes.map(zeros);
        message(heads.attend(&Pass::eval(&of_heads), &q, &k, &v))
    };
    let cases = [
        (
            ran(&norm, &of_norm, &zeros(&[6])),
            "group_norm: x expects [n, .., c] with at least one channel, got [6]",
        ),
        (
            ran(&norm, &of_norm, &zeros(&[2, 4])),
            "group_norm: gamma expects [c = 4], got [6]",
        ),
        (
            ran(&rms, &of_rms, &zeros(&[2, 0])),
            "rms_norm: x expects [.., c] with at least one channel, got [2, 0]",
        ),
        (
            ran(&rms, &of_rms, &zeros(&[2, 4])),
            "rms_norm: gamma expects [c = 4], got [6]",
        ),
        (
            ran(&conv, &of_conv, &zeros(&[2, 4])),
            "conv1d: x expects [n, length, c_in], got [2, 4]",
        ),
        (
            ran(&conv, &of_conv, &zeros(&[2, 2, 4])),
            "conv2d: x expects at least 3 columns with the padding of 2 x 0, got 2",
        ),
        (
            ran(&words, &of_words, &seven),
            "index_select: indices expects numbers in 0..5, got 7",
        ),
        (
            attended([&[2, 6], &[2, 4, 6], &[2, 4, 6]]),
            "attention: query expects [n, l, width = 6], got [2, 6]",
        ),
        (
            attended([&[2, 3, 5], &[2, 4, 6], &[2, 4, 6]]),
            "attention: query expects [n, l, width = 6], got [2, 3, 5]",
        ),
        (
            attended([&[2, 3, 6], &[1, 4, 6], &[1, 4, 6]]),
            "attention: key expects [n = 2, m > 0, width = 6], got [1, 4, 6]",
        ),
        (
            attended([&[2, 3, 6], &[2, 0, 6], &[2, 0, 6]]),
            "attention: key expects [n = 2, m > 0, width = 6], got [2, 0, 6]",
        ),
        (
            attended([&[2, 3, 6], &[2, 4, 6], &[2, 5, 6]]),
            "attention: value expects the shape of the keys, [2, 4, 6], got [2, 5, 6]",
        ),
    ];
    for (got, expected) in cases {
        assert!(got.starts_with(&format!("{expected} (errors.rs:")), "{got}");
        assert!(got.ends_with(", in body.norm)"), "{got}");
    }
}

/// Dropout drops in training alone, and the parts of one pass have numbers of their own.
#[test]
fn dropout_of_attention_is_the_passs() {
    let (layer, params) = declared(|n| {
        let layer = MultiHeadAttention::new(n, "attention", 6, 2)?;
        layer.with_dropout(0.5)
    })
    .unwrap();
    let (plain, _) = declared(|n| MultiHeadAttention::new(n, "attention", 6, 2)).unwrap();
    let x = Var::from(Tensor::normal(
        [2, 5, 6],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(2),
    ));
    let of = |layer: &MultiHeadAttention, pass: &Pass| {
        layer.forward(pass, &x).unwrap().to_vec::<f32>().unwrap()
    };
    let eval = Pass::eval(&params);
    assert!(of(&layer, &eval) == of(&plain, &eval));
    let train = |seed| Pass::train(&params, Rng::new(seed));
    assert!(of(&layer, &train(1)) == of(&layer, &train(1)));
    assert!(of(&layer, &train(1)) != of(&layer, &train(2)));
    assert!(of(&layer, &train(1)) != of(&plain, &train(1)));
    let one = train(1);
    assert!(of(&layer, &one) != of(&layer, &one));
}

/// No position of the output depends on a later one of the input, however large that is.
#[test]
fn causal_attention_sees_nothing_later() {
    let (layer, params) =
        declared(|n| Ok(MultiHeadAttention::new(n, "attention", 4, 2)?.causal())).unwrap();
    let of = |last: f64| {
        let first = Tensor::normal([1, 3, 4], 0.0, 1.0, DType::F32, &Rng::new(2));
        let last = Tensor::full([1, 1, 4], last, DType::F32);
        let x = wavemix::ops::concat(&[&first.into(), &last.into()], 1).unwrap();
        let y = layer.forward(&Pass::eval(&params), &x).unwrap();
        let y = y.slice(1, 0..3).unwrap();
        y.to_vec::<f32>().unwrap()
    };
    assert!(of(0.0) == of(1e6));
    assert!(of(0.0).iter().all(|y| y.is_finite()));
}

/// What holds nothing is the identity; modules of any kind follow one another.
#[test]
fn sequences_hold_layers_closures_and_sequences() {
    let x = Var::from(Tensor::from_vec(vec![-1.0f32, 2.0], [1, 2]).unwrap());
    let (empty, params) = declared(|_| Ok(Sequential::new())).unwrap();
    let pass = Pass::eval(&params);
    assert!(empty.is_empty());
    let same = empty.forward(&pass, &x).unwrap();
    assert_eq!(same.to_vec::<f32>().unwrap(), [-1.0, 2.0]);
    let boxed: Box<dyn Module> = Box::new(|_: &Pass, x: &Var| x.add_scalar(1.0));
    let inner = Sequential::from(vec![boxed]).apply(|x| x.mul_scalar(10.0));
    let both = Sequential::new().apply(Var::relu).then(inner).then(empty);
    assert_eq!(both.len(), 3);
    let y = both.forward(&pass, &x).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [10.0, 30.0]);
}
