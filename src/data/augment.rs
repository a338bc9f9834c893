//! Random flips and crops of images, still as bytes.
//!
//! What happens to an image is a function of the seed, the epoch and the image's index, so threads
//! and batch sizes change nothing.

use crate::tensor::shape::checked_product;
use crate::{Error, Result, Rng};

/// Farther than any image is long.
const FAR: i128 = 1 << 62;

/// What may happen to a training image.
///
/// ```
/// use wavemix::{Rng, data::Augment};
/// // The usual recipe for CIFAR: flip every other image, move each by up to 4 pixels. Characters must not be flipped:
/// // a mirrored `b` is a `d`.
/// let augment = Augment { flip: true, crop: 4, ..Augment::default() };
/// let (image, mut out) = (vec![1; 32 * 32 * 3], vec![0; 32 * 32 * 3]);
/// augment.apply(&image, [32, 32, 3], &Rng::new(0).child(0), &mut out)?;
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Whether each image is mirrored left to right with probability 1/2. Wrong for characters.
    pub flip: bool,
    /// Each image is padded by this many pixels on all sides and cut to its size again, anywhere; 0
    /// for no crop.
    pub crop: usize,
    /// What the padding holds, one value a channel (the mean, say); channels beyond the list get 0,
    /// black.
    pub fill: Vec<u8>,
}

impl Augment {
    /// Changes one image `[height, width, channels]` into `out` of the same size, as the first
    /// three words of `rng` say. A loader passes `rng.child(epoch).child(index)`.
    ///
    /// # Errors
    /// A slice that is not `height * width * channels` long.
    #[track_caller]
    pub fn apply(
        &self,
        image: &[u8],
        [h, w, c]: [usize; 3],
        rng: &Rng,
        out: &mut [u8],
    ) -> Result<()> {
        for (operand, got) in [("image", image.len()), ("out", out.len())] {
            if checked_product(&[h, w, c]) != Some(got) {
                return Err(Error::operand(
                    "augment",
                    operand,
                    format!("{h} x {w} x {c} bytes"),
                    got,
                ));
            }
        }
        let fill = |i: usize| self.fill.get(i).copied().unwrap_or(0);
        self.change(image, [h, w, c], rng, out, &fill);
        Ok(())
    }

    /// Whether it changes anything.
    pub(super) fn is_active(&self) -> bool {
        self.flip || self.crop > 0
    }

    /// [`apply`](Self::apply) to values of any type, in slices that are known to fit; the padding
    /// holds `fill` of each channel.
    pub(super) fn change<T: Copy>(
        &self,
        image: &[T],
        [h, w, c]: [usize; 3],
        rng: &Rng,
        out: &mut [T],
        fill: &dyn Fn(usize) -> T,
    ) {
        if !self.is_active() {
            return out.copy_from_slice(image);
        }
        let [coin, across, down, _] = rng.block(0);
        // A word times n, its high half: uniform in 0..n.
        let offset = |word: u32| {
            let offset = ((u128::from(word) * (2 * self.crop as u128 + 1)) >> 32) as i128
                - self.crop as i128;
            // No image is longer than this.
            offset.clamp(-FAR, FAR) as i64
        };
        // Where a pixel comes from, if from within the image.
        let source = |i: usize, offset: i64, n: usize| {
            usize::try_from(i as i64 + offset).ok().filter(|&i| i < n)
        };
        let (flip, dx, dy) = (self.flip && coin >> 31 == 1, offset(across), offset(down));
        for (y, row) in out.chunks_exact_mut((w * c).max(1)).enumerate().take(h) {
            let source_y = source(y, dy, h);
            for (x, pixel) in row.chunks_exact_mut(c).enumerate() {
                let x = if flip { w - 1 - x } else { x };
                let source_x = source(x, dx, w);
                match (source_y, source_x) {
                    (Some(y), Some(x)) => pixel.copy_from_slice(&image[(y * w + x) * c..][..c]),
                    _ => pixel.iter_mut().enumerate().for_each(|(i, v)| *v = fill(i)),
                }
            }
        }
    }
}
