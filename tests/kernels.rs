//! Every kernel compiled for real: each file for each storage type and for several architectures,
//! by NVRTC, with no GPU.
//!
//! What the assembler says of registers is kept in `target/tmp/registers.txt`; a kernel that spills
//! registers to memory, or keeps an array there, fails the test.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cudarc::nvrtc::sys;
use sha2::{Digest, Sha256};

/// Volta, Turing, Ampere, Hopper. NVRTC 13 knows nothing below Turing.
const ARCHITECTURES: [c_int; 4] = [70, 75, 80, 90];

const HEADERS: [&str; 4] = ["common.cuh", "mma.cuh", "tiles.cuh", "windows.cuh"];

/// One run of the compiler.
struct Job {
    file: String,
    real: usize,
    arch: c_int,
}

/// What the assembler says of one kernel.
struct Usage {
    kernel: String,
    registers: usize,
    /// Bytes stored and loaded because registers ran out.
    spilled: usize,
    /// Bytes of a thread's own memory, outside registers: arrays that are not unrolled.
    frame: usize,
}

#[test]
fn every_kernel_compiles_for_every_type_and_architecture_within_registers() {
    // Looks for NVIDIA's libraries as the crate does, and leaves open what it finds.
    let _ = wavemix::cuda::usable(0);
    // SAFETY: the call only opens a shared library by its name and closes it again.
    if !unsafe { sys::is_culib_present() } {
        assert!(
            std::env::var_os("WAVEMIX_NO_SKIP").is_none(),
            "must not be skipped here: no libnvrtc; set WAVEMIX_CUDA to its folder"
        );
        let _ = writeln!(
            std::io::stderr(),
            "skipped: compiling kernels: no libnvrtc (set WAVEMIX_CUDA to its folder)"
        );
        return;
    }
    let (version, known) = compiler();
    let mut jobs = Vec::new();
    // The longest first: those of tiles.
    let mut files: Vec<String> = kernels("cu");
    files.sort_by_key(|file| !file.starts_with("conv"));
    for file in files {
        for arch in ARCHITECTURES
            .into_iter()
            .filter(|arch| known.contains(arch))
        {
            jobs.extend((0..3).map(|real| Job {
                file: file.clone(),
                real,
                arch,
            }));
        }
    }
    assert!(
        known.contains(&75) && known.contains(&90) && jobs.len() > 100,
        "NVRTC {version} knows {known:?}: {} jobs",
        jobs.len()
    );
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let usages = usages(job, &version);
            lines
                .lock()
                .unwrap()
                .insert((job.file.clone(), job.real, job.arch), usages);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    report(&lines.into_inner().unwrap());
}

/// Writes the table, and fails for each kernel that spills.
fn report(all: &BTreeMap<(String, usize, c_int), Vec<Usage>>) {
    let mut table = String::from("registers a thread, by kernel, storage type and architecture\n");
    let mut spills = Vec::new();
    for ((file, real, arch), usages) in all {
        assert!(
            !usages.is_empty(),
            "{file} for sm_{arch}: the assembler says nothing of its kernels"
        );
        for Usage {
            kernel,
            registers,
            spilled,
            frame,
        } in usages
        {
            let line = format!(
                "{kernel:<28} {:<5} sm_{arch} {registers:>4}",
                ["f32", "bf16", "f16"][*real]
            );
            if *spilled > 0 {
                spills.push(format!("{line}, {spilled} bytes spilled"));
            }
            if *frame > allowed_frame(kernel) && is_launched(kernel, *real, *arch) {
                spills.push(format!("{line}, {frame} bytes of stack"));
            }
            table += &format!("{line}\n");
        }
    }
    fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("registers.txt"),
        table,
    )
    .unwrap();
    assert!(
        spills.is_empty(),
        "registers are spilled:\n{}",
        spills.join("\n")
    );
}

/// Bytes of a thread's own memory that a kernel may have: CUDA's sine and cosine of large arguments
/// multiply them by 2 / pi to many digits, in an array.
fn allowed_frame(kernel: &str) -> usize {
    if kernel.starts_with("unary") { 32 } else { 0 }
}

/// Whether a kernel is meant for this architecture. Before Ampere there are no matrix products of
/// bf16 and TF32, which are then emulated by loops; and tiles of 144 columns are not chosen.
fn is_launched(kernel: &str, real: usize, arch: c_int) -> bool {
    let emulates = real == 1 || kernel.contains("tf32") || kernel == "matrix_rate";
    arch >= 80 || !(emulates || kernel.ends_with("_144"))
}

/// What the assembler says of a file's kernels: from an earlier run, where nothing has changed
/// since.
fn usages(job: &Job, version: &str) -> Vec<Usage> {
    let source = text(&job.file);
    let options = [
        format!("--gpu-architecture=sm_{}", job.arch),
        "--std=c++17".into(),
        "--device-as-default-execution-space".into(),
        format!("-DREAL={}", job.real),
        "-Xptxas=-v".into(),
    ];
    let mut hash = Sha256::new();
    let included = HEADERS
        .iter()
        .filter(|name| source.contains(**name))
        .map(|name| text(name));
    included
        .chain([source.clone(), options.join(" "), version.into()])
        .for_each(|part| hash.update(part));
    let name: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compiled-{name}.log"));
    let log = fs::read_to_string(&kept).unwrap_or_else(|_| {
        let log = compile(&job.file, &source, &options);
        fs::write(&kept, &log).unwrap();
        log
    });
    parse(&log)
}

/// Reads "Compiling entry function 'NAME'", "A bytes stack frame, B bytes spill stores, C bytes
/// spill loads", "Used N registers".
fn parse(log: &str) -> Vec<Usage> {
    let number_before = |line: &str, what: &str| -> Option<usize> {
        line.split(what)
            .next()
            .filter(|before| before.len() < line.len())?
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    };
    let mut usages: Vec<Usage> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            usages.push(Usage {
                kernel,
                registers: 0,
                spilled: 0,
                frame: 0,
            });
        }
        let Some(last) = usages.last_mut() else {
            continue;
        };
        let spills = [" bytes spill stores", " bytes spill loads"]
            .map(|what| number_before(line, what).unwrap_or(0));
        last.spilled += spills[0] + spills[1];
        last.frame += number_before(line, " bytes stack frame").unwrap_or(0);
        if let Some(registers) = number_before(line, " registers") {
            last.registers = registers;
        }
    }
    usages
}

#[test]
fn what_the_assembler_says_is_understood() {
    let log = "ptxas info : Compiling entry function 'one' for 'sm_90'\nptxas info : Function properties for one\n    \
               16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\nptxas info : Used 63 registers, used 1 barriers\n\
               ptxas info : Compiling entry function 'two' for 'sm_90'\n    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
               ptxas info : Used 9 registers\n";
    let found: Vec<_> = parse(log)
        .into_iter()
        .map(|usage| (usage.kernel, usage.registers, usage.spilled, usage.frame))
        .collect();
    assert_eq!(
        found,
        [("one".to_owned(), 63, 12, 16), ("two".to_owned(), 9, 0, 0)]
    );
}

/// NVRTC's version and the architectures it knows.
fn compiler() -> (String, Vec<c_int>) {
    let (mut major, mut minor, mut count) = (0, 0, 0);
    // SAFETY: each call writes one number, the last one `count` of them.
    unsafe {
        sys::nvrtcVersion(&mut major, &mut minor).result().unwrap();
        sys::nvrtcGetNumSupportedArchs(&mut count).result().unwrap();
        let mut known = vec![0; count as usize];
        sys::nvrtcGetSupportedArchs(known.as_mut_ptr())
            .result()
            .unwrap();
        (format!("{major}.{minor}"), known)
    }
}

/// Compiles to machine code, and gives the log.
fn compile(file: &str, source: &str, options: &[String]) -> String {
    let c = |text: &str| CString::new(text).unwrap();
    let (source, name, options) = (
        c(source),
        c(file),
        options.iter().map(|option| c(option)).collect::<Vec<_>>(),
    );
    let (texts, names) = (HEADERS.map(|name| c(&text(name))), HEADERS.map(c));
    let pointers = |strings: &[CString]| {
        strings
            .iter()
            .map(|s| s.as_ptr())
            .collect::<Vec<*const c_char>>()
    };
    let (texts_at, names_at, options_at) = (pointers(&texts), pointers(&names), pointers(&options));
    let mut program = std::ptr::null_mut();
    // SAFETY: all strings end with a zero and outlive the program; each buffer is as large as the
    // call before it says.
    unsafe {
        let headers = HEADERS.len() as c_int;
        let made = sys::nvrtcCreateProgram(
            &mut program,
            source.as_ptr(),
            name.as_ptr(),
            headers,
            texts_at.as_ptr(),
            names_at.as_ptr(),
        );
        made.result().unwrap();
        let compiled =
            sys::nvrtcCompileProgram(program, options_at.len() as c_int, options_at.as_ptr())
                .result();
        let (mut size, mut code) = (0, 0);
        sys::nvrtcGetProgramLogSize(program, &mut size)
            .result()
            .unwrap();
        let mut log = vec![0u8; size.max(1)];
        sys::nvrtcGetProgramLog(program, log.as_mut_ptr().cast())
            .result()
            .unwrap();
        let log = CStr::from_bytes_until_nul(&log)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(
            compiled.is_ok(),
            "{file} does not compile with {options:?}:\n{log}"
        );
        sys::nvrtcGetCUBINSize(program, &mut code).result().unwrap();
        assert!(code > 0, "{file} with {options:?}: no machine code");
        sys::nvrtcDestroyProgram(&mut program).result().unwrap();
        log
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

fn text(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

/// The files of kernels/ with this ending.
fn kernels(ending: &str) -> Vec<String> {
    let names = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.rsplit('.').next() == Some(ending))
        .collect();
    names.sort();
    names
}
