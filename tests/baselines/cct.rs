//! The compact transformers, with sequence pooling and with a class token.

use wavemix::models::{Cct, Config, ViTLite};
use wavemix::{DType, Rng};

use super::{Case, Count};

fn small(strides: &[usize]) -> Cct {
    Cct {
        mlp: 16,
        strides: Some(strides.to_vec()),
        ..Cct::new(8, 2, 2)
    }
}

pub const CASES: &[Case] = &[
    Case::of("cct", || small(&[1]).into()),
    Case::of("cct_strided", || {
        Cct {
            kernel: 5,
            pool: 2,
            ..small(&[2, 2])
        }
        .into()
    }),
    Case::of("vit_lite", || ViTLite::new(8, 2, 2).into()),
];

/// Tables 1 and 2 of the papers, and the authors' cct_7_3x1_32, whose weights are published.
pub const COUNTS: &[Count] = &[
    Count::of("CCT-128/4x4", 10, 1_036_619),
    Count::of("CCT-128/4x4", 100, 1_048_229),
    Count {
        size: 64,
        ..Count::of("CCT-128/4x4", 200, 1_061_129)
    },
    Count {
        size: 64,
        ..Count::of("CCT-128/4x4", 1000, 1_164_329)
    },
    Count {
        set: &[("mlp", "512"), ("strides", "1"), ("pool", "2")],
        ..Count::of("CCT-256/7x4", 10, 3_760_139)
    },
    Count::of("ViT-Lite-256/6x4", 10, 3_190_538),
    Count::of("ViT-Lite-256/6x4", 100, 3_213_668),
    Count::of("ViT-12/16", 10, 85_631_242),
];

fn wrong(config: wavemix::Result<Config>) -> String {
    let checked = config.and_then(|config| config.check());
    checked.unwrap_err().to_string()
}

#[test]
fn what_does_not_fit_is_refused() {
    let with = |name: &str, setting: &str, value: &str| {
        wrong(Config::parse(name).and_then(|config| config.with(setting, value)))
    };
    assert_eq!(
        with("CCT-8/1x2", "strides", "1,0"),
        "CCT-8/1x2: a stride must be between 1 and 65536, got 0"
    );
    assert_eq!(
        with("CCT-8/1x2", "strides", "1;1"),
        "the setting `strides` is whole numbers with commas between them, got `1;1`"
    );
    assert_eq!(
        with("CCT-8/1x2", "kernel", "4"),
        "CCT-8/1x2: the kernel must be odd and below 65536, got 4"
    );
    assert_eq!(
        with("ViT-Lite-8/1x2", "patch", "5"),
        "ViT-Lite-8/1x2: patches of 5x5 do not fill an image of 32x32: set `patch`"
    );
}

/// Names with a patch are a short form, which other widths have not.
#[test]
fn names_say_what_they_can() {
    let base = Config::parse("ViT-12/16").unwrap();
    assert_eq!(base.with("mlp", 1536).unwrap().name(), "ViT-Lite-768/12x12");
    let lite = Config::parse("ViT-Lite-768/6x12").unwrap();
    assert_eq!(lite.with("mlp", 3072).unwrap().name(), "ViT-6/4");
}

/// A deviation of these, within six of its own standard deviations, 1 / sqrt(2 n) of it.
#[track_caller]
fn assert_deviation(values: &[f32], want: f64) {
    let n = values.len() as f64;
    let got = (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n).sqrt();
    assert!((got / want - 1.0).abs() < 6.0 / (2.0 * n).sqrt(), "{got}");
}

#[test]
fn weights_begin_as_in_the_authors_code() {
    let values = |name: &str| {
        let (_, params) = Config::parse(name)
            .unwrap()
            .build(DType::F32, &Rng::new(3))
            .unwrap();
        move |key: &str| params.get(key).unwrap().to_vec::<f32>().unwrap()
    };
    let of = values("CCT-128/4x4");
    assert_deviation(&of("classifier.positional_emb"), 0.2);
    assert_deviation(&of("classifier.blocks.2.self_attn.qkv.weight"), 0.02);
    assert_deviation(&of("classifier.blocks.0.linear2.weight"), 0.02);
    assert_deviation(
        &of("tokenizer.conv_layers.0.0.weight"),
        (2.0f64 / 27.0).sqrt(),
    );
    assert_deviation(
        &of("tokenizer.conv_layers.2.0.weight"),
        (2.0f64 / 576.0).sqrt(),
    );
    for key in ["blocks.1.linear1.bias", "attention_pool.bias", "fc.bias"] {
        assert!(
            of(&format!("classifier.{key}")).iter().all(|&x| x == 0.0),
            "{key}"
        );
    }
    assert!(of("classifier.norm.weight").iter().all(|&x| x == 1.0));
    let of = values("ViT-Lite-256/6x4");
    assert!(of("classifier.class_emb").iter().all(|&x| x == 0.0));
    assert_deviation(
        &of("tokenizer.conv_layers.0.0.weight"),
        (2.0f64 / 48.0).sqrt(),
    );
}
