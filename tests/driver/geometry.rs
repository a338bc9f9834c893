//! Images: convolutions, pooling, wavelets, resizing.

use wavemix::ops::{
    Dropout, Interpolation, avg_pool2d, conv_transpose2d, conv_transpose2d_with_stats, conv1d,
    conv2d, gelu_dropout_conv2d, max_pool2d,
};
use wavemix::{Error, Result, Rng, Tensor, Var, Window, Window1d};

use super::Call;
use super::draw::Draw;

pub const CALLS: &[Call] = &[
    ("conv2d", |d| {
        convolution(d, false, |x, w, b, window| conv2d(x, w, b, window))
    }),
    ("conv1d", |d| {
        let (shape, dtype) = (d.shape(3), d.dtype());
        let x = if d.once_in(12) {
            d.any_var()
        } else {
            d.var(&shape, dtype)
        };
        let window = d.window(x.shape().last().copied().unwrap_or(1).min(1 << 20));
        let window = Window1d {
            stride: window.stride[0],
            padding: window.padding[0],
            dilation: window.dilation[0],
            groups: window.groups,
        };
        let c_in = x.shape().last().copied().unwrap_or(1);
        let own = c_in / window.groups.clamp(1, 1 << 20);
        let lengths = vec![1 + d.below(9), d.positive(), own];
        let weight = d.possible(lengths);
        let weight = d.var(&weight, x.dtype());
        let bias = d.once_in(2).then(|| d.var(&weight.shape()[..1], x.dtype()));
        conv1d(&x, &weight, bias.as_ref(), window)
    }),
    ("gelu_dropout_conv2d", |d| {
        let (p, rng) = (d.pick(&[0.0, 0.5, 0.3, 1.0, 2.0]), Rng::new(1));
        let train = d.once_in(2);
        convolution(d, false, |x, w, b, window| {
            let rng = train.then_some(&rng);
            gelu_dropout_conv2d(x, w, b, window, Dropout { p, rng })
        })
    }),
    ("conv_transpose2d", |d| {
        convolution(d, true, |x, w, b, window| conv_transpose2d(x, w, b, window))
    }),
    ("conv_transpose2d_with_stats", |d| {
        convolution(d, true, |x, w, b, window| {
            conv_transpose2d_with_stats(x, w, b, window).map(|(y, _)| y)
        })
    }),
    ("avg_pool2d", |d| pooling(d, avg_pool2d)),
    ("max_pool2d", |d| pooling(d, max_pool2d)),
    ("global_avg_pool", |d| images(d).global_avg_pool()),
    ("upsample", |d| {
        let x = images(d);
        let kind = d.pick(&[
            Interpolation::Nearest,
            Interpolation::Bilinear,
            Interpolation::Bicubic,
        ]);
        let size = [d.positive(), d.positive()];
        d.say(format!("{size:?} {kind:?}"));
        x.upsample(size, kind)
    }),
    ("dwt", |d| images(d).dwt()),
    ("idwt", |d| {
        let x = images(d);
        let at = |axis: usize| x.shape().get(axis).copied().unwrap_or(1);
        let size = if d.once_in(4) {
            d.pair()
        } else {
            [at(1).saturating_mul(2) - at(1) % 2, at(2).saturating_mul(2)]
        };
        d.say(format!("{size:?}"));
        x.idwt(size)
    }),
    ("dwt_levels", |d| {
        let x = images(d);
        let levels = d.number();
        d.say(levels);
        x.dwt_levels(levels)?
            .pop()
            .ok_or_else(|| Error::Argument("no levels".into()))
    }),
    ("dft_real", |d| {
        let x = d.any_var();
        let mut axes = d.axes(x.shape().len());
        if !d.once_in(6) {
            axes.truncate(3);
        }
        d.say(format!("{axes:?}"));
        x.dft_real(axes)
    }),
    ("output_size", |d| {
        let (window, size, kernel) = (d.window(3), d.pair(), d.pair());
        d.say(format!("{size:?} {kernel:?}"));
        window
            .output_size("driver", size, kernel)
            .map(|size| Var::from(Tensor::scalar(size[0] as f64)))
    }),
    ("transposed_size", |d| {
        let (window, size, kernel) = (d.window(3), d.pair(), d.pair());
        d.say(format!("{size:?} {kernel:?}"));
        window
            .transposed_size("driver", size, kernel)
            .map(|size| Var::from(Tensor::scalar(size[0] as f64)))
    }),
];

/// Images, mostly of four axes.
fn images(d: &mut Draw) -> Var {
    if d.once_in(12) {
        return d.any_var();
    }
    let (shape, dtype) = (d.shape(4), d.dtype());
    d.var(&shape, dtype)
}

type Convolution<'a> = &'a dyn Fn(&Var, &Var, Option<&Var>, Window) -> Result<Var>;

fn convolution(
    d: &mut Draw,
    transposed: bool,
    op: impl Fn(&Var, &Var, Option<&Var>, Window) -> Result<Var>,
) -> Result<Var> {
    let op: Convolution = &op;
    let x = images(d);
    let channels = x.shape().get(3).copied().unwrap_or(1);
    let window = d.window(channels.min(1 << 20));
    let groups = window.groups.clamp(1, 1 << 20);
    let outputs = 1 + d.below(9);
    // One axis of the weight is x's channels, the other the outputs; one of both is a group's
    // share.
    let outer = if transposed {
        channels
    } else {
        outputs.saturating_mul(if d.once_in(3) { 1 } else { groups })
    };
    let inner = if transposed {
        outputs
    } else {
        channels / groups
    };
    let kernel = if d.once_in(16) {
        d.pair()
    } else {
        [1 + d.below(4), 1 + d.below(4)]
    };
    let mut weight = vec![outer, kernel[0], kernel[1], inner];
    if d.once_in(12) {
        weight = d.shape(4);
    }
    let count = weight
        .iter()
        .try_fold(1usize, |n, &length| n.checked_mul(length.max(1)));
    let empty = weight.contains(&0);
    if count.is_none_or(|n| n > if empty { (1 << 60) - 1 } else { 1 << 14 }) {
        weight = d.shape(4);
    }
    let w = d.var(&weight, x.dtype());
    let outputs = if transposed {
        weight[3].saturating_mul(window.groups)
    } else {
        weight[0]
    };
    let bias = (d.once_in(2) && outputs < 1 << 12).then(|| d.var(&[outputs], x.dtype()));
    op(&x, &w, bias.as_ref(), window)
}

fn pooling(d: &mut Draw, op: fn(&Var, [usize; 2], Window) -> Result<Var>) -> Result<Var> {
    let x = images(d);
    let mut window = d.window(1);
    let mut kernel = [d.positive(), d.positive()];
    if d.once_in(6) {
        // The largest kernel that some padding allows.
        let axis = d.below(2);
        kernel[axis] = d.pick(&[1 << 40, 1 << 50, 1 << 61]);
        (window.padding[axis], window.dilation[axis]) = (kernel[axis] / 2, 1);
    }
    d.say(format!("{kernel:?} {window:?}"));
    op(&x, kernel, window)
}
