//! A page of pictures with text around them: as SVG, and the pictures alone as PNG.

use std::path::Path;

use super::svg::{Style, Svg};
use crate::data::Picture;
use crate::io::atomic::write_atomic;
use crate::tensor::shape::checked_product;
use crate::{Error, Result};

/// The page: an SVG, and a white sheet of the same size that the pictures lie on too.
pub(super) struct Page {
    svg: Svg,
    size: [usize; 2],
    sheet: Vec<u8>,
}

/// Checks that a picture is grey or coloured, and has the bytes that its size says.
pub(super) fn check(picture: &Picture) -> Result<()> {
    let (name, [height, width, channels]) = (&picture.name, picture.size);
    if ![1, 3].contains(&channels) || height == 0 || width == 0 {
        return Err(Error::Argument(format!(
            "{name}: pictures have 1 or 3 channels and a size, got {height}x{width}x{channels}"
        )));
    }
    if checked_product(&picture.size) != Some(picture.pixels.len()) {
        let got = picture.pixels.len();
        return Err(Error::Argument(format!(
            "{name}: a picture of {height}x{width}x{channels} has other than {got} bytes"
        )));
    }
    Ok(())
}

/// A picture's width when it is `height` high.
pub(super) fn width_at(height: f64, picture: &Picture) -> f64 {
    height * picture.size[1] as f64 / picture.size[0] as f64
}

/// A PNG file of a picture, enlarged by whole numbers so that viewers which smooth show square
/// pixels all the same.
pub(super) fn enlarged(image: &[u8], [height, width, channels]: [usize; 3]) -> Result<Vec<u8>> {
    let times = (192 / height.max(width)).max(1);
    let mut pixels = Vec::with_capacity(image.len() * times * times);
    for row in image.chunks_exact(width * channels) {
        let wide: Vec<u8> = row
            .chunks_exact(channels)
            .flat_map(|pixel| pixel.repeat(times))
            .collect();
        (0..times).for_each(|_| pixels.extend(&wide));
    }
    png([height * times, width * times, channels], &pixels)
}

/// A PNG file of these bytes.
fn png([height, width, channels]: [usize; 3], pixels: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(match channels {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels));
    written.map_err(|error| {
        Error::Argument(format!("a picture of {height}x{width}x{channels}: {error}"))
    })?;
    Ok(out)
}

impl Page {
    /// A white page of so many pixels.
    pub fn new(width: f64, height: f64) -> Page {
        let size = [height, width].map(|side| side.ceil() as usize);
        Page {
            svg: Svg::new(width, height),
            sheet: vec![255; 3 * size[0] * size[1]],
            size,
        }
    }

    pub fn svg(&mut self) -> &mut Svg {
        &mut self.svg
    }

    pub fn text(&mut self, at: [f64; 2], style: Style, text: &str) {
        self.svg.text(at, style, text);
    }

    /// A picture in the rectangle at `[x, y]` of `[width, height]`, with a frame.
    pub fn image(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], image: &Picture) -> Result<()> {
        check(image)?;
        self.svg
            .image([x, y], [w, h], &enlarged(&image.pixels, image.size)?);
        self.svg.frame([x, y], [w, h], "#c8ccd1");
        let [height, width, channels] = image.size;
        // Pixel i of n on the page shows the image's pixel at its middle.
        let from = |i: usize, n: f64, length: usize| {
            (((i as f64 + 0.5) / n * length as f64) as usize).min(length - 1)
        };
        let (left, top) = (x.round() as usize, y.round() as usize);
        let (right, bottom) = (
            (left + w.round() as usize).min(self.size[1]),
            (top + h.round() as usize).min(self.size[0]),
        );
        for row in top..bottom {
            for column in left..right {
                let pixel = from(row - top, h, height) * width + from(column - left, w, width);
                let pixel = &image.pixels[pixel * channels..(pixel + 1) * channels];
                let at = 3 * (row * self.size[1] + column);
                (0..3).for_each(|c| self.sheet[at + c] = pixel[c.min(channels - 1)]);
            }
        }
        Ok(())
    }

    /// Its pictures alone, on white: height and width, and the bytes of a PNG file.
    ///
    /// # Errors
    /// A page larger than a PNG file can be.
    pub fn pictures(&self) -> Result<([usize; 2], Vec<u8>)> {
        let [height, width] = self.size;
        Ok((self.size, png([height, width, 3], &self.sheet)?))
    }

    /// Writes the page to `path`, and its pictures alone to the same name with `.png` behind it.
    ///
    /// # Errors
    /// Where the system refuses to write.
    pub fn write(self, path: &Path) -> Result<()> {
        let (_, picture) = self.pictures()?;
        write_atomic(path, |out| out.write_all(self.svg.finish().as_bytes()))?;
        write_atomic(path.with_extension("png"), |out| out.write_all(&picture))
    }
}
