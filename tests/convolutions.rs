//! Convolutions of the sizes that models have, exactly: all values are small integers, so every sum
//! is exact in f32 whatever its order, and whatever algorithm computes it. At such sizes an image
//! is cut into many tasks, which small shapes never are.
//!
//! A convolution is linear in its input and in its weight, so for y = conv(x, w) and any dy
//!
//! ```text
//! <y, dy> = <x, dx> = <w, dw>,
//! ```
//!
//! which checks all three operations against one another at the cost of three dot products. bf16
//! and, where the layer is small, f64 have to give the rounded and the very same results. The
//! definition itself is compared with at small shapes, by the fuzz target `convolution`.

use std::fmt::Debug;

use wavemix::ops::{conv_transpose2d, conv2d};
use wavemix::{DType, Tensor, Var, Window};

/// A layer: the side of its (square) input, channels in and out, kernel, stride, padding, groups
/// and dilation.
#[derive(Clone, Copy, Debug)]
struct Layer {
    side: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    groups: usize,
    dilation: usize,
}

fn layer(side: usize, channels: [usize; 2], kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer {
        side,
        channels,
        kernel,
        stride,
        padding,
        groups: 1,
        dilation: 1,
    }
}

impl Layer {
    fn window(&self) -> Window {
        let Layer {
            stride,
            padding,
            groups,
            dilation,
            ..
        } = *self;
        Window {
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [dilation; 2],
            groups,
            ..Window::default()
        }
    }
}

/// Integers of -1 to 1, or -2 to 2, that repeat at no length of a layer.
fn integers(shape: [usize; 4], most: i64, step: u64) -> Vec<f64> {
    let value = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step) >> 40) as i64;
    (0..shape.iter().product::<usize>() as u64)
        .map(|i| (value(i) % (2 * most + 1) - most) as f64)
        .collect()
}

type Op<'a> = &'a dyn Fn(&Var, &Var) -> wavemix::Result<Var>;

/// y, dx and dw in one dtype, as f64.
fn run(
    op: Op,
    dtype: DType,
    [x, w]: [(&[f64], [usize; 4]); 2],
    dy: Option<&[f64]>,
) -> ([Vec<f64>; 3], Vec<f64>, [usize; 4]) {
    let leaf = |(values, shape): (&[f64], [usize; 4])| Var::leaf(tensor(values, shape, dtype));
    let (x, w) = (leaf(x), leaf(w));
    let y = op(&x, &w).unwrap();
    let shape: [usize; 4] = y.shape().to_vec().try_into().unwrap();
    let dy = dy.map_or_else(|| integers(shape, 1, 3), <[f64]>::to_vec);
    let gradients = y.backward_from(tensor(&dy, shape, dtype), &[]).unwrap();
    let f64s = |t: &Tensor| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
    (
        [
            f64s(y.value()),
            f64s(gradients.of(&x).unwrap()),
            f64s(gradients.of(&w).unwrap()),
        ],
        dy,
        shape,
    )
}

fn tensor(values: &[f64], shape: [usize; 4], dtype: DType) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape)
        .unwrap()
        .cast(dtype)
        .unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rounded(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|&v| half::bf16::from_f64(v).to_f64())
        .collect()
}

/// One layer on so many images, in f32, bf16 and (where it is small) f64.
fn check(name: &dyn Debug, op: Op, x_shape: [usize; 4], w_shape: [usize; 4]) {
    let (x, w) = (integers(x_shape, 1, 1), integers(w_shape, 1, 2));
    let inputs = [(&x[..], x_shape), (&w[..], w_shape)];
    let ([y, dx, dw], dy, _) = run(op, DType::F32, inputs, None);
    let (all, by_x, by_w) = (dot(&y, &dy), dot(&x, &dx), dot(&w, &dw));
    assert!(
        all == by_x && all == by_w,
        "{name:?}: <y, dy> = {all}, <x, dx> = {by_x}, <w, dw> = {by_w}"
    );
    assert!(
        [&y, &dx, &dw].iter().all(|t| t.iter().any(|&v| v != 0.0)),
        "{name:?}: nothing but zeros"
    );
    let ([y16, dx16, dw16], ..) = run(op, DType::BF16, inputs, Some(&dy));
    assert!(y16 == rounded(&y), "{name:?}: y in bf16");
    assert!(dx16 == rounded(&dx), "{name:?}: dx in bf16");
    assert!(dw16 == dw, "{name:?}: dw of bf16");
    if y.len() * w_shape.iter().skip(1).product::<usize>() < 1 << 27 {
        let ([y64, dx64, dw64], ..) = run(op, DType::F64, inputs, Some(&dy));
        assert!(y64 == y && dx64 == dx && dw64 == dw, "{name:?}: f64");
    }
}

/// The layer as a convolution.
fn forward(n: usize, l: Layer) {
    let w = [l.channels[1], l.kernel, l.kernel, l.channels[0] / l.groups];
    check(
        &(n, l),
        &|x, w| conv2d(x, w, None, l.window()),
        [n, l.side, l.side, l.channels[0]],
        w,
    );
}

/// The layer as a transposed convolution.
fn transposed(n: usize, l: Layer) {
    let w = [l.channels[0], l.kernel, l.kernel, l.channels[1] / l.groups];
    check(
        &(n, l),
        &|x, w| conv_transpose2d(x, w, None, l.window()),
        [n, l.side, l.side, l.channels[0]],
        w,
    );
}

/// ResNets: both stems, the stages of basic blocks and of bottlenecks, and their shortcuts, at 32
/// and 224 pixels.
#[test]
fn layers_of_resnets() {
    for (n, side) in [(64, 16), (16, 32), (1, 56)] {
        forward(n, layer(4 * side, [3, 64], 7, 2, 3));
        forward(n, layer(side, [3, 64], 3, 1, 1));
        for (stage, width) in [64, 128, 256, 512].into_iter().enumerate() {
            let side = side >> stage;
            forward(n, layer(side, [width, width], 3, 1, 1));
            forward(n, layer(side, [4 * width, width], 1, 1, 0));
            if stage > 0 {
                forward(n, layer(2 * side, [width / 2, width], 3, 2, 1));
                forward(n, layer(2 * side, [width / 2, width], 1, 2, 0));
                forward(n, layer(2 * side, [width, width], 3, 2, 1));
            }
        }
    }
}

/// 3x3 with stride 2 at every even size at which its gradient once could not be computed, and
/// ResNet's stem at others.
#[test]
fn strided_layers_at_any_size() {
    for side in (58..=64).step_by(2) {
        forward(1, layer(side, [64, 128], 3, 2, 1));
    }
    for side in (16..=42).step_by(2) {
        forward(1, layer(side, [128, 256], 3, 2, 1));
    }
    for side in [33, 48, 56, 64] {
        forward(1, layer(side, [3, 64], 7, 2, 3));
    }
    transposed(1, layer(18, [4, 4], 5, 2, 1));
}

/// WaveMix: one level of the transform after the other, and the depth-wise convolution;
/// WaveMix-Lite: the levels of table 8, the cascades, and the heads of segmentation and
/// super-resolution.
#[test]
fn layers_of_wavemix() {
    for (n, side) in [(1, 32), (16, 28), (64, 32)] {
        for dim in [16, 64, 128] {
            for level in 1..=4 {
                let small = side >> level;
                transposed(
                    n,
                    layer(small, [dim, dim / 4], (1 << level) + 2, 1 << level, 1),
                );
            }
            forward(
                n,
                Layer {
                    groups: dim,
                    ..layer(side, [dim, dim], 5, 1, 2)
                },
            );
        }
        for level in 1..=4 {
            transposed(
                n,
                layer(side >> level, [144, 144], (1 << level) + 2, 1 << level, 1),
            );
        }
        transposed(n, layer(side / 4, [256, 128], 4, 2, 1));
        transposed(n, layer(side / 2, [256, 256], 4, 2, 1));
        transposed(n, layer(side, [128, 64], 4, 2, 1));
        forward(n, layer(side, [3, 64], 3, 1, 1));
        forward(n, layer(side, [64, 128], 3, 2, 1));
    }
}

/// Patches, depth-wise and strided layers of the other models that the papers compare with.
#[test]
fn layers_of_other_models() {
    let depthwise = |side, c, kernel, stride, padding| Layer {
        groups: c,
        ..layer(side, [c, c], kernel, stride, padding)
    };
    for n in [1, 16, 64] {
        // MobileNetV2 of width 2: its stem and its depth-wise layers.
        forward(n, layer(64, [3, 64], 3, 2, 1));
        for (side, c, stride) in [
            (32, 64, 1),
            (32, 192, 2),
            (16, 288, 2),
            (8, 384, 2),
            (8, 384, 1),
            (4, 1152, 2),
            (2, 1920, 1),
        ] {
            forward(n, depthwise(side, c, 3, stride, 1));
        }
        // ConvMixer, whose kernels of 8 are even: padded by an op of its own; and kernels of 9.
        forward(n, depthwise(39, 256, 8, 1, 0));
        forward(n, depthwise(32, 256, 9, 1, 4));
        // Patches: ConvMixer, ViT and MLP-Mixer.
        forward(n, layer(64, [3, 256], 2, 2, 0));
        forward(n, layer(32, [3, 128], 4, 4, 0));
        forward(n, layer(64, [3, 512], 8, 8, 0));
        // CvT's embeddings and projections, CCT's tokenizer, SegFormer's embeddings and its
        // reduction of keys and values.
        forward(n, layer(32, [3, 64], 7, 4, 2));
        forward(n, layer(8, [64, 192], 3, 2, 1));
        forward(n, depthwise(16, 64, 3, 2, 1));
        forward(n, layer(32, [3, 128], 3, 1, 1));
        forward(n, layer(64, [3, 32], 7, 4, 3));
        forward(n, layer(16, [32, 64], 3, 2, 1));
        forward(n, layer(16, [32, 32], 8, 8, 0));
    }
}

/// Segmentation and vision transformers: dilated stages and heads, decoders, and Nystrom
/// attention's filters along the tokens.
#[test]
fn layers_of_segmentation_and_attention() {
    let dilated = |side, channels, dilation| Layer {
        dilation,
        ..layer(side, channels, 3, 1, dilation)
    };
    for (n, side) in [(1, 28), (16, 13), (64, 8)] {
        // DeepLabV2: ResNet-101's third and fourth stage, and the four heads, some of which reach
        // beyond their map.
        forward(n, dilated(side, [256, 256], 2));
        forward(n, dilated(side, [512, 512], 4));
        [6, 12, 18, 24]
            .into_iter()
            .for_each(|dilation| forward(n, dilated(side, [2048, 19], dilation)));
        // UNet's decoder on ResNet-18: the map from below beside the skip.
        forward(n, layer(side, [512 + 256, 256], 3, 1, 1));
        forward(n, layer(2 * side, [32 + 64, 32], 3, 1, 1));
        forward(n, layer(4 * side, [16, 19], 3, 1, 1));
        // CPV's stem and first layer.
        forward(n, layer(side, [32, 64], 3, 1, 1));
        forward(n, layer(side, [64, 128], 3, 1, 1));
    }
    // 1025 tokens and 63 zeros of a head's 32 values: one filter of 33 tokens for each of 4 heads.
    let window = Window {
        padding: [16, 0],
        groups: 4,
        ..Window::default()
    };
    for n in [1, 16] {
        check(
            &("Nystrom", n),
            &|x, w| conv2d(x, w, None, window),
            [n, 1088, 32, 4],
            [4, 33, 1, 1],
        );
    }
}
