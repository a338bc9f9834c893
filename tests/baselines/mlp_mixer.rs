//! MLP-Mixer of the package mlp-mixer-pytorch.

use wavemix::models::{Config, MlpMixer};
use wavemix::{DType, Module, Pass, Rng, Tensor};

use super::{Case, Count};

pub const CASES: &[Case] = &[Case::of("mlp_mixer", || {
    MlpMixer {
        dim: 8,
        depth: 2,
        patch: Some(2),
        token_hidden: Some(12),
        channel_hidden: None,
    }
    .into()
})];

/// Table 2 of WaveMix-Lite.
pub const COUNTS: &[Count] = &[
    Count::of("MLP-Mixer-512/8", 10, 2_415_626),
    Count::of("MLP-Mixer-512/8", 100, 2_461_796),
    Count {
        size: 64,
        ..Count::of("MLP-Mixer-512/8", 200, 2_586_824)
    },
];

#[test]
fn patches_fill_the_image() {
    let with = |size: usize, patch: usize| {
        let config = Config {
            size,
            ..Config::parse("MLP-Mixer-8/1").unwrap()
        };
        config.with("patch", patch).unwrap().check()
    };
    assert!(with(28, 7).is_ok());
    assert_eq!(
        with(32, 5).unwrap_err().to_string(),
        "MLP-Mixer-8/1: patches of 5 pixels do not fill images of 32"
    );
    assert_eq!(
        with(32, 0).unwrap_err().to_string(),
        "MLP-Mixer-8/1: the patch must be between 1 and 65536, got 0"
    );
    for (size, patch) in [(28, 4), (31, 31), (32, 4), (64, 8), (96, 12)] {
        assert_eq!(MlpMixer::new(8, 1).patch(size), patch, "images of {size}");
    }
}

#[test]
fn other_sizes_than_the_one_it_is_built_for_are_refused() {
    let config = Config::parse("MLP-Mixer-8/1").unwrap();
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let images = Tensor::zeros([1, 16, 64, 3], DType::F32);
    let error = model.forward(&Pass::eval(&params), &images.into());
    let error = error.unwrap_err().to_string();
    let expected = "images expects [n, 32, 32, channels], the size it is built for";
    assert!(error.contains(expected), "{error}");
}
