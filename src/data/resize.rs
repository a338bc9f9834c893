//! Pictures made larger or smaller.

use crate::tensor::shape::checked_product;
use crate::{Error, Result};

/// The most pixels that a picture is read with or made into: far more than any model here takes.
pub(super) const MOST_PIXELS: usize = 1 << 26;

/// For one output along an axis: the first input that it reads, and the weight of that and of those
/// behind it. The weights add up to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of each of `to` outputs over `from` inputs: a triangle around the output's centre whose
/// half width is an input, or as many inputs as fall on one output where there are several. So a
/// smaller picture is a weighted mean of all pixels of the larger one, without aliasing.
///
/// Source: Pillow's `Image.resize` with `BILINEAR`, which torchvision's `Resize` uses.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weight = |k: usize| 1.0 - ((k as f64 + 0.5 - centre) / reach).abs();
        let weights: Vec<f64> = (first..end).map(|k| weight(k).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        Taps {
            first,
            weights: weights.iter().map(|w| (w / sum) as f32).collect(),
        }
    };
    (0..to).map(of).collect()
}

/// Refuses a size that no picture is made into.
pub(super) fn check_size([h, w]: [usize; 2]) -> Result<()> {
    let what = match h.saturating_mul(w) {
        0 => format!("pictures need rows and columns, not {h} x {w}"),
        1..=MOST_PIXELS => return Ok(()),
        _ => format!("pictures have at most {MOST_PIXELS} pixels, not {h} x {w}"),
    };
    Err(Error::Argument(what))
}

/// An image `[h, w, c]` of bytes as one of `to` rows and columns, a size that [`check_size`] lets
/// pass; none of h, w and c is 0. `None` where memory cannot hold all h rows at their new width,
/// as of a tall picture that becomes a wide one.
pub(super) fn resize(image: &[u8], [h, w, c]: [usize; 3], to: [usize; 2]) -> Option<Vec<u8>> {
    if [h, w] == to {
        return Some(image.to_vec());
    }
    // Rows first: [h, to_w, c] in f32.
    let mut rows: Vec<f32> = Vec::new();
    let elements = checked_product(&[h, to[1], c])?;
    rows.try_reserve_exact(elements).ok()?;
    let columns = taps(w, to[1]);
    for row in image.chunks_exact(w * c) {
        for tap in &columns {
            for channel in 0..c {
                let pixels = row[tap.first * c + channel..].iter().step_by(c);
                let terms = tap.weights.iter().zip(pixels);
                rows.push(terms.map(|(w, &x)| w * f32::from(x)).sum::<f32>());
            }
        }
    }
    let (line, mut out) = (to[1] * c, Vec::with_capacity(to[0] * to[1] * c));
    for tap in taps(h, to[0]) {
        for i in 0..line {
            let values = rows[tap.first * line + i..].iter().step_by(line);
            let sum: f32 = tap.weights.iter().zip(values).map(|(w, x)| w * x).sum();
            out.push((sum + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    Some(out)
}

/// A map `[h, w]` of a byte for each pixel as one of `to` rows and columns, each of which takes the
/// pixel that its centre lies in; none of the sizes is 0.
///
/// Source: Pillow's `Image.resize` with `NEAREST`.
pub(super) fn nearest(map: &[u8], [h, w]: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let centre = |i: usize, from: usize, to: usize| (2 * i + 1) * from / (2 * to);
    let columns: Vec<usize> = (0..to[1]).map(|x| centre(x, w, to[1])).collect();
    let mut out = Vec::with_capacity(to[0] * to[1]);
    for y in 0..to[0] {
        let row = &map[centre(y, h, to[0]) * w..][..w];
        out.extend(columns.iter().map(|&x| row[x]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_changes_nothing_and_constants_stay() {
        let image: Vec<u8> = (0..2 * 3 * 3).map(|i| i * 14).collect();
        assert_eq!(resize(&image, [2, 3, 3], [2, 3]).unwrap(), image);
        for to in [[1, 1], [7, 5], [40, 2]] {
            let same = resize(&[77; 24], [4, 2, 3], to).unwrap();
            assert!(same.iter().all(|&v| v == 77));
        }
    }

    /// 2^20 rows of 2^26 columns, of which only one row is asked for.
    #[test]
    fn a_tall_picture_made_wide_does_not_fill_the_memory() {
        assert!(resize(&[7; 1 << 20], [1 << 20, 1, 1], [1, MOST_PIXELS]).is_none());
    }

    #[test]
    fn nearest_pixels_are_those_of_pillow() {
        // np.arange(20, dtype=np.uint8).reshape(4, 5) by Pillow 12.
        let map: Vec<u8> = (0..20).collect();
        let cases: [([usize; 2], &[u8]); 4] = [
            ([2, 2], &[6, 8, 16, 18]),
            (
                [3, 7],
                &[
                    0, 1, 1, 2, 3, 3, 4, 10, 11, 11, 12, 13, 13, 14, 15, 16, 16, 17, 18, 18, 19,
                ],
            ),
            ([1, 3], &[10, 12, 14]),
            ([4, 5], &map),
        ];
        for (size, want) in cases {
            assert_eq!(nearest(&map, [4, 5], size), want, "{size:?}");
        }
    }

    #[test]
    fn values_are_those_of_pillow() {
        // np.arange(0, 200, 10, dtype=np.uint8).reshape(4, 5) by Pillow 12, which rounds between
        // its two passes too: so at most one apart.
        let image: Vec<u8> = (0..20).map(|i| i * 10).collect();
        let cases: [([usize; 2], &[u8]); 3] = [
            ([2, 2], &[46, 66, 124, 144]),
            (
                [3, 7],
                &[
                    15, 21, 28, 35, 42, 49, 55, 75, 81, 88, 95, 102, 109, 115, 135, 141, 148, 155,
                    162, 169, 175,
                ],
            ),
            ([1, 3], &[79, 95, 111]),
        ];
        for (size, want) in cases {
            let got = resize(&image, [4, 5, 1], size).unwrap();
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!(got.abs_diff(*want) <= 1, "{size:?}: {got} for {want}");
            }
        }
    }
}
