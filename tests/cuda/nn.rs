//! The layers of `nn` on a GPU: a forward and a backward pass of each, with the weights and inputs of
//! the goldens, against f64 on the CPU.

#[path = "../layers/cases.rs"]
mod cases;
#[path = "../layers/golden.rs"]
mod golden;

use wavemix::{DType, Device, Precision};

use crate::harness::gpu;
use cases::CASES;
use golden::{Golden, assert_rounded, run};

#[test]
fn layers() {
    let Some(gpu) = gpu() else { return };
    for (precision, dtype, unit) in [
        // Sums of some dozens of products are rounded in f32.
        (Precision::F32, DType::F32, 2f64.powi(-19)),
        (Precision::Bf16, DType::BF16, 2f64.powi(-9)),
        (Precision::F16, DType::F16, 2f64.powi(-12)),
    ] {
        for case in CASES {
            let golden = Golden::of(case).rounded(dtype);
            let want = run(case, &golden, None, Device::Cpu);
            let got = run(case, &golden, Some(precision), gpu);
            assert_eq!(got.y.dtype(), dtype, "{}", case.name);
            assert_rounded(case, &got, &want, unit);
        }
    }
}
