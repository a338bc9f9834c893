//! What a training step holds in memory, by what the ops say they keep and by what the buffer pool
//! really lent. A process of its own, one test at a time: the pool's counters are the process's.

use std::collections::HashSet;
use std::sync::Mutex;

use wavemix::autograd::trace::{Event, Watcher, watch};
use wavemix::models::{BlockKind, Config, LiteBlock, Mixing, Resize, Stem, Task, WaveMix};
use wavemix::ops::{
    AttentionOptions, CrossEntropyOptions, Dropout, Interpolation, attention, conv_transpose2d,
    conv2d, cross_entropy, embedding, one_hot,
};
use wavemix::optim::{Method, Optimizer};
use wavemix::tensor::pool::{pool_stats, release_free_memory};
use wavemix::{
    DType, Device, Error, Module, Params, Pass, Precision, Rng, Shape, Tensor, Var, Window,
};

#[path = "memory/summary.rs"]
mod summary;

static ALONE: Mutex<()> = Mutex::new(());

fn live() -> usize {
    pool_stats().live_bytes
}

/// Collects what ops keep, each piece of memory once; the model's weights are kept anyway and do
/// not count.
struct Kept {
    seen: HashSet<usize>,
    /// Op, and bytes that no op before it kept.
    list: Vec<(&'static str, usize)>,
}

impl Kept {
    fn without(params: &Params) -> Kept {
        let mut seen = HashSet::new();
        for entry in params.entries() {
            seen.insert(address(&params.get(&entry.name).unwrap()));
        }
        Kept {
            seen,
            list: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.list.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Watcher for Kept {
    fn forward(&mut self, event: Event<'_>) {
        for tensor in event.saves {
            if self.seen.insert(address(tensor)) {
                self.list.push((event.op, tensor.bytes()));
            }
        }
    }
}

fn address(x: &Tensor) -> usize {
    match x.dtype() {
        DType::U8 => x.as_slice::<u8>().unwrap().as_ptr() as usize,
        DType::F64 => x.as_slice::<f64>().unwrap().as_ptr() as usize,
        dtype => x
            .as_slice::<f32>()
            .unwrap_or_else(|e| panic!("{dtype}: {e}"))
            .as_ptr() as usize,
    }
}

/// Per pixel, in units of C floats: the input 1, its wavelets 1/4, before GELU 1/2, the MLP's
/// output 1/4. What is behind GELU is recomputed; so is what BatchNorm was given, from the block's
/// output, which is the next block's input.
#[test]
fn a_block_keeps_two_floats_a_channel_and_pixel_and_its_output() {
    let _alone = ALONE.lock().unwrap();
    let wavemix = WaveMix::new(BlockKind::Lite, 16, 1);
    let (block, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        LiteBlock::new(names, &wavemix, 0.5)
    })
    .unwrap();
    // Powers of two, which the pool's size classes do not round up.
    let map = 2 * 16 * 16 * 16 * size_of::<f32>();
    let before = live();
    let x = Var::from(Tensor::normal(
        [2, 16, 16, 16],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(1),
    ));
    let pass = Pass::train(&params, Rng::new(2));
    let (kept, y) = watch(Kept::without(&params), || block.forward(&pass, &x).unwrap());
    drop((pass.into_updates(), x));
    let expected = [
        ("conv2d", map),
        ("conv2d", map / 4),
        ("gelu_dropout_conv2d", map / 2),
        ("conv_transpose2d", map / 4),
        ("batch_norm", map),
        // Mean and variance of 16 channels.
        ("batch_norm", 16 * 8),
        ("batch_norm", 16 * 8),
    ];
    assert_eq!(kept.list, expected);
    assert_eq!(kept.bytes(), 3 * map + 2 * 16 * 8);
    // The same by the pool's count.
    assert_eq!(live() - before, kept.bytes());
    let gradients = y
        .backward_from(Tensor::ones(y.shape(), DType::F32), &[])
        .unwrap();
    let weights = params
        .entries()
        .iter()
        .map(|entry| (4 * entry.shape.elements()).next_multiple_of(64))
        .sum::<usize>();
    assert_eq!(
        live() - before,
        weights + map,
        "after the backward pass the weights' gradients and y are left"
    );
    drop((gradients, y));
    assert_eq!(live(), before);
}

/// A small model of every variant, for images of 32x32 with 4 channels; one more for each stem.
fn variants(stems: &[Stem]) -> Vec<Config> {
    let lite = Config {
        channels: 4,
        size: 32,
        ..Config::parse("WaveMixLite-16/2").unwrap()
    };
    let with = |mixing: Mixing, resize: Resize| {
        let mixed = lite.clone().with("mixing", mixing).unwrap();
        mixed.with("resize", resize).unwrap()
    };
    let deconvolution = Resize::Deconvolution;
    let task = |task: Task| Config {
        task,
        ..lite.clone()
    };
    let mut configs = vec![
        lite.clone(),
        with(Mixing::Cascade(3), deconvolution),
        with(Mixing::Level(2), deconvolution),
        with(Mixing::Cascade(1), Resize::InverseDwt),
        with(Mixing::Cascade(2), Resize::Upsample(Interpolation::Bicubic)),
        with(Mixing::Identity, deconvolution),
        with(Mixing::Dft, deconvolution),
        with(Mixing::MaxPool, deconvolution),
        task(Task::Segment { classes: 4 }),
        task(Task::Upscale { channels: 4 }),
        Config {
            channels: 4,
            ..Config::parse("WaveMix-16/2").unwrap()
        },
    ];
    configs.extend(
        stems
            .iter()
            .map(|stem| lite.clone().with("stem", stem).unwrap()),
    );
    configs
}

/// Every variant: what the ops' lists add up to is what the pool lent, nothing is kept in secret.
#[test]
fn lists_of_what_is_kept_are_complete() {
    let _alone = ALONE.lock().unwrap();
    let configs = variants(&[Stem::Patchify(2)]);
    for config in configs {
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        let before = live();
        let images = Var::from(Tensor::normal(
            [4, 32, 32, 4],
            0.0,
            1.0,
            DType::F32,
            &Rng::new(1),
        ));
        let pass = Pass::train(&params, Rng::new(2));
        let (kept, y) = watch(Kept::without(&params), || {
            model.forward(&pass, &images).unwrap()
        });
        drop((pass.into_updates(), images));
        let output = y.value().bytes().next_multiple_of(64);
        assert_eq!(
            live() - before,
            kept.bytes() + output,
            "{config:?} keeps {:?}",
            kept.list
        );
        drop(y);
        assert_eq!(live(), before, "{config:?}");
        let passed = model
            .forward(
                &Pass::eval(&params),
                &Tensor::zeros([4, 32, 32, 4], DType::F32).into(),
            )
            .unwrap();
        assert_eq!(
            live() - before,
            output,
            "evaluation keeps its answer only: {config:?}"
        );
        drop(passed);
    }
}

/// A few large numbers ask for 2^46 elements or more: what no CPU of today can address,
/// whatever its system promises.
#[test]
fn what_no_machine_can_hold_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let before = pool_stats();
    let zeros = |shape: [usize; 2]| Var::from(Tensor::zeros(shape, DType::F32));
    let (column, row, pixel) = (
        zeros([1 << 23, 1]),
        zeros([1, 1 << 23]),
        Var::from(Tensor::zeros([1, 1, 1, 1], DType::F32)),
    );
    let many = Tensor::zeros([1 << 23], DType::I64);
    let far = Window {
        padding: [1 << 23; 2],
        ..Window::default()
    };
    let wide = Window {
        stride: [1 << 23; 2],
        ..Window::default()
    };
    let two = pixel.expand([1, 2, 2, 1]).unwrap();
    let huge = Config::of(WaveMix {
        mult: 65536,
        ..WaveMix::new(BlockKind::Lite, 65536, 1024)
    });
    let refused: [(&str, Result<(), Error>); 13] = [
        (
            "pad",
            pixel
                .pad(&[(0, 0), (1 << 23, 0), (0, 1 << 23), (0, 0)])
                .map(drop),
        ),
        ("conv2d", conv2d(&pixel, &pixel, None, far).map(drop)),
        (
            "conv_transpose2d",
            conv_transpose2d(&two, &pixel, None, wide).map(drop),
        ),
        (
            "upsample",
            pixel
                .upsample([1 << 23; 2], Interpolation::Bilinear)
                .map(drop),
        ),
        ("expand", pixel.expand([1, 1 << 23, 1 << 23, 1]).map(drop)),
        ("matmul", column.matmul(&row).map(drop)),
        ("add", (&column + &row).map(drop)),
        ("lt", column.value().lt(row.value()).map(drop)),
        ("index_select", row.index_select(0, &many).map(drop)),
        ("gather", embedding(&row, &many).map(drop)),
        ("one_hot", one_hot(&many, 1 << 23, DType::F32).map(drop)),
        (
            "full_on",
            Tensor::full_on(Device::Cpu, [1 << 23; 2], 0.0, DType::F32).map(drop),
        ),
        ("model", huge.build(DType::F32, &Rng::new(0)).map(drop)),
    ];
    for (op, result) in refused {
        let error = result
            .err()
            .unwrap_or_else(|| panic!("{op} found the memory"))
            .to_string();
        assert!(
            error.contains(": result expects a shape that fits in memory, got ["),
            "{op}: {error}"
        );
    }
    drop((column, row, pixel, two, many));
    assert_eq!(live(), before.live_bytes);
}

/// On one thread: how much working memory products take at once depends on how many of their tasks
/// happen to run at once.
fn on_one_thread(body: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap()
        .install(body);
}

/// Training steps by their number.
fn training(config: &Config, batch: usize, precision: Precision) -> impl FnMut(u64) {
    let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
    let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
    let shape = [batch, config.size, config.size, config.channels];
    move |i| {
        let images = Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(2).child(i));
        let labels = Tensor::from_vec(
            (0..batch as i64).map(|k| (k + i as i64) % 10).collect(),
            [batch],
        )
        .unwrap();
        let pass = Pass::train(&params, Rng::new(3).child(i))
            .in_precision(precision)
            .unwrap();
        let logits = model.forward(&pass, &images.into()).unwrap();
        let loss = cross_entropy(&logits, &labels, CrossEntropyOptions::default()).unwrap();
        let gradients = loss.backward().unwrap();
        let statistics = pass.into_updates();
        optimizer
            .step(&mut params, &gradients, statistics, 1e-3)
            .unwrap();
    }
}

/// Forward and backward pass of attention hold what goes in and comes out, and some blocks of weights,
/// but never all of these.
#[test]
fn attention_holds_no_matrix_of_its_weights() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let (shape, rng) = ([8, 4, 1024, 32], Rng::new(3));
    let operand = 4 * shape.iter().product::<usize>();
    let weights = 4 * 8 * 4 * 1024 * 1024;
    release_free_memory();
    let normal = |i| Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(i));
    let ([q, k, v], dy) = ([1, 2, 4].map(|i| Var::leaf(normal(i))), normal(5));
    let before = pool_stats().held_bytes;
    on_one_thread(|| {
        let options = AttentionOptions {
            dropout: Dropout {
                p: 0.1,
                rng: Some(&rng),
            },
            ..Default::default()
        };
        let (kept, y) = watch(
            Kept {
                seen: HashSet::new(),
                list: Vec::new(),
            },
            || attention(&q, &k, &v, options).unwrap(),
        );
        // q, k, v, y and two numbers for each of their rows.
        assert_eq!(kept.bytes(), 4 * operand + operand / 16);
        y.backward_from(dy, &[]).unwrap();
    });
    // y, three gradients, and less than two operands of blocks and packed keys.
    let held = pool_stats().held_bytes - before;
    assert!(
        held < 6 * operand && 6 * operand < weights / 5,
        "{held} bytes were held; the weights are {weights}"
    );
}

#[test]
fn a_steady_training_step_takes_no_memory_from_the_system() {
    let _alone = ALONE.lock().unwrap();
    let config = Config {
        channels: 1,
        size: 28,
        ..Config::parse("WaveMixLite-8/2").unwrap()
    };
    on_one_thread(|| {
        let mut step = training(&config, 8, Precision::F32);
        (0..2).for_each(&mut step);
        let warm = pool_stats();
        (2..8).for_each(&mut step);
        assert_eq!(
            pool_stats(),
            warm,
            "nothing piles up, and no memory is taken that was not used before"
        );
    });
}

/// What a training step takes of the machine: the weights and their two moments, in 16 bits a copy
/// of the weights, what is kept for the backward pass, and one more map where that begins, the gradient
/// of the last block's output.
#[test]
fn a_training_step_holds_what_is_kept_and_one_gradient() {
    let _alone = ALONE.lock().unwrap();
    let (config, batch) = (
        Config {
            channels: 3,
            size: 28,
            ..Config::parse("WaveMixLite-64/5").unwrap()
        },
        16,
    );
    for precision in [Precision::F32, Precision::Bf16] {
        let summary = config.summary([28, 28], precision).unwrap();
        release_free_memory();
        assert_eq!((pool_stats().live_bytes, pool_stats().held_bytes), (0, 0));
        on_one_thread(|| (0..3).for_each(training(&config, batch, precision)));
        let (held, bytes) = (pool_stats().held_bytes, precision.compute().bytes());
        let weights = summary.parameters * (3 * 4 + bytes % 4);
        let expected = weights + batch * (summary.saved_bytes() + 28 * 28 * 64 * bytes);
        // Beside it the working memory of products, and what stays free between longer lives.
        assert!(
            held >= expected && held <= expected + expected / 10,
            "{precision}: {held} bytes held, {expected} expected"
        );
    }
}
