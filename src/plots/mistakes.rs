//! A page of mistakes: often the labels are to blame.

use std::path::Path;

use super::page::{Page, enlarged};
use super::svg::{Style, Svg, text_width};
use super::{GREY, INK, percent};
use crate::data::Picture;
use crate::io::atomic;
use crate::tensor::shape::checked_product;
use crate::{Error, Result};

/// One image that was taken for something else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake<'a> {
    /// Its bytes, `[height, width, channels]`.
    pub image: &'a [u8],
    /// The name of its class.
    pub label: &'a str,
    /// The name of the class it was taken for.
    pub predicted: &'a str,
    /// How sure the model was of that, from 0 to 1.
    pub probability: f64,
}

impl Mistake<'_> {
    /// Its classes on one line.
    fn caption(&self) -> String {
        format!("{} → {}", self.label, self.predicted)
    }
}

const COLUMNS: usize = 8;
/// The side of an image on the page, and of its place with the text below.
const SIDE: f64 = 96.0;
const PLACE: [f64; 2] = [116.0, 146.0];
/// Size of the captions' letters; longer ones are set smaller, to stay within their place.
const LETTERS: f64 = 13.0;
/// From one line of a caption to the next.
const LINE: f64 = 15.0;

/// Writes the images, in the order given, each with true and predicted class and the model's
/// probability. `size` is their height, width and channels: 1 (grey) or 3 (red, green, blue).
///
/// # Errors
/// Where `size` has other channels or an image is not of that size; where the system refuses to
/// write.
pub fn mistakes(
    path: impl AsRef<Path>,
    title: &str,
    size: [usize; 3],
    worst: &[Mistake],
) -> Result<()> {
    check(size, worst)?;
    // Names too long for one line are set on two, on the whole page.
    let two_lines = worst
        .iter()
        .any(|mistake| text_width(&mistake.caption(), LETTERS) > PLACE[0] - 8.0);
    let place = [PLACE[0], PLACE[1] + if two_lines { LINE } else { 0.0 }];
    let rows = worst.len().div_ceil(COLUMNS).max(1);
    let mut svg = Svg::new(
        40.0 + COLUMNS as f64 * place[0],
        80.0 + rows as f64 * place[1],
    );
    svg.text([30.0, 32.0], Style::new(16.0, INK).bold(), title);
    svg.text(
        [30.0, 52.0],
        Style::new(12.0, GREY),
        "true class → predicted class, and how sure the model was",
    );
    if worst.is_empty() {
        svg.text([30.0, 90.0], Style::new(13.0, INK), "no mistakes");
    }
    for (i, mistake) in worst.iter().enumerate() {
        let (column, row) = ((i % COLUMNS) as f64, (i / COLUMNS) as f64);
        let corner = [30.0 + column * place[0], 72.0 + row * place[1]];
        draw_image(&mut svg, corner, mistake.image, size)?;
        draw_caption(&mut svg, corner, mistake, two_lines);
    }
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

/// Space between images of the page as a PNG file.
const GAP: f64 = 8.0;

/// The images of such a page alone, in the same places, as the bytes of a PNG file in colour; with
/// its height and width.
///
/// # Errors
/// As [`mistakes`], but for writing.
pub fn mistakes_png(size: [usize; 3], worst: &[Mistake]) -> Result<([usize; 2], Vec<u8>)> {
    check(size, worst)?;
    let place = SIDE + GAP;
    let (columns, rows) = (
        COLUMNS.min(worst.len()).max(1),
        worst.len().div_ceil(COLUMNS).max(1),
    );
    let mut page = Page::new(GAP + columns as f64 * place, GAP + rows as f64 * place);
    let (shown, [left, top]) = fitted(size);
    for (i, mistake) in worst.iter().enumerate() {
        let corner = [i % COLUMNS, i / COLUMNS].map(|at| GAP + at as f64 * place);
        let picture = Picture {
            name: mistake.caption(),
            size,
            pixels: mistake.image.to_vec(),
        };
        page.image([corner[0] + left, corner[1] + top], shown, &picture)?;
    }
    page.pictures()
}

/// What these images are, as a table in Markdown, in the same places as on the page.
pub fn mistakes_table(worst: &[Mistake]) -> String {
    if worst.is_empty() {
        return "no mistakes".into();
    }
    let mut table = format!("{}|\n{}|\n", "| ".repeat(COLUMNS), "|---".repeat(COLUMNS));
    for row in worst.chunks(COLUMNS) {
        for mistake in row {
            let caption = mistake.caption().replace('|', "\\|");
            table += &format!("| {caption}, {} ", percent(mistake.probability));
        }
        table += "|\n";
    }
    table
}

/// Checks that the images are grey or coloured, and of this size.
fn check(size: [usize; 3], worst: &[Mistake]) -> Result<()> {
    let [height, width, channels] = size;
    if ![1, 3].contains(&channels) || height == 0 || width == 0 {
        return Err(Error::Argument(format!(
            "pictures have 1 or 3 channels and a size, got {height}x{width}x{channels}"
        )));
    }
    let wrong = |mistake: &&Mistake| checked_product(&size) != Some(mistake.image.len());
    match worst.iter().find(wrong) {
        Some(wrong) => {
            let got = wrong.image.len();
            Err(Error::Argument(format!(
                "a picture of {height}x{width}x{channels} has other than {got} bytes"
            )))
        }
        None => Ok(()),
    }
}

/// Width and height at which an image of `size` fills its square, and where it begins in there.
fn fitted(size: [usize; 3]) -> ([f64; 2], [f64; 2]) {
    let [height, width] = [size[0], size[1]].map(|side| side as f64);
    let shown = [width, height].map(|side| SIDE * side / height.max(width));
    (shown, shown.map(|side| (SIDE - side) / 2.0))
}

/// The image of `size`, in the middle of the square below the corner.
fn draw_image(svg: &mut Svg, [x, y]: [f64; 2], image: &[u8], size: [usize; 3]) -> Result<()> {
    let (shown, [left, top]) = fitted(size);
    let corner = [x + left, y + top];
    svg.image(corner, shown, &enlarged(image, size)?);
    svg.frame(corner, shown, "#c8ccd1");
    Ok(())
}

/// Classes and probability, below the square.
fn draw_caption(svg: &mut Svg, [x, y]: [f64; 2], mistake: &Mistake, two_lines: bool) {
    let lines = if two_lines {
        vec![mistake.label.to_owned(), format!("→ {}", mistake.predicted)]
    } else {
        vec![mistake.caption()]
    };
    let (middle, mut baseline) = (x + SIDE / 2.0, y + SIDE + 17.0);
    for text in &lines {
        let letters =
            (LETTERS * (PLACE[0] - 8.0) / text_width(text, LETTERS).max(1.0)).clamp(7.0, LETTERS);
        let style = Style::new(letters, INK).middle().bold();
        svg.text([middle, baseline], style, text);
        baseline += LINE;
    }
    svg.text(
        [middle, baseline],
        Style::new(11.0, GREY).middle(),
        &percent(mistake.probability),
    );
}
