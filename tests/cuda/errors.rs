//! What is said where something is missing, too old or broken: a sentence each, and never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wavemix::{DType, Device, Error, Result, Tensor, Var, cuda};

use crate::harness::{ON_STAND_IN, part_of, skip};
use crate::{child, stand_in};

/// What the sentence must hold, in the process that provokes it.
const EXPECTED: &str = "WAVEMIX_TESTS_EXPECTED";
/// The device it asks for, where that is not the first.
const ORDINAL: &str = "WAVEMIX_TESTS_ORDINAL";

/// Variables of the stand-in, and what is said.
const CASES: &[(&[(&str, &str)], &str)] = &[
    (
        &[("WAVEMIX_STAND_IN_INIT", "100")],
        "cuda:0 cannot be used: the NVIDIA driver refuses to count devices: there is no device (CUDA_ERROR_NO_DEVICE); \
         --device cpu works everywhere",
    ),
    (
        &[("WAVEMIX_STAND_IN_VERSION", "11080")],
        "cuda:0 cannot be used: its driver is of CUDA 11.8, and 12.0 is the oldest that will do; --device cpu works everywhere",
    ),
    (
        &[("WAVEMIX_STAND_IN_VERSION", "12080")],
        "cuda:0 cannot be used: its driver is of CUDA 12, and the kernel compiler (NVRTC) of CUDA 13; that of CUDA 12 is needed, \
         or a newer driver; --device cpu works everywhere",
    ),
    (
        &[(ORDINAL, "1")],
        "cuda:1 cannot be used: the devices that the NVIDIA driver sees are counted from 0, and there are 1; \
         --device cpu works everywhere",
    ),
    (
        &[("WAVEMIX_STAND_IN_CAPABILITY", "61")],
        "cuda:0 cannot be used: it has compute capability 6.1, and 7.0 is the oldest that kernels are written for; \
         --device cpu works everywhere",
    ),
    (
        &[("WAVEMIX_STAND_IN_CAPABILITY", "70")],
        "the kernel compiler, NVRTC 13.0, knows no architecture up to sm_70; one of an older or newer CUDA does",
    ),
    (
        &[("WAVEMIX_STAND_IN_REFUSE", "unary.cu")],
        "unary.cu: does not compile with --gpu-architecture=sm_90 --std=c++17 --device-as-default-execution-space -DREAL=0\n\
         unary.cu(1): error: refused by the stand-in",
    ),
    (
        &[
            ("WAVEMIX_STAND_IN_FAIL_LAUNCH", "1"),
            ("WAVEMIX_STAND_IN_FAIL_AS", "700"),
        ],
        "a kernel touched memory that is not its own; all work on this device is lost, start the program again \
         (CUDA_ERROR_ILLEGAL_ADDRESS)",
    ),
    (
        &[
            ("WAVEMIX_STAND_IN_FAIL_LAUNCH", "1"),
            ("WAVEMIX_STAND_IN_FAIL_AS", "701"),
        ],
        "cuda:0: starting unary of unary.cu: a kernel asks for more registers or shared memory than there is",
    ),
    (
        &[
            ("WAVEMIX_STAND_IN_FAIL_LAUNCH", "1"),
            ("WAVEMIX_STAND_IN_FAIL_AS", "716"),
        ],
        "cuda:0: starting unary of unary.cu: a kernel loaded several elements at once from an address that is no multiple of their size",
    ),
];

/// Whether the sentence is said, by a process of its own that finds these libraries and no others
/// but the system's.
fn says(
    folder: &Path,
    variables: &[(&str, &str)],
    expected: &str,
) -> std::result::Result<(), String> {
    let elsewhere = [
        "WAVEMIX_CUDA",
        "CUDA_HOME",
        "CUDA_PATH",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
    ]
    .map(|name| (name, ""));
    let all = [variables, &elsewhere, &[(EXPECTED, expected)]].concat();
    let (passed, said) = child(folder, &["errors::provoked"], &all);
    if passed {
        Ok(())
    } else {
        Err(format!("{variables:?}:\n{said}"))
    }
}

#[test]
fn each_has_its_sentence() {
    if std::env::var_os(ON_STAND_IN).is_some() {
        return;
    }
    let whole = match stand_in::build(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(folder) => folder,
        Err(why) => return skip(&why),
    };
    for (variables, expected) in CASES {
        says(&whole, variables, expected).unwrap();
    }
    let room =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libraries-{}", std::process::id()));
    let with = |name: &str, libraries: &[&str]| -> PathBuf {
        let folder = room.join(name);
        fs::create_dir_all(&folder).unwrap();
        for library in libraries {
            fs::copy(whole.join(library), folder.join(library)).unwrap();
        }
        folder
    };
    let lacking = "cuda:0 cannot be used: the NVIDIA driver (libcuda), the kernel compiler (libnvrtc), cuBLAS (libcublas) not found; \
                   --device cpu works everywhere";
    // Where the system has them itself, they cannot be made to lack.
    if says(&with("none", &[]), &[], lacking).is_ok() {
        let lacking = "cuda:0 cannot be used: the kernel compiler (libnvrtc), cuBLAS (libcublas) not found; --device cpu";
        says(&with("driver", &["libcuda.so"]), &[], lacking).unwrap();
        let lacking =
            "cuda:0 cannot be used: cuBLAS (libcublas) not found; --device cpu works everywhere";
        says(
            &with("no-products", &["libcuda.so", "libnvrtc.so"]),
            &[],
            lacking,
        )
        .unwrap();
    }
    // A library that is one by its name alone, as an old one lacks what came later.
    let hollow = with("hollow", &["libcuda.so", "libcublas.so"]);
    let compiler = std::env::var("CXX").unwrap_or("c++".into());
    let text = hollow.join("none.cpp");
    fs::write(&text, "").unwrap();
    let made = Command::new(compiler)
        .arg("-shared")
        .arg(text)
        .arg("-o")
        .arg(hollow.join("libnvrtc.so"))
        .status()
        .unwrap();
    assert!(made.success());
    says(
        &hollow,
        &[],
        "the kernel compiler (libnvrtc) lacks a function; that of CUDA 12 or newer is needed",
    )
    .unwrap();
    fs::remove_dir_all(room).unwrap();
}

/// A device between two that NVRTC knows gets the code of the older one, which the driver
/// translates.
#[test]
fn newer_devices_take_older_code() {
    crate::on_stand_in(
        &["plumbing::memory_is_used_again", "ops::unary"],
        &[("WAVEMIX_STAND_IN_CAPABILITY", "89")],
    );
}

#[test]
fn provoked() {
    let Ok(expected) = std::env::var(EXPECTED) else {
        return part_of("errors::each_has_its_sentence");
    };
    let ordinal = std::env::var(ORDINAL).map_or(0, |text| text.parse().unwrap());
    let work = || -> Result<Tensor> {
        cuda::usable(ordinal)?;
        let x = Tensor::ones([100], DType::F32).to_device(Device::Cuda(ordinal))?;
        Var::from(x).exp()?.value().to_device(Device::Cpu)
    };
    let error = work().expect_err("nothing is wrong");
    assert!(matches!(error, Error::Device(_)), "{error:?}");
    assert!(error.to_string().contains(&expected), "{error}");
    // It says so again, and does not panic.
    assert!(work().is_err());
}
