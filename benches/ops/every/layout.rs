//! What moves elements about, and what picks them by number.

use serde_json::json;
use wavemix::ops::{concat, embedding, one_hot, stack};
use wavemix::{DType, Error, Result, Var};

use super::Values::Index;
use super::pointwise::SIZES;
use super::{Spec, leaf, of};
use crate::case::Needs::{Dy, Nothing};

pub fn specs() -> Vec<Spec> {
    let mut specs = views();
    specs.extend(permutations());
    specs.extend(parts());
    specs.extend(joined());
    specs.extend(picked());
    specs
}

/// What changes the shape alone.
fn views() -> Vec<Spec> {
    let views: [(&str, fn(&Var) -> Result<Var>); 4] = [
        ("reshape", |x| x.reshape([x.value().elements()])),
        ("flatten", |x| x.flatten(1)),
        ("squeeze", |x| x.squeeze(1)),
        ("unsqueeze", |x| x.unsqueeze(1)),
    ];
    let each = views.into_iter().flat_map(|(op, f)| {
        SIZES.map(|size| {
            let one: &[usize] = if op == "squeeze" { &[1] } else { &[] };
            let shape = [&size[..1], one, &size[1..]].concat();
            Spec::new(op, vec![leaf(shape)], Nothing, move |v| f(&v[0]))
        })
    });
    each.collect()
}

fn permutations() -> Vec<Spec> {
    // Images to channels first and back; the heads of attention.
    let orders: [([usize; 4], [usize; 4]); 5] = [
        ([8, 28, 28, 3], [0, 3, 1, 2]),
        ([64, 65, 4, 32], [0, 2, 1, 3]),
        ([64, 14, 14, 128], [0, 3, 1, 2]),
        ([64, 56, 56, 64], [0, 3, 1, 2]),
        ([64, 64, 56, 56], [0, 2, 3, 1]),
    ];
    let mut specs: Vec<Spec> = orders
        .map(|(size, order)| {
            Spec::new("permute", vec![leaf(size)], Dy, move |v| {
                v[0].permute(&order)
            })
            .with(json!({"order": order}))
        })
        .into();
    let sizes: [(&[usize], usize, usize); 4] = [
        (&[64, 120], 0, 1),
        (&[64, 65, 128], 1, 2),
        (&[2048, 2048], 0, 1),
        (&[64, 784, 256], 1, 2),
    ];
    specs.extend(sizes.map(|(size, a, b)| {
        Spec::new("transpose", vec![leaf(size)], Dy, move |v| {
            v[0].transpose(a, b)
        })
        .with(json!({"axes": [a, b]}))
    }));
    let sizes: [(&[usize], usize); 4] = [
        (&[64, 120], 1),
        (&[64, 32, 32, 3], 2),
        (&[64, 65, 128], 1),
        (&[64, 56, 56, 64], 2),
    ];
    specs.extend(sizes.map(|(size, axis)| {
        Spec::new("flip", vec![leaf(size)], Dy, move |v| v[0].flip(axis))
            .with(json!({"axis": axis}))
    }));
    specs
}

fn second(parts: Vec<Var>) -> Result<Var> {
    let second = parts.into_iter().nth(1);
    second.ok_or_else(|| Error::Argument("one part alone".into()))
}

/// Parts of tensors, triangles, and what is repeated or padded.
fn parts() -> Vec<Spec> {
    let mut specs = Vec::new();
    type OfAxis = fn(&Var, usize, usize) -> Result<Var>;
    let each: [(&str, OfAxis); 4] = [
        ("slice", |x, axis, length| {
            x.slice(axis, length / 4..length / 4 * 3)
        }),
        ("split", |x, axis, length| {
            x.split(&[length / 4, length - length / 4], axis)
                .and_then(second)
        }),
        ("chunk", |x, axis, _| x.chunk(2, axis).and_then(second)),
        ("unbind", |x, axis, _| x.unbind(axis).and_then(second)),
    ];
    let sizes: [(&[usize], usize); 3] =
        [(&[64, 120], 1), (&[64, 65, 128], 1), (&[64, 56, 56, 64], 3)];
    for (op, f) in each {
        specs.extend(sizes.map(|(size, axis)| {
            // What is unbound has few parts, as queries, keys and values do.
            let mut shape = size.to_vec();
            if op == "unbind" {
                shape[axis] = 3;
            }
            let length = shape[axis];
            Spec::new(op, vec![leaf(shape)], Dy, move |v| f(&v[0], axis, length))
                .with(json!({"axis": axis, "length": length}))
        }));
    }
    let sizes: [(&[usize], &[usize]); 3] = [
        (&[1, 120], &[64, 120]),
        (&[64, 1, 128], &[64, 65, 128]),
        (&[64, 1, 1, 64], &[64, 56, 56, 64]),
    ];
    for (small, large) in sizes {
        let repeated = move |v: &[Var]| v[0].expand(large);
        specs.push(
            Spec::new("expand", vec![leaf(small)], Dy, repeated).with(json!({"shape": large})),
        );
        let summed = move |v: &[Var]| v[0].sum_to(small);
        specs
            .push(Spec::new("sum_to", vec![leaf(large)], Dy, summed).with(json!({"shape": small})));
    }
    for size in [[64, 28, 28, 1], [64, 32, 32, 3], [64, 56, 56, 64]] {
        let padded = |v: &[Var]| v[0].pad(&[(0, 0), (2, 2), (2, 2), (0, 0)]);
        specs.push(Spec::new("pad", vec![leaf(size)], Dy, padded));
    }
    let triangles: [(&str, fn(&Var) -> Result<Var>); 2] =
        [("tril", |x| x.tril(0)), ("triu", |x| x.triu(1))];
    for (op, f) in triangles {
        for size in [[1, 64, 64], [64, 65, 65], [64, 512, 512]] {
            specs.push(Spec::new(op, vec![leaf(size)], Dy, move |v| f(&v[0])));
        }
    }
    specs
}

/// Several tensors as one.
fn joined() -> Vec<Spec> {
    let mut specs = Vec::new();
    let sizes: [(&[usize], usize); 4] = [
        (&[64, 120], 1),
        (&[64, 65, 128], 1),
        (&[64, 28, 28, 64], 3),
        (&[64, 56, 56, 64], 3),
    ];
    for (size, axis) in sizes {
        let operands = || vec![leaf(size), leaf(size)];
        let one = move |v: &[Var]| concat(&[&v[0], &v[1]], axis);
        specs.push(Spec::new("concat", operands(), Dy, one).with(json!({"axis": axis})));
        let one = move |v: &[Var]| stack(&[&v[0], &v[1]], axis);
        specs.push(Spec::new("stack", operands(), Dy, one).with(json!({"axis": axis})));
    }
    specs
}

/// By number.
fn picked() -> Vec<Spec> {
    let mut specs = Vec::new();
    // x and the indices: labels; the tokens that a masked autoencoder keeps; pixels.
    let sizes: [(&[usize], &[usize], usize); 3] = [
        (&[64, 10], &[64, 1], 1),
        (&[64, 65, 128], &[64, 16, 128], 1),
        (&[64, 3136, 64], &[64, 784, 64], 1),
    ];
    for (size, picks, axis) in sizes {
        let indices = || of(Index(size[axis]), picks);
        let gather = move |v: &[Var]| v[0].gather(axis, v[1].value());
        let spec = Spec::new("gather", vec![leaf(size), indices()], Dy, gather);
        specs.push(spec.with(json!({"axis": axis})));
        let add = move |v: &[Var]| v[0].scatter_add(axis, v[1].value(), &v[2]);
        let spec = Spec::new(
            "scatter_add",
            vec![leaf(size), indices(), leaf(picks)],
            Dy,
            add,
        );
        specs.push(spec.with(json!({"axis": axis})));
        let rows = of(Index(size[axis]), [picks[axis]]);
        let select = move |v: &[Var]| v[0].index_select(axis, v[1].value());
        let spec = Spec::new("index_select", vec![leaf(size), rows], Dy, select);
        specs.push(spec.with(json!({"axis": axis})));
    }
    for (rows, width, picks) in [
        (10, 16, [64, 1]),
        (1000, 128, [64, 65]),
        (30000, 512, [64, 512]),
    ] {
        let operands = vec![leaf([rows, width]), of(Index(rows), picks)];
        let run = |v: &[Var]| embedding(&v[0], v[1].value());
        specs.push(Spec::new("embedding", operands, Dy, run));
    }
    for (labels, classes) in [(64, 10), (4160, 1000), (50176, 128)] {
        let run = move |v: &[Var]| one_hot(v[0].value(), classes, DType::F32).map(Var::from);
        let spec = Spec::new("one_hot", vec![of(Index(classes), [labels])], Dy, run);
        specs.push(spec.with(json!({"classes": classes})));
    }
    specs
}
