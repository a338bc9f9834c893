//! Faults: planted in kernels, to see that the tests here find them; and injected into the
//! stand-in, to see what is said.

use std::fs;
use std::path::{Path, PathBuf};

use wavemix::{DType, Device, Tensor, Var};

use crate::harness::{ON_STAND_IN, gpu, part_of, skip};
use crate::{child, on_stand_in, stand_in};

/// In this file the first text, which stands there once, becomes the second.
type Change = (&'static str, &'static str, &'static str);

const BARRIER: Change = (
    "kernels/reduce.cu",
    "far * columns];\n        __syncthreads();",
    "far * columns];",
);
const SWAPPED: Change = (
    "kernels/binary.cu",
    "KERNEL(binary, int kind, const real* a, const real* b,",
    "KERNEL(binary, int kind, const real* b, const real* a,",
);
const LACKING: Change = (
    "kernels/cast.cu",
    "    case U8: return ((const u8*)x)[i];\n",
    "",
);
const BEYOND: Change = (
    "kernels/common.cuh",
    "i < n; i += item_stride()) body(Width<1>",
    "i <= n; i += item_stride()) body(Width<1>",
);

/// A copy of what the stand-in is built from, changed. Without the convolutions, which take as long
/// to compile as all others together.
fn planted(name: &str, changes: &[Change]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("planted-{name}-{}", std::process::id()));
    for folder in ["kernels", "tests/cuda"] {
        fs::create_dir_all(copy.join(folder)).unwrap();
        for entry in fs::read_dir(root.join(folder)).unwrap().flatten() {
            let own = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let mut text = fs::read_to_string(entry.path()).unwrap();
            for (file, from, to) in changes.iter().filter(|(file, ..)| *file == own) {
                assert_eq!(
                    text.matches(from).count(),
                    1,
                    "{file} has changed: plant the fault elsewhere"
                );
                text = text.replace(from, to);
            }
            if !own.contains("/conv") {
                fs::write(copy.join(own), text).unwrap();
            }
        }
    }
    copy
}

/// Each of these tests passes without a fault, as `all_of_these_on_the_stand_in` shows.
#[test]
fn planted_faults_are_found() {
    if std::env::var_os(ON_STAND_IN).is_some() {
        return;
    }
    let wrong = "should be";
    let found: [(&str, &[Change], &[(&str, &str)]); 2] = [
        // The first touches sums of four blocks and more alone, the second two operands of one
        // shape. The third is a row that a switch lacks: the kernel ends there, and computes
        // nothing else instead.
        (
            "values",
            &[BARRIER, SWAPPED, LACKING],
            &[
                ("layers::long_rows", wrong),
                ("ops::binary", wrong),
                ("ops::casts", "a kernel failed while it ran"),
            ],
        ),
        (
            "places",
            &[BEYOND],
            &[("ops::unary", "a kernel touched memory that is not its own")],
        ),
    ];
    for (name, changes, tests) in found {
        let root = planted(name, changes);
        let built = stand_in::build(&root);
        fs::remove_dir_all(&root).unwrap();
        let folder = match built {
            Ok(folder) => folder,
            Err(why) => return skip(&why),
        };
        for (filter, expected) in tests {
            let (passes, said) = child(&folder, &[filter], &[]);
            assert!(
                !passes && said.contains(expected),
                "{filter} does not find what was planted:\n{said}"
            );
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

/// Copies run beside the work; three orders have to hold, and without any one of them the numbers
/// are wrong, where what is waited for is late.
#[test]
fn forgotten_waits_are_found() {
    if std::env::var_os(ON_STAND_IN).is_some() {
        return;
    }
    let folder = match stand_in::build(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(folder) => folder,
        Err(why) => return skip(&why),
    };
    // The work for the copies, the copies for the work, the CPU for the copies.
    for (late, deaf) in [("2", "1"), ("1", "2"), ("12", "0")] {
        let variables = [
            ("WAVEMIX_STAND_IN_LATE", late),
            ("WAVEMIX_STAND_IN_DEAF", deaf),
        ];
        let (passes, said) = child(&folder, &["plumbing::batches_come_in_time"], &variables);
        assert!(
            !passes && said.contains("should be"),
            "{variables:?} is not found:\n{said}"
        );
    }
}

#[test]
fn errors_of_the_driver_are_told() {
    on_stand_in(
        &["faults::told::a_failed_launch"],
        &[("WAVEMIX_STAND_IN_FAIL_LAUNCH", "3")],
    );
    on_stand_in(
        &["faults::told::memory_that_is_full"],
        &[("WAVEMIX_STAND_IN_MEMORY", "3000000")],
    );
}

/// What runs with an error injected; without one these do nothing.
mod told {
    use super::*;

    fn injected(name: &str) -> Option<Device> {
        if std::env::var_os(name).is_none() {
            part_of("faults::errors_of_the_driver_are_told");
            return None;
        }
        gpu()
    }

    #[test]
    fn a_failed_launch() {
        let Some(gpu) = injected("WAVEMIX_STAND_IN_FAIL_LAUNCH") else {
            return;
        };
        let x = Var::from(Tensor::ones([100], DType::F32).to_device(gpu).unwrap());
        let again = |x: &Var| x.exp().and_then(|y| y.value().to_device(Device::Cpu));
        let error = (0..4)
            .find_map(|_| again(&x).err())
            .expect("the third launch fails")
            .to_string();
        assert!(
            error.contains(
                "a kernel failed while it ran; start the program again (CUDA_ERROR_LAUNCH_FAILED)"
            ),
            "{error}"
        );
        // Nothing works any more, and nothing panics.
        assert!(again(&x).is_err() && again(&x).is_err());
    }

    #[test]
    fn memory_that_is_full() {
        let Some(gpu) = injected("WAVEMIX_STAND_IN_MEMORY") else {
            return;
        };
        let full = |n: usize| Tensor::full_on(gpu, [n], 1.0, DType::F32);
        let held = full(500_000).unwrap();
        let error = full(500_000).err().unwrap().to_string();
        let expected = "cuda:0: out of memory: asked for 1.9 MiB; of 3 MiB, 1.9 are in tensors, 0.0 held for reuse";
        assert!(error.starts_with(expected), "{error}");
        // What is dropped can be had again, in another size too.
        drop(held);
        assert_eq!(
            full(600_000).unwrap().rows(7..8).unwrap().item().unwrap(),
            1.0
        );
    }
}
