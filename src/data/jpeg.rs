//! JPEG pictures, as bytes of grey or colour.

use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::png::check_size;
use crate::{Error, Result};

/// Rows and columns that the format can say.
const LONGEST_SIDE: usize = 1 << 16;

/// As [`decode`]; a file that its decoder panics at is an error too.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<([usize; 3], Vec<u8>)> {
    guarded(path, || decode(path, bytes))
}

/// zune-jpeg's bit reader wraps on damaged files, which is a panic where overflow is checked.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T> + UnwindSafe) -> Result<T> {
    catch_unwind(decode).unwrap_or_else(|_| {
        let what = "is a JPEG that its decoder panics at: a damaged file, or one of a rare kind";
        Err(Error::data(path, what))
    })
}

/// Any JPEG of 8 bits that is coded by Huffman's codes, as grey or RGB: height, width and channels,
/// and `[height, width, channels]`, upright where its Exif tag says how it was held.
///
/// Four inks (CMYK, YCCK) are taken as Adobe's programs write them, inverted. A file that ends
/// early, or holds a code that its tables lack, is an error.
fn decode(path: &Path, bytes: &[u8]) -> Result<([usize; 3], Vec<u8>)> {
    let wrong =
        |e: DecodeErrors| Error::data(path, format!("is not a JPEG that can be read: {e:?}"));
    if !has_end(bytes) {
        return Err(Error::data(path, "is a JPEG that ends early"));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(LONGEST_SIDE)
        .set_max_height(LONGEST_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check_size(path, [height, width])?;
    let (colour, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colour));
    let pixels = decoder.decode().map_err(wrong)?;
    if pixels.len() != height * width * channels {
        return Err(Error::data(path, "is a JPEG of another kind of colours"));
    }
    let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
    Ok(upright(pixels, [height, width, channels], orientation))
}

/// Whether the last scan is followed by the end marker. The decoder sees rows that are missing, not
/// the end of the last row.
///
/// A marker is 0xFF and a byte that is neither 0 nor 0xFF. Behind those from 0xD0 to 0xD9 and 0x01
/// comes nothing, behind others a length, which counts its own two bytes, and so much content;
/// behind the content of 0xDA, the start of a scan, codes up to the next marker, in which 0xFF is
/// written as 0xFF 0.
///
/// Source: ITU-T T.81, annex B.1.1.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&[mark, kind]) = bytes.get(at..at + 2) {
        at += match (mark, kind) {
            (0xFF, 0xD9) => return true,
            (0xFF, 0x01 | 0xD0..=0xD8) => 2,
            (0xFF, 0x02..=0xFE) => match bytes.get(at + 2..at + 4) {
                Some(length) => 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
            _ => 1,
        };
    }
    false
}

/// The orientation that Exif data say, 1 to 8: tag 0x0112 of the first directory. 1, which is
/// upright, where they do not say.
///
/// Exif data are a TIFF file: `II` or `MM` for the order of bytes, 42, the offset of a directory;
/// there a count, then entries of a tag, a type, a count and a value in place.
///
/// Source: the Exif 2.3 standard, 4.5 and 4.6.4.
fn orientation(exif: &[u8]) -> u16 {
    const ORIENTATION: u16 = 0x0112;
    let little = exif.starts_with(b"II");
    let short = |at: usize| {
        let two = <[u8; 2]>::try_from(exif.get(at..at.checked_add(2)?)?).ok()?;
        Some(if little {
            u16::from_le_bytes(two)
        } else {
            u16::from_be_bytes(two)
        })
    };
    let directory = || {
        let (high, low) = if little { (6, 4) } else { (4, 6) };
        Some(usize::from(short(high)?) << 16 | usize::from(short(low)?))
    };
    let found = || {
        let directory = directory()?;
        let count = usize::from(short(directory)?);
        let mut entries = (0..count).map(|i| directory + 2 + 12 * i);
        let entry = entries.find(|&entry| short(entry) == Some(ORIENTATION))?;
        short(entry + 8).filter(|value| (1..=8).contains(value))
    };
    let is_exif = little || exif.starts_with(b"MM");
    is_exif.then(found).flatten().unwrap_or(1)
}

/// Pixels `[h, w, c]` stored with this Exif orientation, turned and mirrored to be upright.
fn upright(pixels: Vec<u8>, [h, w, c]: [usize; 3], orientation: u16) -> ([usize; 3], Vec<u8>) {
    // Whether upright columns are stored as rows; then whether stored rows, and columns, run
    // backward.
    let (transposed, rows_back, columns_back) = match orientation {
        2 => (false, false, true),
        3 => (false, true, true),
        4 => (false, true, false),
        5 => (true, false, false),
        6 => (true, true, false),
        7 => (true, true, true),
        8 => (true, false, true),
        _ => return ([h, w, c], pixels),
    };
    let (to_h, to_w) = if transposed { (w, h) } else { (h, w) };
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..to_h {
        for x in 0..to_w {
            let (row, column) = if transposed { (x, y) } else { (y, x) };
            let row = if rows_back { h - 1 - row } else { row };
            let column = if columns_back { w - 1 - column } else { column };
            out.extend_from_slice(&pixels[(row * w + column) * c..][..c]);
        }
    }
    ([to_h, to_w, c], out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF header and a directory of two entries, the second of which is the orientation.
    fn exif(order: &[u8; 2], value: u16) -> Vec<u8> {
        let two = |v: u16| match order {
            b"II" => v.to_le_bytes(),
            _ => v.to_be_bytes(),
        };
        let four = |v: u32| match order {
            b"II" => v.to_le_bytes(),
            _ => v.to_be_bytes(),
        };
        let entry = |tag, value| [&two(tag)[..], &two(3), &four(1), &two(value), &[0; 2]].concat();
        let head = [&order[..], &two(42), &four(8), &two(2)].concat();
        [head, entry(0x0100, 5), entry(0x0112, value), vec![0; 4]].concat()
    }

    #[test]
    fn a_panic_of_the_decoder_names_the_file() {
        let zero = std::hint::black_box(0);
        let said = guarded(Path::new("a.jpg"), || Ok(1 / zero)).unwrap_err();
        let want = "a.jpg: is a JPEG that its decoder panics at: ";
        assert!(said.to_string().starts_with(want), "{said}");
    }

    #[test]
    fn the_orientation_is_read_in_both_orders_of_bytes() {
        for order in [b"II", b"MM"] {
            for value in 1..=8 {
                assert_eq!(orientation(&exif(order, value)), value);
            }
            for value in [0, 9, 256] {
                assert_eq!(orientation(&exif(order, value)), 1);
            }
            // Cut anywhere, it says nothing or what it said.
            let whole = exif(order, 6);
            for end in 0..whole.len() {
                assert!([1, 6].contains(&orientation(&whole[..end])));
            }
            let mut far = whole.clone();
            far[4..8].fill(0xFF);
            assert_eq!(orientation(&far), 1);
        }
        assert_eq!(orientation(b"XX*\0"), 1);
    }

    /// Source: the pictures of the letter F that the standard's values stand for.
    #[test]
    fn every_orientation_is_made_upright() {
        // Upright: 1 2 / 3 4 / 5 6, three rows of two.
        let stored: [([usize; 2], [u8; 6]); 8] = [
            ([3, 2], [1, 2, 3, 4, 5, 6]),
            ([3, 2], [2, 1, 4, 3, 6, 5]),
            ([3, 2], [6, 5, 4, 3, 2, 1]),
            ([3, 2], [5, 6, 3, 4, 1, 2]),
            ([2, 3], [1, 3, 5, 2, 4, 6]),
            ([2, 3], [2, 4, 6, 1, 3, 5]),
            ([2, 3], [6, 4, 2, 5, 3, 1]),
            ([2, 3], [5, 3, 1, 6, 4, 2]),
        ];
        for (i, ([h, w], pixels)) in stored.into_iter().enumerate() {
            let got = upright(pixels.to_vec(), [h, w, 1], i as u16 + 1);
            assert_eq!(got, ([3, 2, 1], vec![1, 2, 3, 4, 5, 6]), "{}", i + 1);
        }
    }
}
