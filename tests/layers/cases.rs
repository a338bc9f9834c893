//! The layers of `goldens/layers.py`.

use wavemix::nn::{
    BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Embedding, GroupNorm, LayerNorm, Linear, Module,
    MultiHeadAttention, RmsNorm, Sequential,
};
use wavemix::params::Names;
use wavemix::{Device, Pass, Result, Tensor, Var, Window, Window1d};

/// What a layer makes of its inputs, which are on this device.
pub type Layer = Box<dyn Fn(&Pass, &[Var], Device) -> Result<Var> + Send + Sync>;

pub struct Case {
    /// That of the golden.
    pub name: &'static str,
    pub declare: fn(&mut Names) -> Result<Layer>,
    /// Whether inputs of three axes are rows with channels, `[n, c, length]` in PyTorch.
    pub rows: bool,
    /// How often a number is rounded to bf16 on its way to the output.
    pub roundings: f64,
}

const fn case(
    name: &'static str,
    roundings: f64,
    declare: fn(&mut Names) -> Result<Layer>,
) -> Case {
    Case {
        name,
        declare,
        rows: false,
        roundings,
    }
}

const fn rows(
    name: &'static str,
    roundings: f64,
    declare: fn(&mut Names) -> Result<Layer>,
) -> Case {
    Case {
        rows: true,
        ..case(name, roundings, declare)
    }
}

fn one(module: impl Module + 'static) -> Result<Layer> {
    Ok(Box::new(move |pass: &Pass, v: &[Var], _: Device| {
        module.forward(pass, &v[0])
    }))
}

/// Self-attention of one input, or attention of three.
fn attention(layer: MultiHeadAttention) -> Result<Layer> {
    Ok(Box::new(move |pass: &Pass, v: &[Var], _: Device| match v {
        [x] => layer.forward(pass, x),
        _ => layer.attend(pass, &v[0], &v[1], &v[2]),
    }))
}

const GROUPS: Window = Window {
    stride: [1, 2],
    padding: [1, 2],
    output_padding: [0, 0],
    dilation: [1, 1],
    groups: 2,
};

pub const CASES: &[Case] = &[
    case("linear_without_bias", 1.0, |n| {
        one(Linear::without_bias(n, "layer", [5, 4])?)
    }),
    case("conv2d", 1.0, |n| {
        one(Conv2d::new(n, "layer", [4, 6], [3, 5], GROUPS)?)
    }),
    case("conv2d_without_bias", 1.0, |n| {
        let window = Window::default();
        one(Conv2d::without_bias(n, "layer", [3, 5], [1, 2], window)?)
    }),
    case("conv_transpose2d", 1.0, |n| {
        let window = Window {
            stride: [2, 1],
            padding: [1, 0],
            ..GROUPS
        };
        one(ConvTranspose2d::new(n, "layer", [4, 6], [3, 2], window)?)
    }),
    case("conv_transpose2d_without_bias", 1.0, |n| {
        let window = Window::tiling(2);
        one(ConvTranspose2d::without_bias(
            n,
            "layer",
            [3, 5],
            2,
            window,
        )?)
    }),
    rows("conv1d", 1.0, |n| {
        let window = Window1d {
            stride: 2,
            padding: 1,
            groups: 2,
            ..Window1d::default()
        };
        one(Conv1d::new(n, "layer", [4, 6], 3, window)?)
    }),
    rows("conv1d_without_bias", 1.0, |n| {
        let window = Window1d {
            dilation: 2,
            ..Window1d::default()
        };
        one(Conv1d::without_bias(n, "layer", [3, 5], 4, window)?)
    }),
    case("batch_norm", 1.0, |n| {
        let norm = BatchNorm::new(n, "layer", 3)?;
        one(norm.with_eps(1e-2).with_momentum(0.3))
    }),
    case("layer_norm", 1.0, |n| {
        one(LayerNorm::new(n, "layer", 6)?.with_eps(1e-2))
    }),
    case("layer_norm_without_bias", 1.0, |n| {
        one(LayerNorm::without_bias(n, "layer", 6)?)
    }),
    case("group_norm", 1.0, |n| {
        one(GroupNorm::new(n, "layer", 3, 6)?.with_eps(1e-2))
    }),
    rows("group_norm_of_one", 1.0, |n| {
        one(GroupNorm::new(n, "layer", 1, 6)?)
    }),
    case("rms_norm", 1.0, |n| {
        one(RmsNorm::new(n, "layer", 6)?.with_eps(1e-2))
    }),
    case("embedding", 1.0, |n| {
        let layer = Embedding::new(n, "layer", [7, 4])?;
        Ok(Box::new(move |pass: &Pass, _: &[Var], device: Device| {
            let indices = Tensor::from_vec(vec![3i64, 0, 6, 3, 3, 5], [2, 3])?;
            layer.look_up(pass, &indices.to_device(device)?)
        }))
    }),
    // Query, its scaling, key, scores, means, values, their mean, and the output.
    case("attention", 8.0, |n| {
        attention(MultiHeadAttention::new(n, "layer", 8, 2)?)
    }),
    case("attention_causal", 8.0, |n| {
        attention(MultiHeadAttention::new(n, "layer", 6, 3)?.causal())
    }),
    case("attention_cross", 8.0, |n| {
        attention(MultiHeadAttention::new(n, "layer", 8, 4)?)
    }),
    case("attention_without_bias", 8.0, |n| {
        attention(MultiHeadAttention::without_bias(n, "layer", 4, 1)?)
    }),
    case("sequential", 3.0, |n| {
        let mut n = n.within("layer");
        one(Sequential::new()
            .then(Linear::new(&mut n, "0", [4, 8])?)
            .apply(Var::gelu)
            .then(Linear::new(&mut n, "2", [8, 3])?))
    }),
];
