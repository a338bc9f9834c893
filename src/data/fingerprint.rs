//! What a data set is, in one line: so that a run that goes on can tell whether it goes on with the
//! same images.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::ImageSet;

/// Bytes of each piece that is taken of large sets, and how many pieces: 4 MiB, which are read in
/// some ten milliseconds.
const PIECE: usize = 256;
const PIECES: usize = 16 * 1024;

impl ImageSet {
    /// Its name, its sizes and two hashes: one of all labels and the classes' names, one of the
    /// pixels. Of sets above 4 MiB the latter is of a sample, pieces spread evenly over all images.
    ///
    /// ```
    /// use wavemix::data::ImageSet;
    /// let set = ImageSet::new("two dots", [1, 1, 1], vec![0, 255], vec![0, 1], vec!["black".into(), "white".into()])?;
    /// let fingerprint = set.fingerprint();
    /// assert!(fingerprint.starts_with("two dots: 2 images of 1x1x1, 2 classes, labels "), "{fingerprint}");
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    pub fn fingerprint(&self) -> String {
        let mut labels = Sha256::new();
        // One byte a label while that is enough, as in the files of most sets.
        if self.classes.len() <= 256 {
            labels.update(self.labels.iter().map(|&l| l as u8).collect::<Vec<_>>());
        } else {
            self.labels
                .iter()
                .for_each(|l| labels.update(l.to_le_bytes()));
        }
        // Lengths keep the names `ab`, `c` apart from `a`, `bc`.
        self.classes
            .iter()
            .for_each(|name| labels.update(format!("{} {name}", name.len())));
        let mut pixels = Sha256::new();
        if self.pixels.len() <= PIECE * PIECES {
            pixels.update(&self.pixels);
        } else {
            let step = self.pixels.len() / PIECES;
            (0..PIECES).for_each(|i| pixels.update(&self.pixels[i * step..][..PIECE]));
        }
        let ([h, w, c], n, classes) = (self.size, self.len(), self.classes.len());
        let (labels, pixels) = (hex(labels), hex(pixels));
        format!(
            "{}: {n} images of {h}x{w}x{c}, {classes} classes, labels {labels}, pixels {pixels}",
            self.name
        )
    }
}

/// The first eight bytes: enough against accidents.
fn hex(hash: Sha256) -> String {
    hash.finalize()[..8]
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
