//! What a data set is, in one line: so that a run that goes on can tell whether it goes on with the
//! same images.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Bytes of each piece that is taken of large sets, and how many pieces: 4 MiB, which are read in
/// some ten milliseconds.
const PIECE: usize = 256;
const PIECES: usize = 16 * 1024;

/// Its name, its sizes and two hashes: one of all labels and the classes' names, one of the
/// pixels. Of sets above 4 MiB the latter is of a sample, pieces spread evenly over all images.
pub(super) fn fingerprint(
    name: &str,
    size: [usize; 3],
    pixels: &[u8],
    labels: &[i64],
    classes: &[String],
) -> String {
    let n = labels.len();
    let mut label_hash = Sha256::new();
    // One byte a label while that is enough, as in the files of most sets.
    if classes.len() <= 256 {
        label_hash.update(labels.iter().map(|&l| l as u8).collect::<Vec<_>>());
    } else {
        labels
            .iter()
            .for_each(|l| label_hash.update(l.to_le_bytes()));
    }
    // Lengths keep the names `ab`, `c` apart from `a`, `bc`.
    classes
        .iter()
        .for_each(|name| label_hash.update(format!("{} {name}", name.len())));
    let mut pixel_hash = Sha256::new();
    if pixels.len() <= PIECE * PIECES {
        pixel_hash.update(pixels);
    } else {
        let step = pixels.len() / PIECES;
        (0..PIECES).for_each(|i| pixel_hash.update(&pixels[i * step..][..PIECE]));
    }
    let ([h, w, c], classes) = (size, classes.len());
    let (labels, pixels) = (hex(label_hash), hex(pixel_hash));
    format!(
        "{name}: {n} images of {h}x{w}x{c}, {classes} classes, labels {labels}, pixels {pixels}"
    )
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
