//! Compiling ahead of the first launch, several files at once: most of a user's first start is
//! spent in the kernel compiler.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::compile::Job;
use super::context::gpu;
use super::launch::Source;
use crate::{DType, Result};

/// Compiles these sources on as many threads as there are CPUs, from the first on, and keeps the
/// machine code until it is launched. `begin` is told before, of how many files no cache has the
/// result, if there are any. What does not compile is left to the launch that needs it, whose
/// error says why.
pub(in crate::cuda) fn compile_ahead(
    ordinal: usize,
    sources: &[(&Source, DType)],
    begin: impl FnOnce(usize),
) -> Result<()> {
    let gpu = gpu(ordinal)?;
    let kernels = || gpu.kernels.lock().unwrap_or_else(|e| e.into_inner());
    let mut jobs = Vec::new();
    for (source, dtype) in sources {
        let key = (source.address(), *dtype);
        let job = Job::new(source.file, source.text, *dtype, gpu.arch)?;
        let known = {
            let kernels = kernels();
            kernels.modules.contains_key(&key) || kernels.compiled.contains_key(&key)
        };
        if !known && job.cached().is_none() {
            jobs.push((key, job));
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    begin(jobs.len());
    let (next, compiled) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((key, job)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Ok(image) = job.compile() {
                let mut compiled = compiled.lock().unwrap_or_else(|e| e.into_inner());
                compiled.push((*key, image));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        (0..threads.min(jobs.len())).for_each(|_| drop(scope.spawn(work)));
    });
    let compiled = compiled.into_inner().unwrap_or_else(|e| e.into_inner());
    kernels().compiled.extend(compiled);
    Ok(())
}
