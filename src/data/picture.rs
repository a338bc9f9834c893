//! Single images from a user's files, made to fit a model.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::data::idx;
use crate::{Error, Result, Tensor};

/// The largest PNG that is read, in pixels: far more than any model here takes.
const MOST_PIXELS: usize = 1 << 26;

/// One image of any size, grey or in colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Where it came from.
    pub name: String,
    /// Height, width and channels: 1 for grey, 3 for red, green and blue.
    pub size: [usize; 3],
    /// `[height, width, channels]`, row-major.
    pub pixels: Vec<u8>,
}

/// Reads the pictures of a file: the one of a PNG, or the first `count` of an IDX file, plain or gzip.
///
/// # Errors
/// No such file, or neither format, or a malformed one.
pub fn read_pictures(path: &Path, count: usize) -> Result<Vec<Picture>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if bytes.starts_with(b"\x89PNG") {
        return read_png(path).map(|picture| vec![picture]);
    }
    let images = idx::images(path, bytes)?;
    let bytes = images.height * images.width;
    let pictures = images.pixels.chunks_exact(bytes).take(count).enumerate().map(|(i, pixels)| Picture {
        name: format!("{}[{i}]", path.display()),
        size: [images.height, images.width, 1],
        pixels: pixels.to_vec(),
    });
    Ok(pictures.collect())
}

/// Any PNG: palettes and 16 bits are brought to 8, transparent parts become black.
fn read_png(path: &Path) -> Result<Picture> {
    let wrong = |e: png::DecodingError| Error::data(path, format!("is not a PNG that can be read: {e}"));
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    if height * width > MOST_PIXELS {
        return Err(Error::data(path, format!("{width}x{height} pixels are more than a picture should have")));
    }
    let bytes = reader.output_buffer_size().ok_or_else(|| Error::data(path, "is too large for this machine"))?;
    let mut raw = vec![0; bytes];
    reader.next_frame(&mut raw).map_err(wrong)?;
    let samples = reader.output_color_type().0.samples();
    let colours = if samples >= 3 { 3 } else { 1 };
    let opaque = |pixel: &[u8]| if samples.is_multiple_of(2) { u32::from(pixel[samples - 1]) } else { 255 };
    let pixels = raw.chunks_exact(samples).take(height * width);
    let pixels = pixels.flat_map(|p| p[..colours].iter().map(|&v| (u32::from(v) * opaque(p) / 255) as u8).collect::<Vec<_>>());
    Ok(Picture { name: path.display().to_string(), size: [height, width, colours], pixels: pixels.collect() })
}

impl Picture {
    /// Bright for dark and dark for bright.
    pub fn inverted(mut self) -> Picture {
        self.pixels.iter_mut().for_each(|v| *v = 255 - *v);
        self
    }

    /// As a batch of one, f32 `[1, h, w, channels]`, resized and normalised: `(value / 255 - mean) / std`, where a single
    /// mean serves all channels.
    ///
    /// # Errors
    /// Where the constants are neither one nor one a channel.
    pub fn to_tensor(&self, [h, w]: [usize; 2], channels: usize, mean: &[f32], std: &[f32]) -> Result<Tensor> {
        if mean.len() != std.len() || ![1, channels].contains(&mean.len()) {
            let (means, stds) = (mean.len(), std.len());
            return Err(Error::Argument(format!("{means} means and {stds} deviations for {channels} channels")));
        }
        let mut values = Vec::with_capacity(h * w * channels);
        for y in 0..h {
            for x in 0..w {
                let colours = self.average([y, h], [x, w]);
                let grey = colours.iter().sum::<f32>() / colours.len() as f32;
                for c in 0..channels {
                    let value = if colours.len() == channels { colours[c] } else { grey };
                    let own = c.min(mean.len() - 1);
                    values.push((value / 255.0 - mean[own]) / std[own]);
                }
            }
        }
        Tensor::from_vec(values, [1, h, w, channels])
    }

    /// The mean colour of the part that pixel (y of h, x of w) covers, at least one pixel of this picture.
    fn average(&self, [y, h]: [usize; 2], [x, w]: [usize; 2]) -> Vec<f32> {
        let [height, width, channels] = self.size;
        let span = |i: usize, n: usize, length: usize| i * length / n..((i + 1) * length / n).max(i * length / n + 1).min(length);
        let (rows, columns) = (span(y, h, height), span(x, w, width));
        let area = (rows.len() * columns.len()) as f32;
        let mut sum = vec![0.0; channels];
        for row in rows {
            for column in columns.clone() {
                let at = (row * width + column) * channels;
                sum.iter_mut().zip(&self.pixels[at..]).for_each(|(sum, &v)| *sum += f32::from(v));
            }
        }
        sum.iter_mut().for_each(|sum| *sum /= area);
        sum
    }
}
