//! PNG pictures of any kind, as bytes of grey or colour.

use std::io::Cursor;
use std::path::Path;

use super::resize::MOST_PIXELS;
use crate::{Error, Result};

/// Refuses a picture of so many rows and columns that it would fill the memory.
pub(super) fn check_size(path: &Path, [height, width]: [usize; 2]) -> Result<()> {
    if height.saturating_mul(width) <= MOST_PIXELS {
        return Ok(());
    }
    let what = format!("{width}x{height} pixels are more than a picture should have");
    Err(Error::data(path, what))
}

/// Any PNG, as grey or RGB of 8 bits: height, width and channels, and `[height, width, channels]`.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<([usize; 3], Vec<u8>)> {
    let wrong =
        |e: png::DecodingError| Error::data(path, format!("is not a PNG that can be read: {e}"));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    check_size(path, [height, width])?;
    let bytes = reader
        .output_buffer_size()
        .ok_or_else(|| Error::data(path, "is too large for this machine"))?;
    let mut pixels = vec![0; bytes];
    reader.next_frame(&mut pixels).map_err(wrong)?;
    let samples = reader.output_color_type().0.samples();
    pixels.truncate(height * width * samples);
    let colours = if samples >= 3 { 3 } else { 1 };
    if samples > colours {
        pixels = on_ground(&pixels, samples);
    }
    Ok(([height, width, colours], pixels))
}

/// Pixels of so many samples each, the last of which is opacity, laid on the ground that the
/// picture means; see [`read_pictures`](super::read_pictures).
fn on_ground(pixels: &[u8], samples: usize) -> Vec<u8> {
    let (mut opacity, mut light, mut darkest, mut brightest) = (0, 0, 255, 0);
    for pixel in pixels.chunks_exact(samples) {
        let (colours, alpha) = (&pixel[..samples - 1], u64::from(pixel[samples - 1]));
        let tone = colours.iter().map(|&v| u64::from(v)).sum::<u64>() / colours.len() as u64;
        opacity += alpha;
        light += alpha * tone;
        if alpha > 127 {
            (darkest, brightest) = (tone.min(darkest), tone.max(brightest));
        }
    }
    let bright = 2 * light > 255 * opacity;
    let is_page = 2 * opacity > 255 * (pixels.len() / samples) as u64 && brightest > darkest + 127;
    let ground = if bright == is_page { 255 } else { 0 };
    let blend =
        |v: u8, alpha: u32| ((u32::from(v) * alpha + ground * (255 - alpha) + 127) / 255) as u8;
    let blended = pixels.chunks_exact(samples).flat_map(|pixel| {
        let alpha = u32::from(pixel[samples - 1]);
        pixel[..samples - 1].iter().map(move |&v| blend(v, alpha))
    });
    blended.collect()
}
