//! Every block, stem and head by finite differences, in f64, on odd sizes, with batch statistics
//! and dropout at work.
//!
//! The goldens check what the authors' package has; the rest of the models' derivatives are checked
//! here. A whole model is wrapped into one op of two inputs, its images and all its weights as one
//! array, which `gradcheck` then treats like any.

mod helpers;

use helpers::assert_starts;
use wavemix::autograd::Backward;
use wavemix::gradcheck::gradcheck;
use wavemix::models::{
    Architecture, BlockKind, Config, LiteBlock, Mixing, Resize, Stem, Task, WaveMix,
};
use wavemix::ops::Interpolation::{Bicubic, Bilinear, Nearest};
use wavemix::{DType, Module, Params, Pass, Result, Rng, Tensor, Var};

/// The op that a model is: y of its images and its weights.
struct Whole {
    images: Var,
    y: Var,
    params: Params,
}

impl Backward for Whole {
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let gradients = self.y.backward_from(dy, &[])?;
        Ok(vec![
            gradients.of(&self.images).cloned(),
            Some(gradients.flatten(&self.params)?),
        ])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// A copy of `params` with other numbers, in the arena's layout.
fn with_arena(params: &Params, arena: &Tensor) -> Result<Params> {
    let mut params = params.clone();
    for entry in params.entries().to_vec() {
        let value = arena
            .rows(entry.offset..entry.offset + entry.shape.elements())?
            .reshape(entry.shape)?;
        params.set(&entry.name, &value)?;
    }
    Ok(params)
}

/// Takes inputs of this many times the size: the same steps are then that many times smaller. Batch
/// statistics of a few numbers bend too much for gradcheck's own.
const FINER: f64 = 16.0;

/// Finite differences of `forward` along random directions of images and weights. All weights are
/// drawn anew, those of BatchNorm too: at their first values of 1 and 0 they would hide mistakes.
fn check(
    params: &Params,
    images: &Tensor,
    arena: &Tensor,
    forward: impl Fn(&Pass, &Var) -> Result<Var>,
) -> Result<()> {
    let scaled = |x: &Var, factor: f64| x.mul_scalar(factor);
    let larger = |x: &Tensor| scaled(&x.into(), FINER).map(Var::into_value);
    gradcheck(
        |v| {
            let [images, arena] = [scaled(&v[0], 1.0 / FINER)?, scaled(&v[1], 1.0 / FINER)?];
            let params = with_arena(params, arena.value())?;
            let leaf = Var::leaf(images.value().clone());
            let y = forward(&Pass::train(&params, Rng::new(7)), &leaf)?;
            Ok(Var::record(
                "model",
                &[&images, &arena],
                y.value().clone(),
                || Whole {
                    images: leaf,
                    y,
                    params,
                },
            ))
        },
        &[larger(images)?, larger(arena)?],
    )
}

fn normal(shape: impl Into<wavemix::Shape>, std: f64, seed: u64) -> Tensor {
    Tensor::normal(shape, 0.0, std, DType::F64, &Rng::new(seed))
}

fn small(family: &str) -> Config {
    Config {
        channels: 2,
        dropout: DROPOUT,
        ..Config::parse(family).unwrap()
    }
}

/// The dropout of all blocks and models here.
const DROPOUT: f64 = 0.3;

/// All ways to mix, each with all ways back to full size that go with it.
fn variants() -> Vec<WaveMix> {
    let resizes = [
        Resize::Deconvolution,
        Resize::Upsample(Bilinear),
        Resize::Upsample(Nearest),
        Resize::Upsample(Bicubic),
    ];
    let levels = (1..=4).flat_map(|n| [Mixing::Cascade(n), Mixing::Level(n)]);
    let mixings = levels.chain([Mixing::Identity, Mixing::Dft, Mixing::MaxPool]);
    let pairs = mixings.flat_map(|mixing| {
        resizes
            .into_iter()
            .chain([Resize::InverseDwt])
            .map(move |resize| (mixing, resize))
    });
    let blocks = pairs.map(|(mixing, resize)| WaveMix {
        mixing,
        resize,
        ..WaveMix::new(BlockKind::Lite, 4, 1)
    });
    blocks
        .filter(|block| Config::of(block.clone()).check().is_ok())
        .collect()
}

/// Images whose reduced map has no two nearly equal elements in one 2x2 window, and none near 0,
/// which odd sides are filled up with: differences then stay clear of max-pooling's kinks. `arena`
/// is given a reduction near the identity.
fn apart(wavemix: &WaveMix, shape: [usize; 4], params: &Params, arena: &mut Tensor) -> Tensor {
    let [_, h, w, c] = shape;
    let noise = Tensor::uniform(shape, -0.1, 0.1, DType::F64, &Rng::new(3))
        .to_vec::<f64>()
        .unwrap();
    let level = |i: usize| {
        let (channel, column, row) = (i % c, i / c % w, i / c / w % h);
        let turn = channel * 3 + (row / 2) * 5 + column / 2 + i / (c * w * h);
        [-1.5, -0.5, 0.5, 1.5][(2 * (row % 2) + column % 2 + turn) % 4]
    };
    let values = noise
        .iter()
        .enumerate()
        .map(|(i, noise)| level(i) + noise)
        .collect();
    let mut weights = arena.to_vec::<f64>().unwrap();
    for entry in params
        .entries()
        .iter()
        .filter(|entry| entry.name.starts_with("reduction"))
    {
        for i in 0..entry.shape.elements() {
            let diagonal = entry.name.ends_with("weight") && i / wavemix.dim == i % wavemix.dim;
            weights[entry.offset + i] =
                0.05 * weights[entry.offset + i] + f64::from(u8::from(diagonal));
        }
    }
    *arena = Tensor::from_vec(weights, arena.shape()).unwrap();
    Tensor::from_vec(values, shape).unwrap()
}

#[test]
fn every_variant_of_the_lite_block_has_right_gradients_on_odd_sizes() {
    let variants = variants();
    // 4 cascades and 4 levels, each with 4 resizes; the inverse transform with one level of each; 3
    // ablations, of which max-pooling has 4 resizes.
    assert_eq!(variants.len(), 2 * 4 * 4 + 2 + 1 + 1 + 4);
    for (i, wavemix) in variants.iter().enumerate() {
        for shape in [[3, 7, 9, 4], [3, 5, 6, 4]] {
            let (block, params) = Params::declare(DType::F64, &Rng::new(1), |names| {
                LiteBlock::new(names, wavemix, DROPOUT)
            })
            .unwrap();
            let mut arena = normal([params.arena().elements()], 0.5, i as u64);
            let images = match wavemix.mixing {
                Mixing::MaxPool => apart(wavemix, shape, &params, &mut arena),
                _ => normal(shape, 1.0, 100 + i as u64),
            };
            let y = block
                .forward(&Pass::train(&params, Rng::new(0)), &images.clone().into())
                .unwrap();
            assert_eq!(
                **y.shape(),
                shape,
                "{} mixing, {}",
                wavemix.mixing,
                wavemix.resize
            );
            let checked = check(&params, &images, &arena, |pass, x| block.forward(pass, x));
            checked.unwrap_or_else(|e| {
                panic!(
                    "{} mixing, {}, {shape:?}: {e}",
                    wavemix.mixing, wavemix.resize
                )
            });
        }
    }
}

/// Whole models: their output's shape for images of this shape, and their gradients.
fn check_model(config: &Config, images: [usize; 3], output: &[usize]) {
    let (model, params) = config.build(DType::F64, &Rng::new(1)).unwrap();
    let [n, h, w] = images;
    let images = normal([n, h, w, config.channels], 1.0, 5);
    let y = model
        .forward(&Pass::eval(&params), &images.clone().into())
        .unwrap();
    assert_eq!(&y.shape()[..], output, "{config:?}");
    let checked = check(
        &params,
        &images,
        &normal([params.arena().elements()], 0.4, 6),
        |pass, x| model.forward(pass, x),
    );
    checked.unwrap_or_else(|e| panic!("{config:?}: {e}"));
}

#[test]
fn heads_and_stems_have_right_shapes_and_gradients() {
    let lite = small("WaveMixLite-8/1");
    let with = |task: Task, stem: Option<Stem>| {
        let config = Config {
            task,
            ..lite.clone()
        };
        match stem {
            Some(stem) => config.with("stem", stem).unwrap(),
            None => config,
        }
    };
    let (classify, segment, upscale) = (
        Task::Classify { classes: 3 },
        Task::Segment { classes: 3 },
        Task::Upscale { channels: 2 },
    );
    check_model(&with(classify, None), [3, 7, 9], &[3, 3]);
    check_model(
        &with(classify, Some(Stem::Strided([2, 1]))),
        [3, 7, 9],
        &[3, 3],
    );
    check_model(
        &with(classify, Some(Stem::Patchify(2))),
        [3, 8, 11],
        &[3, 3],
    );
    check_model(&with(segment, None), [3, 13, 10], &[3, 13, 10, 3]);
    check_model(
        &with(segment, Some(Stem::Patchify(4))),
        [3, 12, 16],
        &[3, 12, 16, 3],
    );
    check_model(&with(upscale, None), [2, 5, 6], &[2, 10, 12, 2]);
}

#[test]
fn parallel_levels_have_right_gradients_on_odd_sizes() {
    for (name, levels) in [
        ("WaveMix-4/1", 1),
        ("WaveMix-4/1", 2),
        ("WaveMix-12/1", 3),
        ("WaveMix-4/2", 4),
    ] {
        let config = Config {
            task: Task::Upscale { channels: 1 },
            ..small(name).with("levels", levels).unwrap()
        };
        let Architecture::WaveMix(wavemix) = &config.architecture else {
            unreachable!("{}", config.name())
        };
        assert_eq!(
            (
                wavemix.block,
                wavemix.parallel_levels(config.size, config.task)
            ),
            (BlockKind::Parallel, levels)
        );
        check_model(&config, [2, 7, 9], &[2, 14, 18, 1]);
        check_model(&config, [2, 5, 6], &[2, 10, 12, 1]);
    }
}

#[test]
fn gradients_that_are_half_missing_are_found() {
    let wavemix = WaveMix::new(BlockKind::Lite, 4, 1);
    let (block, params) = Params::declare(DType::F64, &Rng::new(1), |names| {
        LiteBlock::new(names, &wavemix, DROPOUT)
    })
    .unwrap();
    let (images, arena) = (
        normal([3, 5, 6, 4], 1.0, 2),
        normal([params.arena().elements()], 0.5, 3),
    );
    let of_images =
        |pass: &Pass, x: &Var| block.forward(pass, &(&x.detach() + x)?.mul_scalar(0.5)?);
    assert_starts(
        &check(&params, &images, &arena, of_images)
            .unwrap_err()
            .to_string(),
        "gradcheck: input 0: the gradient gives ",
    );
    let of_weights = |pass: &Pass, x: &Var| {
        let y = block.forward(pass, &Var::from(&images))?;
        &y.detach() + &(&y + x)?
    };
    assert_starts(
        &check(&params, &images, &arena, of_weights)
            .unwrap_err()
            .to_string(),
        "gradcheck: input 1: the gradient gives ",
    );
}
