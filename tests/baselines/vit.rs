//! timm's vision transformers.

use wavemix::models::{Task, ViT};

use super::{Case, Count};

fn small(patch: usize) -> ViT {
    ViT {
        patch: Some(patch),
        ..ViT::new(8, 2, 2)
    }
}

pub const CASES: &[Case] = &[
    Case::of("vit", || small(2).into()),
    Case::of("vit_qkv_bias", || {
        ViT {
            qkv_bias: true,
            eps: 1e-6,
            ..small(4)
        }
        .into()
    }),
];

/// Tables 1 and 2 of the papers, and timm's vit_tiny_patch16_224, whose weights are published.
pub const COUNTS: &[Count] = &[
    Count::of("ViT-128/4x4", 10, 661_770),
    Count::of("ViT-128/4x4", 100, 673_380),
    Count {
        size: 64,
        ..Count::of("ViT-128/4x4", 200, 687_432)
    },
    Count {
        size: 64,
        ..Count::of("ViT-128/4x4", 1000, 790_632)
    },
    Count {
        size: 224,
        set: &[
            ("mlp", "768"),
            ("patch", "16"),
            ("qkv_bias", "true"),
            ("eps", "1e-6"),
        ],
        ..Count::of("ViT-192/12x3", 1000, 5_717_416)
    },
];

#[test]
fn patches_follow_the_size() {
    let vit = ViT::new(128, 4, 4);
    let sides = [28, 32, 33, 64, 96, 224].map(|size| vit.patch(size));
    assert_eq!(sides, [1, 1, 2, 2, 3, 7]);
}

#[test]
fn what_does_not_fit_is_refused() {
    use super::{Config, DType, Module, Rng, Tensor};
    use wavemix::Pass;
    let named = |name: &str| Config::parse(name).unwrap();
    let small = named("ViT-8/1x2");
    let wrong = |config: Config| config.check().unwrap_err().to_string();
    for (config, says) in [
        (
            small.clone().with("patch", 5).unwrap(),
            "ViT-8/1x2: patches of 5x5 do not fill an image of 32x32: set `patch`",
        ),
        (
            small.clone().with("eps", -1).unwrap(),
            "ViT-8/1x2: eps must be between 0 and 1, got -1",
        ),
        (
            small.clone().with("mlp", 0).unwrap(),
            "ViT-8/1x2: mlp must be between 1 and 65536, got 0",
        ),
        (
            Config {
                task: Task::Upscale { channels: 3 },
                ..small.clone()
            },
            "ViT-8/1x2: it classifies images, and has no head for other tasks",
        ),
    ] {
        assert_eq!(wrong(config), says);
    }
    for (name, says) in [
        ("ViT-9/1x2", "2 heads do not share 9 channels evenly"),
        ("ViT-8/0x2", "between 1 and 1024 blocks, got 0"),
        (
            "ViT-8/1x0",
            "the number of heads must be between 1 and 65536, got 0",
        ),
    ] {
        let got = Config::parse(name).unwrap_err().to_string();
        assert_eq!(got, format!("{name}: {says}"));
    }
    let (model, params) = small.build(DType::F32, &Rng::new(0)).unwrap();
    let images = Tensor::zeros([1, 16, 32, 3], DType::F32);
    let error = model.forward(&Pass::eval(&params), &images.into());
    super::helpers::assert_error(
        error,
        "positions: images expects [n, 32, 32, 3], as the model was made for, got [1, 16, 32, 3]",
    );
    super::helpers::assert_error(
        small.with("qkv_bias", 2),
        "the setting `qkv_bias` is true or false, got `2`",
    );
}

/// Table 1's column has what layers hold: neither class token nor positions.
#[test]
fn the_papers_count_what_layers_hold() {
    let config = super::Config::parse("ViT-128/4x4").unwrap();
    let (_, params) = config
        .build(super::DType::F32, &super::Rng::new(0))
        .unwrap();
    let free = ["cls_token", "pos_embed"];
    let free = free.map(|name| params.get(name).unwrap().elements());
    assert_eq!(params.count() - free[0] - free[1], 530_442);
}

/// A multiply-add is two operations: patches, four layers of 1025 tokens, and the last layer.
#[test]
fn operations_are_those_of_its_products() {
    let config = super::Config::parse("ViT-128/4x4").unwrap();
    let summary = config.summary([32; 2], super::Precision::F32).unwrap();
    let (tokens, dim) = (1025u64, 128u64);
    let linear = tokens * dim * (3 * dim + dim + 2 * 256);
    let attention = 2 * tokens * tokens * dim;
    let products = 1024 * 3 * dim + 4 * (linear + attention) + 10 * dim;
    assert_eq!(summary.flops(), 2 * products);
}
