//! vit_pytorch's convolutional vision transformers.

use wavemix::models::{Config, CvT};

use super::{Case, Count};

pub const CASES: &[Case] = &[Case::of("cvt", || {
    CvT {
        stride: Some(2),
        kv_strides: [2, 1, 1],
        ..CvT::new(4, 4, 1)
    }
    .into()
})];

/// Tables 1 and 2 of the papers.
pub const COUNTS: &[Count] = &[
    Count::of("CvT-128/4x4", 10, 1_102_602),
    Count::of("CvT-128/4x4", 100, 1_114_212),
    Count {
        size: 64,
        ..Count::of("CvT-128/4x4", 200, 1_127_112)
    },
];

#[test]
fn what_does_not_fit_is_refused() {
    let small = Config::parse("CvT-8/3x2").unwrap();
    let with = |setting: &str, value: &str| {
        let config = small.clone().with(setting, value);
        let checked = config.and_then(|config| config.check());
        checked.unwrap_err().to_string()
    };
    assert_eq!(
        with("depths", "1,2"),
        "the setting `depths` has a number for each of 3 stages, got `1,2`"
    );
    assert_eq!(
        with("depths", "1,0,1"),
        "CvT-8/2x2: between 1 and 1024 blocks, got 0"
    );
    assert_eq!(
        with("kv_strides", "1,1,0"),
        "CvT-8/3x2: a stride of keys must be between 1 and 65536, got 0"
    );
    let two = Config::parse("CvT-8/2x2").unwrap_err().to_string();
    assert_eq!(two, "CvT-8/2x2: between 1 and 1024 blocks, got 0");
}
