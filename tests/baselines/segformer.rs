//! The SegFormers of segmentation_models_pytorch and of segformer-pytorch.

use wavemix::models::{Config, SegFormer, SegFormerPackage};

use super::{Case, Count};

const DIMS: [usize; 4] = [4, 6, 8, 10];
const HEADS: [usize; 4] = [1, 2, 2, 5];

pub const CASES: &[Case] = &[
    Case::of("segformer", || {
        SegFormer {
            dims: DIMS,
            depths: [1; 4],
            heads: HEADS,
            expansion: [2; 4],
            decoder: 6,
        }
        .into()
    }),
    Case::of("segformer_package", || {
        SegFormerPackage {
            dims: DIMS,
            heads: HEADS,
            expansion: [2; 4],
            layers: 1,
            decoder: 6,
        }
        .into()
    }),
];

/// Both of WaveMix-Lite's table 4.
pub const COUNTS: &[Count] = &[
    Count::of_pixels("SegFormer-B0", 512, 19, 3_719_027),
    Count::of_pixels("SegFormer", 512, 20, 7_722_356),
    Count::of_pixels("SegFormer", 512, 19, 7_722_099),
];

#[test]
fn images_must_leave_pixels_for_the_keys() {
    for name in ["SegFormer-B0", "SegFormer"] {
        let small = |size: usize| Config {
            size,
            ..Config::parse(name).unwrap()
        };
        assert!(small(29).check().is_ok());
        assert_eq!(
            small(28).check().unwrap_err().to_string(),
            format!(
                "{name}: images of 28 pixels are too small: stage 1 has maps of 7 pixels, and reduces them 8 times"
            )
        );
    }
    let shared = Config::parse("SegFormer").unwrap();
    let shared = shared.with("heads", "1,3,5,8").unwrap();
    assert_eq!(
        shared.check().unwrap_err().to_string(),
        "SegFormer: 3 heads do not share 64 channels evenly"
    );
}
