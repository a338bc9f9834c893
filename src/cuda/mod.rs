//! The NVIDIA GPU's room. What stands here so far finds out whether one could be used; no op runs on it yet.
//!
//! cudarc opens NVIDIA's libraries when the program runs, so nothing of CUDA is needed to build. It panics where a
//! library is missing: each is looked for first, and what is missing is listed in one error.

use std::sync::OnceLock;

use crate::{Error, Result};

/// Whether the GPU with this ordinal can be computed with.
///
/// # Errors
/// A message that lists what is missing: libraries, a device, or, all of these being there, this crate's kernels.
pub fn usable(ordinal: usize) -> Result<()> {
    static MISSING: OnceLock<Vec<&'static str>> = OnceLock::new();
    let missing = MISSING.get_or_init(missing_libraries);
    if !missing.is_empty() {
        let list = missing.join(", ");
        return Err(Error::Device(format!("cuda:{ordinal} cannot be used: {list} not found; --device cpu works everywhere")));
    }
    let count = device_count()?;
    if ordinal >= count {
        return Err(Error::Device(format!("cuda:{ordinal} cannot be used: the NVIDIA driver sees {count} devices")));
    }
    Err(Error::Device(format!("cuda:{ordinal} is there, but this version of wavemix has no kernels for it; use --device cpu")))
}

fn missing_libraries() -> Vec<&'static str> {
    // SAFETY: each call only opens a shared library by its name and closes it again.
    let present = unsafe {
        [cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present(), cudarc::cublas::sys::is_culib_present()]
    };
    let names = ["the NVIDIA driver (libcuda)", "the kernel compiler (libnvrtc)", "cuBLAS (libcublas)"];
    names.into_iter().zip(present).filter(|(_, present)| !present).map(|(name, _)| name).collect()
}

/// Devices the driver sees; asked only where its library is present.
fn device_count() -> Result<usize> {
    let failed = |what: String| Error::Device(format!("the NVIDIA driver does not start: {what}"));
    // A library that opens but lacks a symbol makes cudarc panic; nothing of ours is left half-done by that.
    match std::panic::catch_unwind(cudarc::driver::CudaContext::device_count) {
        Ok(Ok(count)) => Ok(count.max(0) as usize),
        Ok(Err(e)) => Err(failed(format!("{e:?}"))),
        Err(_) => Err(failed("its library lacks a function".into())),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_missing_is_listed() {
        let message = super::usable(99).unwrap_err().to_string();
        assert!(message.starts_with("cuda:99 cannot be used: ") || message.starts_with("the NVIDIA driver"), "{message}");
    }
}
