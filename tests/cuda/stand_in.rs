//! Builds the stand-in for NVIDIA's libraries: `kernels/*.cu`, the kernels of the crate in
//! `tests/outside/` and the C++ files in this folder, by the system's compiler.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

const FILES: [&str; 6] = [
    "device.h",
    "driver.h",
    "device.cpp",
    "driver.cpp",
    "libraries.cpp",
    "streams.cpp",
];

/// Thread-locals are reached without a call that g++ 12 makes through a null pointer; shared memory
/// is read as several types; what the CPU would forgive, a misaligned pack or an index beyond
/// a shared array, stops the kernel.
const KERNEL_FLAGS: [&str; 3] = [
    "-fno-strict-aliasing",
    "-fsanitize=alignment,bounds",
    "-fsanitize-undefined-trap-on-error",
];

/// The folder with libcuda.so, libnvrtc.so and libcublas.so, to be put into `LD_LIBRARY_PATH`; why
/// not, where there is no compiler. Built once for each text of the kernels.
pub fn build(root: &Path) -> Result<PathBuf, String> {
    // One at a time: the first to come builds, the others find what it built.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _alone = BUILDING.lock().unwrap_or_else(|e| e.into_inner());
    let (kernels, own) = (root.join("kernels"), root.join("tests/cuda"));
    let mut sources = Vec::new();
    // A copy of the kernels with faults in them is without those of the other crate.
    for (folder, needed) in [
        (&kernels, true),
        (&root.join("tests/outside/kernels"), false),
    ] {
        match fs::read_dir(folder) {
            Ok(entries) => sources.extend(entries.flatten().map(|entry| entry.path())),
            Err(e) if needed => return Err(format!("{}: {e}", folder.display())),
            Err(_) => {}
        }
    }
    sources.retain(|path| {
        path.extension()
            .is_some_and(|end| end == "cu" || end == "cuh")
    });
    sources.sort();
    let mut hash = DefaultHasher::new();
    let all = sources
        .iter()
        .cloned()
        .chain(FILES.map(|file| own.join(file)))
        .chain([own.join("stand_in.rs")]);
    for path in all {
        fs::read(&path)
            .map_err(|e| format!("{}: {e}", path.display()))?
            .hash(&mut hash);
    }
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stand-in-{:016x}", hash.finish()));
    if folder.join("libcublas.so").exists() {
        return Ok(folder);
    }
    // Beside, and renamed when whole: another process may build it at the same time.
    let beside = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&beside).map_err(|e| e.to_string())?;
    // Each file in a namespace of its own, all in one without a name: the three storage types then
    // keep apart when linked.
    let mut text = "#include \"device.h\"\n#include <iterator>\nnamespace {\n".to_owned();
    for header in ["common", "mma", "tiles", "windows"] {
        text += &format!("#include \"{header}.cuh\"\n");
    }
    for path in sources
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "cu"))
    {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let path = path.display();
        text += &format!("namespace file_{stem} {{\n#include \"{path}\"\n}}\n");
    }
    text += "}\n";
    fs::write(beside.join("kernels.cpp"), text).map_err(|e| e.to_string())?;
    compile(&kernels, &own, &beside)?;
    match fs::rename(&beside, &folder) {
        // Another process was faster.
        Err(_) if folder.join("libcublas.so").exists() => {
            fs::remove_dir_all(&beside).map_err(|e| e.to_string())?
        }
        renamed => renamed.map_err(|e| e.to_string())?,
    }
    Ok(folder)
}

fn compile(kernels: &Path, own: &Path, folder: &Path) -> Result<(), String> {
    let compiler = std::env::var("CXX").unwrap_or("c++".into());
    let start = |arguments: &[&str]| {
        let mut command = Command::new(&compiler);
        command
            .current_dir(folder)
            .args([
                "-std=c++17",
                "-O1",
                "-fPIC",
                "-w",
                "-fno-extern-tls-init",
                "-I",
            ])
            .arg(own)
            .arg("-I")
            .arg(kernels);
        command
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("no C++ compiler, {compiler}: {e}"))
    };
    let mut running: Vec<Child> = Vec::new();
    for real in 0..3 {
        let (define, object) = (format!("-DREAL={real}"), format!("kernels{real}.o"));
        running.push(start(
            &[
                &["-c", "kernels.cpp", "-o", &object, &define],
                &KERNEL_FLAGS[..],
            ]
            .concat(),
        )?);
    }
    for file in FILES.iter().filter(|file| file.ends_with(".cpp")) {
        running.push(start(&[
            "-c",
            &own.join(file).to_string_lossy(),
            "-o",
            &file.replace(".cpp", ".o"),
        ])?);
    }
    running.into_iter().try_for_each(finish)?;
    let objects = [
        "device.o",
        "driver.o",
        "libraries.o",
        "streams.o",
        "kernels0.o",
        "kernels1.o",
        "kernels2.o",
    ];
    finish(start(
        &[
            &[
                "-shared",
                "-Wl,-soname,libcuda.so",
                "-o",
                "libcuda.so",
                "-lpthread",
            ],
            &objects[..],
        ]
        .concat(),
    )?)?;
    fs::write(folder.join("none.cpp"), "").map_err(|e| e.to_string())?;
    // Names looked for in these two are found in the first, which they depend on.
    for name in ["libnvrtc", "libcublas"] {
        let (soname, file) = (format!("-Wl,-soname,{name}.so"), format!("{name}.so"));
        let whole = [
            "-shared",
            "none.cpp",
            &soname,
            "-o",
            &file,
            "-L.",
            "-Wl,--no-as-needed",
            "-lcuda",
            "-Wl,-rpath,$ORIGIN",
        ];
        finish(start(&whole)?)?;
    }
    Ok(())
}

fn finish(child: Child) -> Result<(), String> {
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let log = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("the C++ compiler failed:\n{log}"))
    }
}
