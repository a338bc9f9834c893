//! Single images from a user's files, made to fit a model.

use std::path::Path;

use crate::data::idx;
use crate::data::preparation::Preparation;
use crate::data::resize::{check_size, resize};
#[cfg(feature = "pictures")]
use crate::data::{jpeg, png};
use crate::tensor::shape::checked_product;
use crate::{DType, Device, Error, Result, Tensor};

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

/// Reads the pictures of a file: the one of a PNG or a JPEG, or the first `count` of an IDX file,
/// plain or gzip. `transposed` says that an IDX file keeps its images column by column, as EMNIST's do; they
/// come upright.
///
/// A PNG may be of any kind. One with transparent parts is laid on white or black ground: on what
/// contrasts with the mean of its visible part, which is taken for ink. Where that covers more than
/// half of the picture and holds both dark and bright, it is a page with its ink, and the ground is
/// the page's. A JPEG may be baseline or progressive, grey, in colour or of four inks; it is turned
/// as its Exif tag says.
///
/// # Errors
/// No such file, another format than these, or a malformed file; a PNG or JPEG where the feature
/// `pictures` is off.
pub fn read_pictures(
    path: impl AsRef<Path>,
    count: usize,
    transposed: bool,
) -> Result<Vec<Picture>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if is_picture(&bytes) {
        return Ok(vec![picture(path, &bytes)?]);
    }
    if let Some(format) = other_format(&bytes) {
        return Err(Error::data(
            path,
            format!("is {format}; what is read are PNG and JPEG pictures and IDX files"),
        ));
    }
    let images = idx::upright(path, bytes, transposed)?;
    let bytes = images.height * images.width;
    let pictures = images
        .pixels
        .chunks_exact(bytes)
        .take(count)
        .enumerate()
        .map(|(i, pixels)| Picture {
            name: format!("{}[{i}]", path.display()),
            size: [images.height, images.width, 1],
            pixels: pixels.to_vec(),
        });
    Ok(pictures.collect())
}

/// Whether a file begins as a PNG or a JPEG does.
fn is_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xFF\xD8\xFF")
}

/// The picture of a PNG or JPEG file. `path` only serves its name and messages.
#[cfg(feature = "pictures")]
pub(crate) fn picture(path: &Path, bytes: &[u8]) -> Result<Picture> {
    if !is_picture(bytes) {
        return Err(Error::data(path, "is neither a PNG nor a JPEG picture"));
    }
    let (size, pixels) = match bytes[0] {
        0xFF => jpeg::read(path, bytes)?,
        _ => png::read(path, bytes)?,
    };
    let name = path.display().to_string();
    Ok(Picture { name, size, pixels })
}

#[cfg(not(feature = "pictures"))]
pub(crate) fn picture(path: &Path, _: &[u8]) -> Result<Picture> {
    let what = "is a picture: PNG and JPEG are read with the feature `pictures` alone";
    Err(Error::data(path, what))
}

/// Whether the name of an IDX file tells that it keeps its images column by column: those of EMNIST
/// do, and those that are named as MNIST's do not.
pub fn transposed_by_name(path: impl AsRef<Path>) -> Option<bool> {
    let path = path.as_ref();
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["emnist-"]) {
        return Some(true);
    }
    starts(&["t10k-images", "train-images"]).then_some(false)
}

/// The name of a format that is not read, by its first bytes.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let at = |start: usize, what: &[u8]| {
        bytes
            .get(start..)
            .is_some_and(|rest| rest.starts_with(what))
    };
    let formats: [(&str, bool); 7] = [
        ("a WebP picture", at(0, b"RIFF") && at(8, b"WEBP")),
        ("a BMP picture", at(0, b"BM")),
        ("a GIF picture", at(0, b"GIF8")),
        (
            "a TIFF picture",
            [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"]
                .iter()
                .any(|start| at(0, start)),
        ),
        (
            "a HEIC or AVIF picture",
            at(4, b"ftyp")
                && [b"heic", b"heix", b"mif1", b"avif"]
                    .iter()
                    .any(|kind| at(8, *kind)),
        ),
        ("a PDF document", at(0, b"%PDF")),
        ("an SVG drawing", at(0, b"<svg") || at(0, b"<?xml")),
    ];
    formats
        .into_iter()
        .find(|(_, is)| *is)
        .map(|(format, _)| format)
}

impl Picture {
    /// As red, green and blue of this many rows and columns: bytes `[h, w, 3]`.
    ///
    /// # Errors
    /// A picture without pixels; one that does not fit in memory on its way to that size.
    pub(super) fn into_rgb(self, [to_h, to_w]: [usize; 2]) -> Result<Tensor> {
        let [h, w, c] = self.size;
        if [h, w].contains(&0) {
            return Err(Error::data(self.name, "has no pixels"));
        }
        let pixels = match c {
            1 => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            _ => self.pixels,
        };
        let pixels = resize(&pixels, [h, w, 3], [to_h, to_w]).ok_or_else(|| {
            let what = format!("{h}x{w} pixels made {to_h}x{to_w} do not fit in memory");
            Error::data(self.name, what)
        })?;
        Tensor::from_vec(pixels, [to_h, to_w, 3])
    }

    /// The centre, bytes `[h, w, 3]`, of this picture with its shorter side made `shorter`, which is
    /// at least h and w.
    ///
    /// # Errors
    /// As for [`Picture::into_rgb`].
    fn into_centre(self, shorter: usize, [to_h, to_w]: [usize; 2]) -> Result<Tensor> {
        let ([h, w, _], name) = (self.size, self.name.clone());
        // As torchvision rounds: toward 0.
        let longer = shorter.saturating_mul(h.max(w)) / h.min(w).max(1);
        let (h, w) = if h < w {
            (shorter, longer)
        } else {
            (longer, shorter)
        };
        check_size([h, w]).map_err(|what| Error::data(name, what))?;
        let whole = self.into_rgb([h, w])?;
        // The half pixel of an odd rest goes to the even side, as in Python's `round`.
        let start = |rest: usize| rest / 2 + usize::from(rest % 4 == 3);
        let (top, left) = (start(h - to_h), start(w - to_w));
        let rows = whole.as_slice::<u8>()?.chunks_exact(3 * w);
        let rows = rows.skip(top).take(to_h);
        let centre = rows.flat_map(|row| &row[3 * left..][..3 * to_w]).copied();
        Tensor::from_vec(centre.collect(), [to_h, to_w, 3])
    }

    /// As red, green and blue of this many rows and columns: bytes `[h, w, 3]`, made so.
    ///
    /// # Errors
    /// As for [`Picture::into_rgb`]; pictures that become too large on the way.
    pub(super) fn made(self, how: Preparation, to: [usize; 2]) -> Result<Tensor> {
        match how {
            Preparation::Stretched => self.into_rgb(to),
            Preparation::CentreCrop(shorter) => self.into_centre(shorter, to),
        }
    }

    /// In colour, with this many rows and columns, as [`ImageFolder`](crate::data::ImageFolder)
    /// gives it: what was trained on such pictures reads others best when they are made smaller in
    /// the same way.
    ///
    /// # Errors
    /// A size of 0 or of more than 2^26 pixels; a shorter side that is less than the image's longer
    /// one; a picture without pixels; one that does not fit in memory on its way to that size.
    pub fn prepared(self, how: Preparation, to: [usize; 2]) -> Result<Picture> {
        how.check(to)?;
        let name = self.name.clone();
        let pixels = self.made(how, to)?.to_vec()?;
        let size = [to[0], to[1], 3];
        Ok(Picture { name, size, pixels })
    }

    /// Bright for dark and dark for bright.
    pub fn inverted(mut self) -> Picture {
        self.pixels.iter_mut().for_each(|v| *v = 255 - *v);
        self
    }

    /// As a batch of one, f32 `[1, h, w, channels]`, resized and normalised: `(value / 255 - mean)
    /// / std`, where a single mean serves all channels.
    ///
    /// # Errors
    /// Where the constants are neither one nor one a channel; a picture without pixels, or with
    /// other than its size says; a size that does not fit in memory.
    pub fn to_tensor(
        &self,
        [h, w]: [usize; 2],
        channels: usize,
        mean: &[f32],
        std: &[f32],
    ) -> Result<Tensor> {
        if mean.len() != std.len() || ![1, channels].contains(&mean.len()) {
            let (means, stds) = (mean.len(), std.len());
            return Err(Error::Argument(format!(
                "{means} means and {stds} deviations for {channels} channels"
            )));
        }
        if self.size.contains(&0) || checked_product(&self.size) != Some(self.pixels.len()) {
            let ([h, w, c], got) = (self.size, self.pixels.len());
            return Err(Error::Argument(format!(
                "{}: {got} bytes are no picture of {h}x{w}x{c}",
                self.name
            )));
        }
        let shape =
            Tensor::checked_shape("to_tensor", Device::Cpu, &[1, h, w, channels], DType::F32)?;
        let mut values = Vec::with_capacity(shape.elements());
        for y in 0..h {
            for x in 0..w {
                let colours = self.average([y, h], [x, w]);
                let grey = colours.iter().sum::<f32>() / colours.len() as f32;
                for c in 0..channels {
                    let value = if colours.len() == channels {
                        colours[c]
                    } else {
                        grey
                    };
                    let own = c.min(mean.len() - 1);
                    values.push((value / 255.0 - mean[own]) / std[own]);
                }
            }
        }
        Tensor::from_vec(values, shape)
    }

    /// The mean colour of the part that pixel (y of h, x of w) covers, at least one pixel of this
    /// picture.
    fn average(&self, [y, h]: [usize; 2], [x, w]: [usize; 2]) -> Vec<f32> {
        let [height, width, channels] = self.size;
        let start =
            |i: usize, n: usize, length: usize| (i as u128 * length as u128 / n as u128) as usize;
        let span = |i: usize, n: usize, length: usize| {
            let first = start(i, n, length);
            first..start(i + 1, n, length).max(first + 1).min(length)
        };
        let (rows, columns) = (span(y, h, height), span(x, w, width));
        let area = (rows.len() * columns.len()) as f32;
        let mut sum = vec![0.0; channels];
        for row in rows {
            for column in columns.clone() {
                let at = (row * width + column) * channels;
                sum.iter_mut()
                    .zip(&self.pixels[at..])
                    .for_each(|(sum, &v)| *sum += f32::from(v));
            }
        }
        sum.iter_mut().for_each(|sum| *sum /= area);
        sum
    }
}
