//! From a drawing to the 28x28 image that a model is given, as MNIST and EMNIST made theirs.
//!
//! Sources: LeCun, Cortes, Burges, "The MNIST database of handwritten digits": scaled into 20x20
//! pixels, then the centre of mass moved into the middle of 28x28. Cohen, Afshar, Tapson, van
//! Schaik, "EMNIST" (arXiv 1702.05373): the bounding box in the middle, 2 pixels from the edge.

use std::ops::Range;

use wavemix::Result;
use wavemix::data::Picture;
use wavemix::data::glyphs::Framing;

/// Height and width of a drawing, in pixels.
pub const DRAWN: usize = 224;
/// Height and width of a prepared image.
pub const SIDE: usize = 28;
/// A pixel of a drawing is ink from this brightness on.
const INK: u8 = 128;
/// Pixels that stay free along the edges of a prepared image.
const MARGIN: usize = 2;

/// A drawing on its way to the model.
pub struct Prepared {
    /// The rows and columns of the drawing that hold its ink.
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// These, made so small that the longer side has the pixels that the framing leaves it.
    pub fitted: Picture,
    /// Where the upper left corner of that comes to lie in the image: row and column.
    pub corner: [usize; 2],
    /// The image, 28x28.
    pub image: Picture,
}

/// The pixels that the longer side of a character has.
pub fn room(framing: Framing) -> usize {
    match framing {
        Framing::Mnist => 20,
        Framing::Emnist => 24,
    }
}

/// The steps from a drawing, bright on dark, to its image; nothing where nothing is drawn.
///
/// # Errors
/// A drawing that has not 224x224 pixels.
pub fn prepare(drawing: &[u8], framing: Framing) -> Result<Option<Prepared>> {
    let is_ink = |row: usize, column: usize| drawing[row * DRAWN + column] >= INK;
    let rows = bounds(|row| (0..DRAWN).any(|column| is_ink(row, column)));
    let columns = bounds(|column| (0..DRAWN).any(|row| is_ink(row, column)));
    let (Some(rows), Some(columns)) = (rows, columns) else {
        return Ok(None);
    };
    let cut = rows.clone().flat_map(|row| &drawing[row * DRAWN..][columns.clone()]);
    let cut = grey([rows.len(), columns.len()], cut.copied().collect());
    let fitted = fit(&cut, room(framing))?;
    let corner = corner(&fitted, framing);
    let image = place(&fitted, corner);
    Ok(Some(Prepared { rows, columns, fitted, corner, image }))
}

/// From the first to the last row or column that is inked.
fn bounds(is_inked: impl Fn(usize) -> bool) -> Option<Range<usize>> {
    let first = (0..DRAWN).find(|&i| is_inked(i))?;
    let last = (0..DRAWN).rfind(|&i| is_inked(i))?;
    Some(first..last + 1)
}

/// Scaled until the longer side has `room` pixels, each the mean of what it covers, and then as
/// bright as white allows.
fn fit(cut: &Picture, room: usize) -> Result<Picture> {
    let [h, w, _] = cut.size;
    let longer = h.max(w);
    let size = [h, w].map(|side| ((side * room + longer / 2) / longer).max(1));
    // The mean of what a pixel covers is what `predict` resizes its pictures by.
    let means = cut.to_tensor(size, 1, &[0.0], &[1.0])?.to_vec::<f32>()?;
    let brightest = means.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let pixels = means.iter().map(|mean| (255.0 * mean / brightest).round() as u8);
    Ok(grey(size, pixels.collect()))
}

/// Where the upper left corner of a fitted character comes to lie.
fn corner(fitted: &Picture, framing: Framing) -> [usize; 2] {
    let [h, w, _] = fitted.size;
    match framing {
        Framing::Emnist => [(SIDE - h) / 2, (SIDE - w) / 2],
        Framing::Mnist => {
            let [row, column] = centre_of_mass(fitted);
            let free = |centre: f64, length: usize| {
                let first = (SIDE as f64 / 2.0 - centre).round().max(0.0) as usize;
                first.clamp(MARGIN, SIDE - MARGIN - length)
            };
            [free(row, h), free(column, w)]
        }
    }
}

/// Where a picture would balance: the mean place of its pixels, each as heavy as it is bright.
fn centre_of_mass(picture: &Picture) -> [f64; 2] {
    let (mut mass, mut moment) = (0.0, [0.0; 2]);
    for (i, &pixel) in picture.pixels.iter().enumerate() {
        let place = [i / picture.size[1], i % picture.size[1]].map(|i| i as f64 + 0.5);
        mass += f64::from(pixel);
        moment = [0, 1].map(|k| moment[k] + f64::from(pixel) * place[k]);
    }
    moment.map(|moment| moment / mass)
}

/// A black image with the fitted character at its place.
fn place(fitted: &Picture, [top, left]: [usize; 2]) -> Picture {
    let mut pixels = vec![0; SIDE * SIDE];
    for (row, line) in fitted.pixels.chunks(fitted.size[1]).enumerate() {
        pixels[(top + row) * SIDE + left..][..line.len()].copy_from_slice(line);
    }
    grey([SIDE; 2], pixels)
}

fn grey([h, w]: [usize; 2], pixels: Vec<u8>) -> Picture {
    Picture { name: "drawing".into(), size: [h, w, 1], pixels }
}
