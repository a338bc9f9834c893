//! The convolutional Performers.

use wavemix::models::{Config, Cpv};
use wavemix::{DType, Rng};

use super::{Case, Count};

pub const CASES: &[Case] = &[
    Case::of("cpv", || {
        Cpv {
            features: Some(6),
            ..Cpv::new(8, 2, 2)
        }
        .into()
    }),
    Case::of("cpv_strided", || {
        Cpv {
            features: Some(9),
            stride: Some(2),
            ..Cpv::new(8, 1, 2)
        }
        .into()
    }),
];

/// The authors' script with 10 and with 1000 classes, and the stem that gives the 1.6 million of
/// table 1 of WaveMix-Lite.
pub const COUNTS: &[Count] = &[
    Count::of("CPV-128/5x4", 10, 1_345_994),
    Count {
        size: 64,
        ..Count::of("CPV-128/5x4", 1000, 1_473_704)
    },
    Count {
        size: 64,
        set: &[("stem", "full")],
        ..Count::of("CPV-128/5x4", 1000, 1_603_688)
    },
];

#[test]
fn features_are_drawn_with_the_weights() {
    let projection = |seed| {
        let config = Config::parse("CPV-128/5x4").unwrap();
        let (_, params) = config.build(DType::F32, &Rng::new(seed)).unwrap();
        let of = |layer| {
            let name = "2.layers.0.0.fast_attention.projection_matrix";
            params.get(&format!("layers.{layer}.{name}")).unwrap()
        };
        assert_eq!(of(0).shape()[..], [110, 32]);
        [of(0), of(4)].map(|x| x.to_vec::<f32>().unwrap())
    };
    let [first, last] = projection(1);
    assert!(first != last && first != projection(2)[0] && first == projection(1)[0]);
    let squares: f64 = first.iter().map(|&x| f64::from(x).powi(2)).sum();
    // A mean of 110 * 32 squares of normal numbers, within six of its deviations.
    let mean = squares / (110.0 * 32.0);
    assert!(
        (mean - 1.0).abs() < 6.0 * (2.0 / (110.0f64 * 32.0)).sqrt(),
        "{mean}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let of = |name: &str| Config::parse(name).unwrap_err().to_string();
    assert_eq!(
        of("CPV-1024/1x2"),
        "CPV-1024/1x2: a head has at most 256 channels, got 512"
    );
    assert_eq!(
        of("CPV-6/1x2"),
        "CPV-6/1x2: the dimension must be a multiple of 4, got 6"
    );
    let small = Config::parse("CPV-8/1x2").unwrap();
    let none = small.clone().with("features", 0).unwrap();
    assert_eq!(
        none.check().unwrap_err().to_string(),
        "CPV-8/1x2: the number of features must be between 1 and 65536, got 0"
    );
    let stem = small.with("stem", "quarter").unwrap_err().to_string();
    assert!(stem.contains("half") && stem.contains("full"), "{stem}");
}
