//! Devices: where a tensor's elements are stored and computed.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A place to compute: the CPU, or the n-th NVIDIA GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The CPU: every core of the rayon pool one works in, with the widest vectors it has.
    #[default]
    Cpu,
    /// The GPU with this ordinal, as the NVIDIA driver counts.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// Reads `cpu`, `cuda` (the first GPU) or `cuda:n`.
    fn from_str(s: &str) -> Result<Device> {
        let unknown = || Error::choice("device", s, &["cpu", "cuda", "cuda:<ordinal>"]);
        match s.split_once(':') {
            None if s == "cpu" => Ok(Device::Cpu),
            None if s == "cuda" => Ok(Device::Cuda(0)),
            Some(("cuda", n)) => n.parse().map(Device::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}
