//! Finds NVIDIA's libraries.
//!
//! The driver's library is in the system loader's search path. The kernel compiler and cuBLAS often
//! are not: they come with a toolkit or a Python environment. A library that is opened here by its
//! path is found when cudarc later opens it by its name.

use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A library: its name for errors, the prefixes of its files in the order in which they are opened
/// (dependencies first), and whether the loader finds it.
struct Library {
    name: &'static str,
    files: &'static [&'static str],
    present: fn() -> bool,
}

// SAFETY (of each `present`): the call only opens a shared library by its name and closes it again.
const LIBRARIES: [Library; 2] = [
    Library {
        name: "the kernel compiler (libnvrtc)",
        files: &["libnvrtc-builtins.so", "libnvrtc.so"],
        // SAFETY: as above.
        present: || unsafe { cudarc::nvrtc::sys::is_culib_present() },
    },
    Library {
        name: "cuBLAS (libcublas)",
        files: &["libcublasLt.so", "libcublas.so"],
        // SAFETY: as above.
        present: || unsafe { cudarc::cublas::sys::is_culib_present() },
    },
];

/// The libraries that were not found. The first call searches the folder that `WAVEMIX_CUDA` names,
/// the loader's path, toolkits and Python environments.
pub(super) fn missing() -> &'static [&'static str] {
    static MISSING: OnceLock<Vec<&'static str>> = OnceLock::new();
    MISSING.get_or_init(|| {
        let mut missing = Vec::new();
        // SAFETY: the call only opens a shared library by its name and closes it again.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            missing.push("the NVIDIA driver (libcuda)");
        }
        let own: Vec<PathBuf> = variable("WAVEMIX_CUDA").into_iter().collect();
        for library in LIBRARIES {
            // Also without a driver: the error then lists everything that is missing.
            let found =
                open(&own, library.files) || (library.present)() || open(&folders(), library.files);
            if !found {
                missing.push(library.name);
            }
        }
        missing
    })
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The folders in which toolkits and Python packages keep libraries.
fn folders() -> Vec<PathBuf> {
    let toolkits = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(variable)
        .chain([PathBuf::from("/usr/local/cuda")]);
    let mut folders: Vec<PathBuf> = toolkits.map(|folder| folder.join("lib64")).collect();
    for environment in ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(variable)
    {
        for python in entries(&environment.join("lib"))
            .into_iter()
            .filter(|path| begins(path, "python3"))
        {
            // The packages of CUDA 13 share one folder; those of CUDA 12 have one each.
            let packages = ["cu13/lib", "cuda_nvrtc/lib", "cublas/lib"];
            folders
                .extend(packages.map(|package| python.join("site-packages/nvidia").join(package)));
        }
    }
    folders
}

/// Opens, for each prefix, the first file that has it. Returns whether the last prefix was found.
fn open(folders: &[PathBuf], files: &[&str]) -> bool {
    let mut opened = false;
    for name in files {
        let mut candidates = folders
            .iter()
            .flat_map(|folder| entries(folder))
            .filter(|path| begins(path, name));
        opened = candidates.any(|path| dlopen(&path));
    }
    opened
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort_unstable();
    paths
}

fn begins(path: &Path, name: &str) -> bool {
    path.file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|file| file.starts_with(name))
}

/// Opens a library for as long as the process runs.
#[cfg(unix)]
fn dlopen(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: the C library's own function of this name and type.
    unsafe extern "C" {
        fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    }
    /// Resolves all symbols at once, so that a broken library fails here. It has the same value on
    /// all systems.
    const RTLD_NOW: c_int = 2;
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path ends with a zero; opening one of NVIDIA's libraries runs its initialisers
    // and nothing else.
    !unsafe { dlopen(path.as_ptr(), RTLD_NOW) }.is_null()
}

/// Other systems search the folders of PATH themselves.
#[cfg(not(unix))]
fn dlopen(_path: &Path) -> bool {
    false
}
