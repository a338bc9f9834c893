//! Compiles a kernel's source to machine code for the device at hand, once: the result is cached on
//! disk.
//!
//! NVRTC compiles at run time and gets the included headers from memory, so no toolkit is needed.
//! If it knows the device's architecture, it generates machine code (cubin); otherwise it generates
//! PTX for the newest architecture below, which the driver compiles. A driver older than NVRTC runs
//! cubins, but not that PTX.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;

use crate::{DType, Error, Result};

/// The headers that kernels include, by name.
const HEADERS: [(&str, &str); 4] = [
    ("common.cuh", include_str!("../../../kernels/common.cuh")),
    ("mma.cuh", include_str!("../../../kernels/mma.cuh")),
    ("tiles.cuh", include_str!("../../../kernels/tiles.cuh")),
    ("windows.cuh", include_str!("../../../kernels/windows.cuh")),
];

/// Machine code of `kernels/<file>.cu` with elements of type `dtype`, for a device of compute
/// capability `arch`.
pub(super) fn image(file: &str, source: &str, dtype: DType, arch: u32) -> Result<Vec<u8>> {
    let job = Job::new(file, source, dtype, arch)?;
    job.cached().map_or_else(|| job.compile(), Ok)
}

/// What is to be compiled, and how.
pub(super) struct Job<'a> {
    file: &'a str,
    source: &'a str,
    options: [String; 4],
    /// Whether the compiler knows the device's architecture, and makes machine code for it.
    machine_code: bool,
    /// Where the result is cached, if there is a place.
    kept: Option<PathBuf>,
}

impl<'a> Job<'a> {
    pub fn new(file: &'a str, source: &'a str, dtype: DType, arch: u32) -> Result<Job<'a>> {
        let nvrtc = nvrtc()?;
        let older = nvrtc.archs.iter().copied().filter(|&known| known <= arch);
        let Some(known) = older.max() else {
            let (major, minor) = nvrtc.version;
            let what = format!(
                "the kernel compiler, NVRTC {major}.{minor}, knows no architecture up to sm_{arch}"
            );
            return Err(Error::Device(format!(
                "{what}; one of an older or newer CUDA does"
            )));
        };
        let form = if known == arch { "sm" } else { "compute" };
        let real = match dtype {
            DType::BF16 => 1,
            DType::F16 => 2,
            _ => 0,
        };
        // Functions without an execution space, such as lambdas, are compiled for the device.
        let options = [
            format!("--gpu-architecture={form}_{known}"),
            "--std=c++17".into(),
            "--device-as-default-execution-space".into(),
            format!("-DREAL={real}"),
        ];
        let version = format!("{:?}", nvrtc.version);
        let key = hash(&(HEADERS, source, options.join(" "), version));
        Ok(Job {
            file,
            source,
            options,
            machine_code: known == arch,
            kept: folder().map(|folder| folder.join(hex(&key))),
        })
    }

    /// What an earlier process compiled.
    pub fn cached(&self) -> Option<Vec<u8>> {
        self.kept.as_deref().and_then(read)
    }

    /// Compiles, and caches the result.
    pub fn compile(&self) -> Result<Vec<u8>> {
        let name = format!("{}.cu", self.file);
        let image = compile(&name, self.source, &self.options, self.machine_code)?;
        if let Some(path) = &self.kept {
            // A cache that cannot be written only costs time at the next start.
            let _ = write(path, &image);
        }
        Ok(image)
    }
}

/// The compiler's version, and the architectures it knows.
struct Nvrtc {
    version: (c_int, c_int),
    archs: Vec<u32>,
}

fn nvrtc() -> Result<&'static Nvrtc> {
    static NVRTC: OnceLock<std::result::Result<Nvrtc, String>> = OnceLock::new();
    let ask = || -> std::result::Result<Nvrtc, NvrtcError> {
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: each call writes one int; the last one `count` of them.
        unsafe {
            sys::nvrtcVersion(&mut major, &mut minor).result()?;
            sys::nvrtcGetNumSupportedArchs(&mut count).result()?;
            let mut archs = vec![0 as c_int; count.max(0) as usize];
            sys::nvrtcGetSupportedArchs(archs.as_mut_ptr()).result()?;
            Ok(Nvrtc {
                version: (major, minor),
                archs: archs.into_iter().map(|arch| arch as u32).collect(),
            })
        }
    };
    // cudarc panics if a library lacks a function; that leaves no state of this crate half-changed.
    let asked = || match std::panic::catch_unwind(ask) {
        Ok(answer) => answer.map_err(|e| format!("the kernel compiler does not answer: {e}")),
        Err(_) => Err(
            "the kernel compiler (libnvrtc) lacks a function; that of CUDA 12 or newer is needed"
                .into(),
        ),
    };
    let nvrtc = NVRTC.get_or_init(asked);
    nvrtc.as_ref().map_err(|e| Error::Device(e.clone()))
}

/// The CUDA that the compiler is of.
pub(super) fn major() -> std::result::Result<i32, String> {
    nvrtc()
        .map(|nvrtc| nvrtc.version.0)
        .map_err(|e| e.to_string())
}

/// Compiles; an error includes the compiler's log.
fn compile(name: &str, source: &str, options: &[String], machine_code: bool) -> Result<Vec<u8>> {
    let text =
        |s: &str| CString::new(s).map_err(|_| Error::Device(format!("{name}: has a zero in it")));
    let (source, file) = (text(source)?, text(name)?);
    let names: Vec<CString> = HEADERS
        .iter()
        .map(|(name, _)| text(name))
        .collect::<Result<_>>()?;
    let texts: Vec<CString> = HEADERS
        .iter()
        .map(|(_, header)| text(header))
        .collect::<Result<_>>()?;
    let [names, texts] =
        [&names, &texts].map(|list| list.iter().map(|s| s.as_ptr()).collect::<Vec<_>>());
    let failed = |what: &str, e: NvrtcError| Error::Device(format!("{name}: {what}: {e}"));
    let mut program = std::ptr::null_mut();
    let count = HEADERS.len() as c_int;
    // SAFETY: all strings end with a zero and outlive the program; there are `count` headers with
    // their names.
    let begun = unsafe {
        sys::nvrtcCreateProgram(
            &mut program,
            source.as_ptr(),
            file.as_ptr(),
            count,
            texts.as_ptr(),
            names.as_ptr(),
        )
    };
    begun
        .result()
        .map_err(|e| failed("the kernel compiler does not begin", e))?;
    let program = Program(program);
    // SAFETY: the program was just made.
    unsafe { result::compile_program(program.0, options) }.map_err(|e| {
        let (log, options) = (program.log(), options.join(" "));
        failed(&format!("does not compile with {options}\n{log}"), e)
    })?;
    program
        .image(machine_code)
        .map_err(|e| failed("the compiled kernel cannot be read", e))
}

struct Program(sys::nvrtcProgram);

impl Program {
    fn log(&self) -> String {
        // SAFETY: the program lives, and its log ends with a zero.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_else(|_| vec![0]);
        let bytes: Vec<u8> = log.into_iter().map(|c| c as u8).collect();
        CStr::from_bytes_until_nul(&bytes).map_or(String::new(), |log| {
            log.to_string_lossy().trim_end().to_owned()
        })
    }

    fn image(&self, machine_code: bool) -> std::result::Result<Vec<u8>, NvrtcError> {
        let mut size = 0;
        // SAFETY: the program lives; the second call of each pair writes as many bytes as the first
        // one says.
        unsafe {
            if machine_code {
                sys::nvrtcGetCUBINSize(self.0, &mut size).result()?;
                let mut image = vec![0u8; size];
                sys::nvrtcGetCUBIN(self.0, image.as_mut_ptr().cast::<c_char>()).result()?;
                return Ok(image);
            }
            Ok(result::get_ptx(self.0)?
                .into_iter()
                .map(|c| c as u8)
                .collect())
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: nothing else has this program. The call's error code is ignored, as nothing could
        // be done about it.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// Where compiled kernels are cached: `$WAVEMIX_KERNELS`, else next to the data sets in the user's
/// cache folder.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set("WAVEMIX_KERNELS").or_else(|| Some(cache()?.join("wavemix/kernels")))
}

/// 128 bits, against accidents. Another release of Rust may hash otherwise; then kernels are
/// compiled once more.
fn hash(value: &impl Hash) -> [u8; 16] {
    let [first, second] = [0u8, 1].map(|half| {
        let mut hasher = DefaultHasher::new();
        (half, value).hash(&mut hasher);
        hasher.finish()
    });
    (u128::from(first) << 64 | u128::from(second)).to_le_bytes()
}

/// A file's contents behind their hash; `None` where it is not there, or damaged.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let image = bytes.split_off(bytes.len().min(16));
    (hash(&image)[..] == bytes[..]).then_some(image)
}

/// Writes a temporary file and renames it, so that other processes see whole files only.
fn write(path: &Path, image: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = fs::write(&beside, [&hash(&image)[..], image].concat())
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_counts_as_none() {
        let path = std::env::temp_dir().join(format!("wavemix-kernel-{}", std::process::id()));
        write(&path, b"machine code").unwrap();
        assert_eq!(read(&path).as_deref(), Some(&b"machine code"[..]));
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path), None);
        fs::write(&path, b"short").unwrap();
        assert_eq!(read(&path), None);
        fs::remove_file(&path).unwrap();
    }
}
