//! The hybrid vision Nystromformers.

use wavemix::models::{Config, HybridViN};

use super::{Case, Count};

pub const CASES: &[Case] = &[
    Case::of("hybrid_vin", || {
        HybridViN {
            landmarks: 4,
            kernel: 5,
            ..HybridViN::new(8, 2, 2)
        }
        .into()
    }),
    Case::of("hybrid_vin_strided", || {
        HybridViN {
            landmarks: 7,
            kernel: 5,
            stride: Some(2),
            ..HybridViN::new(8, 1, 4)
        }
        .into()
    }),
];

/// Tables 1 and 2 of the papers.
pub const COUNTS: &[Count] = &[
    Count::of("HybridViN-128/4x4", 10, 755_034),
    Count::of("HybridViN-128/4x4", 100, 766_644),
    Count {
        size: 64,
        ..Count::of("HybridViN-128/4x4", 200, 779_544)
    },
];

#[test]
fn what_does_not_fit_is_refused() {
    let with = |setting: &str, value: &str| {
        let config = Config::parse("HybridViN-8/1x2").unwrap();
        let config = config.with(setting, value).unwrap();
        config.check().unwrap_err().to_string()
    };
    assert_eq!(
        with("kernel", "4"),
        "HybridViN-8/1x2: the kernel must be odd, got 4"
    );
    assert_eq!(
        with("landmarks", "0"),
        "HybridViN-8/1x2: the number of landmarks must be between 1 and 65536, got 0"
    );
    let six = Config::parse("HybridViN-6/1x2").unwrap_err().to_string();
    assert_eq!(
        six,
        "HybridViN-6/1x2: the dimension must be a multiple of 4, got 6"
    );
}
