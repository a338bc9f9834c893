//! What layers begin with: PyTorch's bounds, which its documentation has.

use wavemix::nn::{
    Conv1d, Conv2d, ConvTranspose2d, Embedding, GroupNorm, LayerNorm, Linear, MultiHeadAttention,
    RmsNorm,
};
use wavemix::params::Names;
use wavemix::{DType, Params, Result, Rng, Window, Window1d};

/// The values of each parameter.
fn begun<T>(declare: impl FnOnce(&mut Names) -> Result<T>) -> Vec<(String, Vec<f64>)> {
    let (_, params) = Params::declare(DType::F64, &Rng::new(4), declare).unwrap();
    let names = params.entries().iter().map(|entry| entry.name.clone());
    let values = |name: String| {
        let x = params.get(&name).unwrap();
        (name, x.to_vec().unwrap())
    };
    names.map(values).collect()
}

/// That n numbers are uniform within this bound. The largest of them is nearer to it than 20 / n of
/// it, but once in e^20 draws, and their mean is 0 within six of its standard deviations.
fn assert_uniform(name: &str, values: &[f64], bound: f64) {
    let n = values.len() as f64;
    let most = values.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    assert!(most <= bound && most >= bound * (1.0 - 20.0 / n), "{name}");
    let mean = values.iter().sum::<f64>() / n;
    assert!(
        mean.abs() < 6.0 * bound / (3.0 * n).sqrt(),
        "{name}: {mean}"
    );
}

#[test]
fn linear_layers_and_convolutions_are_uniform() {
    let row = Window1d {
        groups: 2,
        ..Window1d::default()
    };
    let image = Window {
        groups: 2,
        ..Window::default()
    };
    // 1 / sqrt(fan-in), the product of all axes of PyTorch's weight but the first.
    let layers = [
        (begun(|n| Linear::new(n, "a", [40, 50])), 40),
        (begun(|n| Conv1d::new(n, "a", [20, 50], 3, row)), 10 * 3),
        (
            begun(|n| Conv2d::new(n, "a", [20, 50], [3, 2], image)),
            10 * 6,
        ),
        (
            begun(|n| ConvTranspose2d::new(n, "a", [20, 50], [3, 2], image)),
            25 * 6,
        ),
    ];
    for (parameters, fan_in) in layers {
        for (name, values) in &parameters {
            assert_uniform(name, values, 1.0 / f64::from(fan_in).sqrt());
        }
    }
}

#[test]
fn attention_is_glorots_and_its_biases_0() {
    for (name, values) in begun(|n| MultiHeadAttention::new(n, "a", 32, 4)) {
        match &name[2..] {
            // sqrt(6 / (fan-in + fan-out)) of a matrix [3 width, width].
            "in_proj_weight" => assert_uniform(&name, &values, (6.0f64 / 128.0).sqrt()),
            "out_proj.weight" => assert_uniform(&name, &values, 1.0 / 32f64.sqrt()),
            _ => assert!(values.iter().all(|&x| x == 0.0), "{name}"),
        }
    }
}

#[test]
fn norms_change_nothing_and_tables_are_normal() {
    let norms = [
        begun(|n| LayerNorm::new(n, "a", 9)),
        begun(|n| LayerNorm::without_bias(n, "a", 9)),
        begun(|n| GroupNorm::new(n, "a", 3, 9)),
        begun(|n| RmsNorm::new(n, "a", 9)),
    ];
    for (name, values) in norms.concat() {
        let want = if name == "a.weight" { 1.0 } else { 0.0 };
        assert!(values.iter().all(|&x| x == want), "{name}");
    }
    let (_, values) = begun(|n| Embedding::new(n, "a", [100, 50])).remove(0);
    let n = values.len() as f64;
    let (mean, square) = (
        values.iter().sum::<f64>() / n,
        values.iter().map(|x| x * x).sum::<f64>() / n,
    );
    // Standard deviations of both: 1 / sqrt(n), and sqrt(2 / n).
    assert!(mean.abs() < 6.0 / n.sqrt(), "{mean}");
    assert!((square - 1.0).abs() < 6.0 * (2.0 / n).sqrt(), "{square}");
}
