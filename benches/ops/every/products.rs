//! Matrix products and what is made of them.

use serde_json::json;
use wavemix::Var;
use wavemix::ops::{AttentionOptions, attention, conv1d, einsum, linear, matmul_with};
use wavemix::tensor::window::Window1d;

use super::{Spec, leaf};
use crate::case::Needs::{Dy, Operands};

/// m, n and k of products, and how many there are: a layer of LeNet; scores of ViT-128; weights
/// times values; large ones.
const PRODUCTS: [([usize; 3], &[usize]); 5] = [
    ([64, 120, 400], &[]),
    ([65, 65, 32], &[64, 4]),
    ([64, 64, 32], &[256]),
    ([65, 32, 65], &[64, 4]),
    ([1024, 1024, 1024], &[]),
];

/// Images, heads, tokens and channels of a head.
const HEADS: [[usize; 4]; 4] = [
    [8, 2, 16, 32],
    [64, 4, 65, 32],
    [16, 12, 197, 64],
    [1, 12, 197, 64],
];

/// Rows, terms and columns.
const LINEAR: [[usize; 3]; 5] = [
    [64, 400, 120],
    [4160, 128, 384],
    [1, 512, 1000],
    [4160, 512, 128],
    [4096, 1024, 1024],
];

pub fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    for ([m, n, k], batch) in PRODUCTS {
        let shape = |rows, columns| leaf([batch, &[rows, columns]].concat());
        let flops = 2 * m * n * k * batch.iter().product::<usize>();
        let plain = vec![shape(m, k), shape(k, n)];
        let product = |v: &[Var]| v[0].matmul(&v[1]);
        specs.push(Spec::new("matmul", plain, Operands, product).with_flops(flops));
        let turned = vec![shape(m, k), shape(n, k)];
        let product = |v: &[Var]| matmul_with(&v[0], &v[1], false, true);
        specs.push(Spec::new("matmul_with", turned, Operands, product).with_flops(flops));
    }
    for [b, heads, n, d] in HEADS {
        let (operand, flops) = (|| leaf([b, heads, n, d]), 2 * b * heads * n * n * d);
        let scores = |v: &[Var]| einsum("bhid,bhjd->bhij", &v[0], &v[1]);
        let spec = Spec::new("einsum", vec![operand(), operand()], Operands, scores);
        specs.push(spec.with_flops(flops));
        let means = |v: &[Var]| attention(&v[0], &v[1], &v[2], AttentionOptions::default());
        let operands = vec![operand(), operand(), operand()];
        specs.push(Spec::new("attention", operands, Operands, means).with_flops(2 * flops));
    }
    for [rows, k, columns] in LINEAR {
        let operands = vec![leaf([rows, k]), leaf([columns, k]), leaf([columns])];
        let product = |v: &[Var]| linear(&v[0], &v[1], Some(&v[2]));
        let spec = Spec::new("linear", operands, Operands, product);
        specs.push(spec.with_flops(2 * rows * k * columns));
    }
    // Tokens and channels of FNet.
    let sizes = [[8, 16, 32], [64, 64, 128], [16, 196, 768]];
    specs.extend(
        sizes.map(|size| Spec::new("dft_real", vec![leaf(size)], Dy, |v| v[0].dft_real([1, 2]))),
    );
    // Images of one row: n, length, channels before and after, kernel.
    let rows = [
        [8, 128, 16, 16, 5],
        [64, 128, 64, 64, 3],
        [64, 1024, 128, 128, 3],
    ];
    specs.extend(rows.map(|[n, length, c_in, c_out, kernel]| {
        let operands = vec![
            leaf([n, length, c_in]),
            leaf([c_out, kernel, c_in]),
            leaf([c_out]),
        ];
        let padding = kernel / 2;
        let window = Window1d {
            padding,
            ..Window1d::default()
        };
        let run = move |v: &[Var]| conv1d(&v[0], &v[1], Some(&v[2]), window);
        Spec::new("conv1d", operands, Operands, run)
            .with(json!({"padding": padding}))
            .with_flops(2 * n * length * c_in * c_out * kernel)
    }));
    specs
}
