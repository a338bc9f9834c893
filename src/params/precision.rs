//! The precision that a model is computed in.

use std::fmt;
use std::str::FromStr;

use crate::{DType, Device, Error, Result};

/// What activations and the operands of products are stored and rounded as. In all of them the
/// arena of weights, the gradients that an optimizer takes, its moments, statistics and losses are
/// f32, and sums are made in f32. A pass computes with a copy of the weights, rounded to this
/// precision.
///
/// Reads and prints as `f32`, `tf32`, `bf16`, `f16`.
///
/// ```
/// use wavemix::{DType, Device, Precision};
/// let precision: Precision = "bf16".parse()?;
/// assert_eq!((precision.compute(), Precision::Tf32.compute()), (DType::BF16, DType::F32));
/// let error = Precision::Tf32.check(Device::Cpu).unwrap_err();
/// assert_eq!(error.to_string(), "cpu does not compute in tf32; it does in f32, bf16");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 significant bits everywhere.
    #[default]
    F32,
    /// Stored as f32; the operands of products and convolutions, but for attention's and depthwise
    /// ones, are rounded to 11 bits by the GPU as it multiplies them. GPUs before Ampere round none.
    Tf32,
    /// Stored in 16 bits, 8 of them significant, with f32's range. Activations take half of f32's
    /// memory. Products are faster than f32's on a GPU, on CPUs with AMX and on AMD's with
    /// AVX512-BF16, all of which take numbers below 1.2e-38 for 0; others multiply them as f32.
    Bf16,
    /// Stored in 16 bits, 11 of them significant, between 6e-8 and 65504: gradients are scaled to
    /// stay within.
    F16,
}

impl Precision {
    /// The names that can be read.
    pub const NAMES: [&'static str; 4] = ["f32", "tf32", "bf16", "f16"];

    const ALL: [Precision; 4] = [
        Precision::F32,
        Precision::Tf32,
        Precision::Bf16,
        Precision::F16,
    ];

    /// What activations, and the weights beside them, are stored as.
    pub fn compute(self) -> DType {
        match self {
            Precision::F32 | Precision::Tf32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::F16 => DType::F16,
        }
    }

    /// Whether gradients need to be scaled to stay within its range.
    pub fn scales_loss(self) -> bool {
        self == Precision::F16
    }

    /// Whether a device computes in it.
    fn runs_on(self, device: Device) -> bool {
        match device {
            Device::Cpu => matches!(self, Precision::F32 | Precision::Bf16),
            Device::Cuda(_) => true,
        }
    }

    /// Checks that a device computes in it.
    ///
    /// # Errors
    /// Where it does not: those in which it does are listed.
    pub fn check(self, device: Device) -> Result<()> {
        if self.runs_on(device) {
            return Ok(());
        }
        let others: Vec<&str> = Precision::ALL
            .into_iter()
            .filter(|p| p.runs_on(device))
            .map(Precision::name)
            .collect();
        Err(Error::Device(format!(
            "{device} does not compute in {self}; it does in {}",
            others.join(", ")
        )))
    }

    fn name(self) -> &'static str {
        Precision::NAMES[self as usize]
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Precision> {
        let found = Precision::ALL
            .into_iter()
            .find(|precision| precision.name() == name);
        found.ok_or_else(|| Error::choice("precision", name, &Precision::NAMES))
    }
}
