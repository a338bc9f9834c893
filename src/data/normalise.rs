//! Images as a model sees them: (pixel - mean) / std of each channel.

use crate::{DType, Device, Error, Result, Tensor, Var};

/// What normalises images: for each channel of the data, mean and standard deviation in units of
/// 0..1.
#[derive(Clone)]
pub(super) struct Normalisation {
    mean: Vec<f32>,
    std: Vec<f32>,
    /// For each channel, what each of the 256 bytes becomes.
    tables: Vec<[f32; 256]>,
}

impl Normalisation {
    /// For data `name` of so many channels.
    pub fn new(name: &str, channels: usize, mean: &[f32], std: &[f32]) -> Result<Normalisation> {
        if mean.len() != channels || std.len() != channels {
            let (mean, std) = (mean.len(), std.len());
            return Err(Error::Argument(format!(
                "{name}: {mean} means and {std} deviations for {channels} channels"
            )));
        }
        if let Some(bad) = std.iter().find(|&&s| !s.is_finite() || s <= 0.0) {
            return Err(Error::Argument(format!(
                "{name}: a standard deviation must be above 0, got {bad}"
            )));
        }
        let table = |(m, s): (&f32, &f32)| std::array::from_fn(|v| (v as f32 / 255.0 - m) / s);
        Ok(Normalisation {
            tables: mean.iter().zip(std).map(table).collect(),
            mean: mean.to_vec(),
            std: std.to_vec(),
        })
    }

    /// Mean and standard deviation of each channel.
    pub fn statistics(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.std)
    }

    /// What a byte of this channel becomes. One grey value serves all channels; colours have one
    /// each.
    pub fn byte(&self, channel: usize, byte: u8) -> f32 {
        self.tables[channel.min(self.tables.len() - 1)][usize::from(byte)]
    }

    /// What a value in units of 0..1 becomes.
    pub fn value(&self, channel: usize, value: f32) -> f32 {
        let channel = channel.min(self.mean.len() - 1);
        (value - self.mean[channel]) / self.std[channel]
    }

    /// The same for bytes on `device`, for a model that sees this many channels.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn constants(&self, device: Device, channels: usize) -> Result<Constants> {
        // The tables are straight lines: 0 is where they begin, 255 where they end.
        let tables =
            || (0..channels).map(|channel| &self.tables[channel.min(self.tables.len() - 1)]);
        let shift = tables().map(|table| table[0]).collect();
        let scale = tables()
            .map(|table| ((f64::from(table[255]) - f64::from(table[0])) / 255.0) as f32)
            .collect();
        let there = |values| Tensor::from_vec(values, [channels])?.to_device(device);
        Ok(Constants {
            scale: there(scale)?,
            shift: there(shift)?,
        })
    }
}

/// What makes numbers of an image's bytes: for each channel a factor and what is added.
pub struct Constants {
    scale: Tensor,
    shift: Tensor,
}

impl Constants {
    /// (byte / 255 - mean) / std, in this type, of images `[.., channels]` of bytes.
    ///
    /// # Errors
    /// Images on another device than the constants; those of a GPU.
    pub fn normalised(&self, images: &Tensor, dtype: DType) -> Result<Tensor> {
        if images.device() != Device::Cpu && images.device() == self.scale.device() {
            return images.build_on_same_device(images.shape(), dtype, |y| {
                crate::cuda::cast::images(
                    images.on_device(),
                    self.scale.on_device(),
                    self.shift.on_device(),
                    y,
                )
            });
        }
        let [scale, shift] = [&self.scale, &self.shift].map(Var::from);
        (&Var::from(images.cast(DType::F32)?) * &scale + &shift)?
            .into_value()
            .cast(dtype)
    }
}
