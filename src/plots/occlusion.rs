//! Where a model looks: how sure it stays of a class when a part of the image is hidden.

use std::path::Path;

use super::colors::{color, is_bright};
use super::page::{Page, check, width_at};
use super::svg::Style;
use super::{GREY, INK, percent};
use crate::data::Picture;
use crate::models::Saved;
use crate::{Error, Result, Tensor};

/// Which squares are hidden, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squares {
    /// Pixels of a side.
    pub side: usize,
    /// Pixels from one square to the next, both ways.
    pub step: usize,
}

impl Squares {
    /// Squares of an eighth of the image's shorter side, half as far apart.
    pub fn for_images([h, w]: [usize; 2]) -> Squares {
        let side = (h.min(w) / 8).max(1);
        Squares {
            side,
            step: (side / 2).max(1),
        }
    }

    /// How many there are along an axis of so many pixels.
    fn along(&self, pixels: usize) -> usize {
        (pixels - self.side) / self.step + 1
    }
}

/// The probability of a class with each square hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Occlusion {
    /// Rows and columns of squares.
    pub size: [usize; 2],
    /// The probabilities, row by row.
    pub probabilities: Vec<f32>,
    /// The same without anything hidden, of each class.
    pub whole: Vec<f32>,
}

/// Images that are computed at once.
const BATCH: usize = 64;

impl Occlusion {
    /// Hides squares of an image f32 `[1, h, w, channels]`, normalised as the model wants it. What is
    /// hidden is 0, the mean colour of the training images. The papers hide a pixel, and do not say
    /// what by.
    ///
    /// # Errors
    /// Another image; squares without a side or a step, or larger than the image; a class that the
    /// model has not; those of [`Saved::probabilities`].
    #[track_caller]
    pub fn of(saved: &Saved, image: &Tensor, class: usize, squares: Squares) -> Result<Occlusion> {
        let Squares { side, step } = squares;
        let [1, h, w, c] = image.shape()[..] else {
            return Err(Error::Argument(format!(
                "squares are hidden in one image [1, h, w, channels], got {}",
                image.shape()
            )));
        };
        if side == 0 || step == 0 || side > h.min(w) {
            return Err(Error::Argument(format!(
                "squares of {side} pixels, {step} apart, cannot be hidden in an image of {h}x{w}"
            )));
        }
        let whole: Vec<f32> = saved.probabilities(image)?.to_vec()?;
        if class >= whole.len() {
            return Err(Error::Argument(format!(
                "class {class} is none of the model's {}",
                whole.len()
            )));
        }
        let pixels = image.as_slice::<f32>()?;
        let size = [squares.along(h), squares.along(w)];
        let all: Vec<usize> = (0..size[0] * size[1]).collect();
        let mut probabilities = Vec::with_capacity(all.len());
        for some in all.chunks(BATCH) {
            let mut hidden = pixels.repeat(some.len());
            for (image, &square) in hidden.chunks_exact_mut(h * w * c).zip(some) {
                let [top, left] = [square / size[1], square % size[1]].map(|i| i * step);
                for row in top..top + side {
                    image[(row * w + left) * c..(row * w + left + side) * c].fill(0.0);
                }
            }
            let images = Tensor::from_vec(hidden, [some.len(), h, w, c])?;
            let answers: Vec<f32> = saved.probabilities(&images)?.to_vec()?;
            let own = answers.chunks_exact(whole.len()).map(|row| row[class]);
            probabilities.extend(own);
        }
        Ok(Occlusion {
            size,
            probabilities,
            whole,
        })
    }
}

impl Occlusion {
    /// The lowest and the highest probability with a square hidden.
    fn range(&self) -> (f64, f64) {
        let all = || self.probabilities.iter().copied().map(f64::from);
        (
            all().fold(f64::INFINITY, f64::min),
            all().fold(f64::NEG_INFINITY, f64::max),
        )
    }
}

/// An image with what hiding parts of it does.
pub struct Occluded<'a> {
    /// The image itself.
    pub image: &'a Picture,
    /// The name of its class.
    pub label: &'a str,
    /// The name of the class that the model takes it for, and how sure it is of that.
    pub predicted: (&'a str, f64),
    /// The probability of its own class with nothing hidden.
    pub probability: f64,
    /// The same with each square hidden.
    pub occlusion: &'a Occlusion,
}

/// The height of an image and of its heat map, and from one pair to the next.
const SIDE: f64 = 330.0;
const ROW: f64 = SIDE + 62.0;

/// Writes each image with a heat map beside it: at the place of each square that was hidden the
/// probability of the true class in percent, coloured from the map's lowest, dark, to its highest.
/// So dark is what the model goes by. The pictures alone are written beside the page, as PNG.
///
/// # Errors
/// An image that is none; where the system refuses to write.
pub fn occlusion(path: impl AsRef<Path>, title: &str, images: &[Occluded]) -> Result<()> {
    let widest = |of: &Occluded| {
        let [rows, columns] = of.occlusion.size.map(|n| n as f64);
        [width_at(SIDE, of.image), SIDE * columns / rows]
    };
    images.iter().try_for_each(|of| check(of.image))?;
    let widths = images.iter().map(widest);
    let [first, second] = widths.fold([SIDE; 2], |a, b| [a[0].max(b[0]), a[1].max(b[1])]);
    let height = 78.0 + ROW * images.len() as f64;
    let mut page = Page::new(90.0 + first + second, height);
    page.text([30.0, 34.0], Style::new(16.0, INK).bold(), title);
    let what = "right: the probability of the true class in percent, with a square hidden there";
    page.text([30.0, 54.0], Style::new(12.0, GREY), what);
    for (i, of) in images.iter().enumerate() {
        let top = 78.0 + ROW * i as f64;
        page.image([30.0, top], [width_at(SIDE, of.image), SIDE], of.image)?;
        draw_map(&mut page, [60.0 + first, top], of.occlusion)?;
        let (name, sure) = of.predicted;
        let own = percent(of.probability);
        let text = match name == of.label {
            true => format!("{name}: {own} with nothing hidden"),
            false => format!("{}: {own}; taken for {name}, {}", of.label, percent(sure)),
        };
        page.text([30.0, top + SIDE + 22.0], Style::new(13.0, INK), &text);
        let (low, high) = of.occlusion.range();
        let text = format!("{} to {} with a square hidden", percent(low), percent(high));
        let at = [60.0 + first, top + SIDE + 22.0];
        page.text(at, Style::new(13.0, GREY), &text);
    }
    page.write(path.as_ref())
}

/// The heat map, with numbers where they fit.
fn draw_map(page: &mut Page, [left, top]: [f64; 2], occlusion: &Occlusion) -> Result<()> {
    let [rows, columns] = occlusion.size;
    let cell = SIDE / rows as f64;
    let (low, high) = occlusion.range();
    let color = |p: f32| color((f64::from(p) - low) / (high - low).max(f64::MIN_POSITIVE));
    let colors = occlusion.probabilities.iter().flat_map(|&p| color(p));
    let image = Picture {
        name: "probabilities".into(),
        size: [rows, columns, 3],
        pixels: colors.collect(),
    };
    page.image([left, top], [cell * columns as f64, SIDE], &image)?;
    let letters = (cell * 0.42).min(12.0);
    if letters < 5.0 {
        return Ok(());
    }
    for (i, &p) in occlusion.probabilities.iter().enumerate() {
        let ink = if is_bright(color(p)) { INK } else { "#ffffff" };
        let [row, column] = [i / columns, i % columns].map(|i| i as f64 + 0.5);
        let at = [left + column * cell, top + row * cell + letters * 0.36];
        let number = format!("{:.0}", 100.0 * p);
        page.text(at, Style::new(letters, ink).middle(), &number);
    }
    Ok(())
}
