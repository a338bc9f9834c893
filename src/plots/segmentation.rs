//! Classes of pixels beside the image.

use std::path::Path;

use super::page::{Page, check, width_at};
use super::svg::{Style, text_width};
use super::{GREY, INK};
use crate::data::Picture;
use crate::{Error, Result};

/// An image of the classes of pixels: each in its colour, and black where the class is none of
/// them, as the ignored label 255 is.
///
/// # Errors
/// Another number of classes than `size`, height and width, has pixels.
pub fn label_colors(
    labels: &[i64],
    size: [usize; 2],
    colors: &[(&str, [u8; 3])],
) -> Result<Picture> {
    let color = |&label: &i64| {
        let known = usize::try_from(label).ok().and_then(|i| colors.get(i));
        known.map_or([0; 3], |(_, color)| *color)
    };
    let picture = Picture {
        name: "classes of pixels".into(),
        size: [size[0], size[1], 3],
        pixels: labels.iter().flat_map(color).collect(),
    };
    check(&picture).map(|()| picture)
}

/// An image with the classes of its pixels.
pub struct Segmented {
    /// The image itself.
    pub image: Picture,
    /// What its pixels are.
    pub truth: Picture,
    /// What the model takes them for.
    pub predicted: Picture,
    /// What is said of them: `71.2 % of the pixels`.
    pub text: String,
}

const HEADS: [&str; 3] = ["image", "truth", "prediction"];
/// Height of a picture, at most this wide; from one row to the next.
const HEIGHT: f64 = 180.0;
const WIDEST: f64 = 360.0;
const ENTRY: f64 = 22.0;

/// Writes images, their classes and the model's, one row each, with the classes' colours below. The
/// pictures alone are written beside the page, as PNG.
///
/// # Errors
/// No image, one that is none, or of another size than its classes; where the system refuses to
/// write.
pub fn segmentation(
    path: impl AsRef<Path>,
    title: &str,
    images: &[Segmented],
    colors: &[(&str, [u8; 3])],
) -> Result<()> {
    let Some(first) = images.first() else {
        return Err(Error::Argument("segmentation: no image to draw".into()));
    };
    for of in images {
        for image in [&of.image, &of.truth, &of.predicted] {
            check(image)?;
            if image.size[..2] != first.image.size[..2] {
                let what = "segmentation: images and classes of one size are drawn";
                return Err(Error::Argument(what.into()));
            }
        }
    }
    let width = width_at(HEIGHT, &first.image);
    let shown = [width, HEIGHT].map(|side| side * (WIDEST / width).min(1.0));
    let (step, row) = (shown[0] + 12.0, shown[1] + 30.0);
    let width = (48.0 + 3.0 * step).max(620.0);
    let each = (width - 60.0) / columns(colors, width) as f64;
    let legend = 86.0 + row * images.len() as f64;
    let lines = colors.len().div_ceil(columns(colors, width));
    let mut page = Page::new(width, legend + ENTRY * lines as f64 + 14.0);
    page.text([30.0, 34.0], Style::new(16.0, INK).bold(), title);
    for (i, of) in images.iter().enumerate() {
        let top = 70.0 + row * i as f64;
        let pictures = [&of.image, &of.truth, &of.predicted];
        for (column, (image, head)) in pictures.into_iter().zip(HEADS).enumerate() {
            let left = 30.0 + step * column as f64;
            if i == 0 {
                page.text([left, top - 8.0], Style::new(12.0, GREY), head);
            }
            page.image([left, top], shown, image)?;
        }
        page.text(
            [30.0, top + shown[1] + 16.0],
            Style::new(11.5, GREY),
            &of.text,
        );
    }
    for (i, (name, [r, g, b])) in colors.iter().enumerate() {
        let columns = columns(colors, width);
        let at = [
            30.0 + each * (i % columns) as f64,
            legend + ENTRY * (i / columns) as f64,
        ];
        page.svg()
            .rect(at, [14.0, 14.0], &format!("#{r:02x}{g:02x}{b:02x}"));
        page.text([at[0] + 20.0, at[1] + 11.5], Style::new(12.0, INK), name);
    }
    page.write(path.as_ref())
}

/// Entries of the legend beside one another.
fn columns(colors: &[(&str, [u8; 3])], width: f64) -> usize {
    let widest = colors.iter().map(|(name, _)| text_width(name, 12.0));
    let widest = widest.fold(0.0, f64::max) + 40.0;
    (((width - 60.0) / widest) as usize).max(1)
}
