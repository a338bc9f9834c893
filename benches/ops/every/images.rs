//! Convolutions, pooling, resizing, wavelets and norms of images in NHWC.

use serde_json::json;
use wavemix::ops::{
    BatchNormOptions, Dropout, Interpolation, avg_pool2d, batch_norm, conv_transpose2d,
    conv_transpose2d_with_stats, conv2d, gelu_dropout_conv2d, group_norm, layer_norm, max_pool2d,
    rms_norm,
};
use wavemix::{Result, Rng, Var, Window};

use super::{Spec, leaf};
use crate::case::Needs::{Dy, Operands, OperandsTwice};

/// A convolution: images and their side, channels before and after, kernel; stride, padding, groups.
type Convolution = ([usize; 5], [usize; 3]);

const CONVOLUTIONS: [Convolution; 14] = [
    // LeNet.
    ([64, 28, 1, 6, 5], [1, 0, 1]),
    ([64, 12, 6, 16, 5], [1, 0, 1]),
    // ResNet-18: its blocks, one that halves the side, its stem, a shortcut.
    ([64, 28, 64, 64, 3], [1, 1, 1]),
    ([64, 28, 64, 128, 3], [2, 1, 1]),
    ([64, 7, 256, 256, 3], [1, 1, 1]),
    ([8, 224, 3, 64, 7], [2, 3, 1]),
    ([64, 28, 64, 128, 1], [2, 0, 1]),
    // The patches of ViT.
    ([64, 32, 3, 128, 4], [4, 0, 1]),
    // Depth-wise, in groups, of one pixel.
    ([64, 28, 128, 128, 3], [1, 1, 128]),
    ([64, 14, 256, 256, 7], [1, 3, 256]),
    ([64, 28, 128, 128, 3], [1, 1, 32]),
    ([64, 28, 64, 256, 1], [1, 0, 1]),
    // One image; large ones.
    ([1, 28, 128, 128, 3], [1, 1, 1]),
    ([8, 56, 256, 256, 3], [1, 1, 1]),
];

/// As [`Convolution`], transposed.
const TRANSPOSED: [Convolution; 4] = [
    ([8, 7, 16, 8, 4], [2, 1, 1]),
    ([64, 14, 128, 128, 4], [2, 1, 1]),
    ([16, 56, 64, 32, 2], [2, 0, 1]),
    ([16, 28, 256, 128, 4], [2, 1, 1]),
];

fn window([stride, padding, groups]: [usize; 3]) -> Window {
    Window {
        groups,
        ..Window::strided(stride, padding)
    }
}

pub fn specs() -> Vec<Spec> {
    let mut specs: Vec<Spec> = CONVOLUTIONS.map(convolution).into();
    specs.extend(TRANSPOSED.into_iter().flat_map(transposed));
    specs.extend(after_gelu());
    specs.extend(pooling());
    specs.extend(resizing());
    specs.extend(norms());
    specs
}

fn convolution(([n, side, c_in, c_out, k], moves): Convolution) -> Spec {
    let [stride, padding, groups] = moves;
    let own = c_in / groups;
    let operands = vec![
        leaf([n, side, side, c_in]),
        leaf([c_out, k, k, own]),
        leaf([c_out]),
    ];
    let after = (side + 2 * padding - k) / stride + 1;
    let run = move |v: &[Var]| conv2d(&v[0], &v[1], Some(&v[2]), window(moves));
    Spec::new("conv2d", operands, Operands, run)
        .with(json!({"stride": stride, "padding": padding, "groups": groups}))
        .with_flops(2 * n * after * after * c_out * own * k * k)
}

fn transposed(([n, side, c_in, c_out, k], moves): Convolution) -> [Spec; 2] {
    let [stride, padding, _] = moves;
    let operands = || {
        vec![
            leaf([n, side, side, c_in]),
            leaf([c_in, k, k, c_out]),
            leaf([c_out]),
        ]
    };
    let settings = json!({"stride": stride, "padding": padding});
    let flops = 2 * n * side * side * c_in * c_out * k * k;
    let plain = move |v: &[Var]| conv_transpose2d(&v[0], &v[1], Some(&v[2]), window(moves));
    let with_stats = move |v: &[Var]| {
        conv_transpose2d_with_stats(&v[0], &v[1], Some(&v[2]), window(moves)).map(|(y, _)| y)
    };
    [
        Spec::new("conv_transpose2d", operands(), Operands, plain),
        Spec::new(
            "conv_transpose2d_with_stats",
            operands(),
            Operands,
            with_stats,
        ),
    ]
    .map(|spec| spec.with(settings.clone()).with_flops(flops))
}

/// The second product of an MLP over pixels.
fn after_gelu() -> [Spec; 3] {
    [[8, 7, 32, 16], [64, 14, 256, 128], [64, 56, 128, 64]].map(|[n, side, c_in, c_out]| {
        let operands = vec![
            leaf([n, side, side, c_in]),
            leaf([c_out, 1, 1, c_in]),
            leaf([c_out]),
        ];
        let run = |v: &[Var]| {
            let rng = Rng::new(7);
            let dropout = Dropout {
                p: 0.5,
                rng: Some(&rng),
            };
            gelu_dropout_conv2d(&v[0], &v[1], Some(&v[2]), Window::default(), dropout)
        };
        Spec::new("gelu_dropout_conv2d", operands, Operands, run)
            .with_flops(2 * n * side * side * c_in * c_out)
    })
}

fn pooling() -> Vec<Spec> {
    type Pool = fn(&Var, [usize; 2], Window) -> Result<Var>;
    let pools: [(&str, Pool); 2] = [("avg_pool2d", avg_pool2d), ("max_pool2d", max_pool2d)];
    // LeNet, ResNet-18's stem, a larger one; images, side, channels, kernel, stride, padding.
    let sizes = [
        [64, 24, 6, 2, 2, 0],
        [64, 28, 64, 2, 2, 0],
        [64, 56, 64, 3, 2, 1],
        [64, 112, 64, 3, 2, 1],
    ];
    let mut specs = Vec::new();
    for (op, pool) in pools {
        specs.extend(sizes.map(|[n, side, c, k, stride, padding]| {
            let moves = Window::strided(stride, padding);
            let run = move |v: &[Var]| pool(&v[0], [k; 2], moves);
            Spec::new(op, vec![leaf([n, side, side, c])], Dy, run)
                .with(json!({"kernel": k, "stride": stride, "padding": padding}))
        }));
    }
    let sizes = [[8, 7, 7, 64], [64, 7, 7, 512], [64, 56, 56, 64]];
    let mean = |v: &[Var]| v[0].global_avg_pool();
    specs.extend(sizes.map(|size| Spec::new("global_avg_pool", vec![leaf(size)], Dy, mean)));
    specs
}

fn resizing() -> Vec<Spec> {
    let ways = [
        ("nearest", Interpolation::Nearest),
        ("bilinear", Interpolation::Bilinear),
        ("bicubic", Interpolation::Bicubic),
    ];
    let sizes = [[8, 7, 64], [64, 14, 64], [16, 56, 64]];
    let mut specs = Vec::new();
    for ((way, interpolation), [n, side, c]) in ways
        .into_iter()
        .flat_map(|way| sizes.map(|size| (way, size)))
    {
        let run = move |v: &[Var]| v[0].upsample([2 * side; 2], interpolation);
        let spec = Spec::new("upsample", vec![leaf([n, side, side, c])], Dy, run);
        specs.push(spec.with(json!({"mode": way, "size": 2 * side})));
    }
    for [n, side, c] in [[8, 8, 16], [64, 28, 32], [64, 56, 64]] {
        let analysed = |v: &[Var]| v[0].dwt();
        specs.push(Spec::new(
            "dwt",
            vec![leaf([n, side, side, c])],
            Dy,
            analysed,
        ));
        let made = move |v: &[Var]| v[0].idwt([side; 2]);
        specs.push(Spec::new(
            "idwt",
            vec![leaf([n, side / 2, side / 2, 4 * c])],
            Dy,
            made,
        ));
    }
    specs
}

fn norms() -> Vec<Spec> {
    let affine = |size: &[usize]| {
        let c = size[size.len() - 1];
        vec![leaf(size), leaf([c]), leaf([c])]
    };
    let mut specs = Vec::new();
    let images: [&[usize]; 4] = [
        &[64, 120],
        &[64, 14, 14, 128],
        &[64, 28, 28, 64],
        &[64, 56, 56, 64],
    ];
    for size in images {
        let run = |v: &[Var]| {
            batch_norm(&v[0], &v[1], &v[2], BatchNormOptions::default()).map(|(y, _)| y)
        };
        specs.push(Spec::new("batch_norm", affine(size), OperandsTwice, run));
    }
    let rows: [&[usize]; 4] = [&[64, 16], &[64, 65, 128], &[64, 784, 16], &[64, 197, 768]];
    for size in rows {
        let run = |v: &[Var]| layer_norm(&v[0], &v[1], &v[2], 1e-5);
        specs.push(Spec::new("layer_norm", affine(size), Operands, run));
        let run = |v: &[Var]| rms_norm(&v[0], &v[1], 1e-5);
        let mut operands = affine(size);
        operands.pop();
        specs.push(Spec::new("rms_norm", operands, Operands, run));
    }
    for size in [[8, 7, 7, 64], [64, 28, 28, 64], [64, 56, 56, 64]] {
        let run = |v: &[Var]| group_norm(&v[0], 8, &v[1], &v[2], 1e-5);
        specs.push(
            Spec::new("group_norm", affine(&size), OperandsTwice, run).with(json!({"groups": 8})),
        );
    }
    specs
}
