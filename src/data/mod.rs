//! Data: decoders for the published files, a generator of handwriting for where there are none, and batches of both.

use crate::{Error, Result, Rng};

/// Labelled images of one size, as the bytes of their files.
///
/// Pixels stay `u8` until a batch is made: a quarter of the memory, and exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What it is, for people: `EMNIST balanced, test`.
    pub name: String,
    /// Height, width and channels of every image.
    pub size: [usize; 3],
    /// All images one after the other, each `[height, width, channels]` row-major (NHWC).
    pub pixels: Vec<u8>,
    /// One class index an image, counted from 0.
    pub labels: Vec<u8>,
    /// The name of each class; its length is the number of classes.
    pub classes: Vec<String>,
}

impl Dataset {
    /// Checks that pixels, labels and classes agree.
    ///
    /// # Errors
    /// Where a count or a label is off; the message says which.
    pub fn new(
        name: impl Into<String>,
        size: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u8>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let (name, bytes) = (name.into(), size.iter().product::<usize>());
        if pixels.len() != bytes * labels.len() {
            let [h, w, c] = size;
            return Err(Error::Argument(format!(
                "{name}: {} labels of {h}x{w}x{c} images need {} pixel bytes, got {}",
                labels.len(),
                bytes * labels.len(),
                pixels.len()
            )));
        }
        if let Some(i) = labels.iter().position(|&l| usize::from(l) >= classes.len()) {
            return Err(Error::Argument(format!("{name}: label {} of image {i} is not below {}", labels[i], classes.len())));
        }
        Ok(Dataset { name, size, pixels, labels, classes })
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
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.size.iter().product::<usize>();
        &self.pixels[i * bytes..(i + 1) * bytes]
    }

    /// The images with these indices, in this order.
    pub fn subset(&self, indices: &[usize]) -> Dataset {
        Dataset {
            name: self.name.clone(),
            size: self.size,
            pixels: indices.iter().flat_map(|&i| self.image(i)).copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// Two parts: `fraction` of each class (rounded to the nearest image) drawn at random goes to the second.
    pub fn split_stratified(&self, fraction: f64, rng: &mut Rng) -> (Dataset, Dataset) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for class in 0..self.classes.len() {
            let members: Vec<usize> = (0..self.len()).filter(|&i| usize::from(self.labels[i]) == class).collect();
            let held_out = (members.len() as f64 * fraction).round() as usize;
            for (rank, place) in rng.permutation(members.len()).into_iter().enumerate() {
                if rank < held_out { second.push(members[place]) } else { first.push(members[place]) }
            }
        }
        first.sort_unstable();
        second.sort_unstable();
        (self.subset(&first), self.subset(&second))
    }
}
