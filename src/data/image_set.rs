//! Images in memory, with their labels.

use super::dataset::{Dataset, Sample};
use super::subset::stratified;
use crate::tensor::shape::checked_product;
use crate::{Error, Result, Rng, Tensor};

/// Labelled images of one size, as the bytes of their files.
///
/// Pixels stay `u8` until a batch is made: a quarter of the memory, and exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// What it is, for people: `EMNIST balanced, test`.
    pub name: String,
    /// Height, width and channels of every image.
    pub size: [usize; 3],
    /// All images one after the other, each `[height, width, channels]` row-major (NHWC).
    pub pixels: Vec<u8>,
    /// One class index an image, counted from 0.
    pub labels: Vec<i64>,
    /// The name of each class; its length is the number of classes.
    pub classes: Vec<String>,
}

impl ImageSet {
    /// Checks that pixels, labels and classes agree.
    ///
    /// # Errors
    /// Where a count or a label is off; the message says which.
    pub fn new(
        name: impl Into<String>,
        size: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<i64>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let set = ImageSet {
            name: name.into(),
            size,
            pixels,
            labels,
            classes,
        };
        set.check_fields()?;
        Ok(set)
    }

    /// What [`ImageSet::new`] checks, of a set whose fields somebody may have changed.
    fn check_fields(&self) -> Result<()> {
        let ImageSet {
            name,
            size: [h, w, c],
            pixels,
            labels,
            classes,
        } = self;
        let (n, got) = (labels.len(), pixels.len());
        let need = checked_product(&[n, *h, *w, *c]);
        if need != Some(got) {
            let need = need.map_or("more".to_owned(), |need| need.to_string());
            let what =
                format!("{n} labels of {h}x{w}x{c} images need {need} pixel bytes, got {got}");
            return Err(Error::Argument(format!("{name}: {what}")));
        }
        if let Some(i) = labels
            .iter()
            .position(|l| !(0..classes.len() as i64).contains(l))
        {
            return Err(Error::Argument(format!(
                "{name}: label {} of image {i} is not in 0..{}",
                labels[i],
                classes.len()
            )));
        }
        Ok(())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it holds no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `i`, `[height, width, channels]`.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.size.iter().product::<usize>();
        &self.pixels[i * bytes..(i + 1) * bytes]
    }

    /// Mirrors every image at its diagonal: rows become columns, height and width change places.
    /// Twice is the identity.
    pub fn transpose(&mut self) {
        let [h, w, c] = self.size;
        transpose(&mut self.pixels, self.size);
        self.size = [w, h, c];
    }

    /// Mean and standard deviation of each channel over all pixels, in units of 0..1. The sums are
    /// of integers, hence exact in any order.
    pub fn statistics(&self) -> (Vec<f32>, Vec<f32>) {
        let channel = |c: usize| {
            let values = || {
                self.pixels
                    .iter()
                    .skip(c)
                    .step_by(self.size[2])
                    .map(|&v| u64::from(v))
            };
            let (count, sum) = (values().count().max(1) as f64, values().sum::<u64>() as f64);
            let squares = values().map(|v| v * v).sum::<u64>() as f64;
            let mean = sum / count;
            (
                (mean / 255.0) as f32,
                ((squares / count - mean * mean).max(0.0).sqrt() / 255.0) as f32,
            )
        };
        (0..self.size[2]).map(channel).unzip()
    }

    /// The images with these indices, in this order.
    ///
    /// # Errors
    /// An index that is not below the number of images.
    pub fn subset(&self, indices: &[usize]) -> Result<ImageSet> {
        self.check_fields()?;
        if let Some(bad) = indices.iter().find(|&&i| i >= self.len()) {
            return Err(Error::Argument(format!(
                "{}: there is no image {bad}, but {} of them",
                self.name,
                self.len()
            )));
        }
        Ok(self.chosen(indices))
    }

    /// The images with these indices, which there are.
    fn chosen(&self, indices: &[usize]) -> ImageSet {
        ImageSet {
            name: self.name.clone(),
            size: self.size,
            pixels: indices
                .iter()
                .flat_map(|&i| self.image(i))
                .copied()
                .collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// Two parts: `fraction` of each class (rounded to the nearest image) drawn at random goes to
    /// the second.
    pub fn split_stratified(&self, fraction: f64, rng: &mut Rng) -> (ImageSet, ImageSet) {
        let (first, second) = stratified(&self.labels, self.classes.len(), fraction, rng);
        (self.chosen(&first), self.chosen(&second))
    }
}

impl Dataset for ImageSet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    /// The image as u8 `[height, width, channels]`, its class as i64 `[]`.
    fn sample(&self, index: usize) -> Result<Sample> {
        Ok(Sample {
            input: Tensor::from_slice(self.image(index), self.size)?,
            target: Tensor::scalar(self.labels[index]),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    #[cfg(feature = "download")]
    fn fingerprint(&self) -> String {
        super::fingerprint::fingerprint(
            &self.name,
            self.size,
            &self.pixels,
            &self.labels,
            &self.classes,
        )
    }

    fn check(&self) -> Result<()> {
        self.check_fields()
    }
}

/// Transposes each of the images `[h, w, c]` that `pixels` holds, to `[w, h, c]`.
pub(super) fn transpose(pixels: &mut [u8], [h, w, c]: [usize; 3]) {
    let mut transposed = Vec::with_capacity(h * w * c);
    for image in pixels.chunks_exact_mut((h * w * c).max(1)) {
        transposed.clear();
        for x in 0..w {
            for y in 0..h {
                transposed.extend_from_slice(&image[(y * w + x) * c..][..c]);
            }
        }
        image.copy_from_slice(&transposed);
    }
}
