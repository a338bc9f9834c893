//! Chapter 9 of the book, "Wavelets": Haar's transform of a glyph, and how it mixes tokens.
//!
//! `cargo run --release --example book_09_wavelets -- [FOLDER]`, with a folder for the figure.

#[path = "shared/plane.rs"]
mod plane;

use std::path::Path;

use wavemix::console::Stdout;
use wavemix::data::glyphs::{self, Settings, Writers};
use wavemix::ops::{conv_transpose2d, conv2d};
use wavemix::plots::{Style, Svg};
use wavemix::{DType, Error, Result, Rng, Tensor, Var, Window};

use plane::{Plane, show};

// ANCHOR: haar
/// What each sub-band takes of the four pixels of a block, row by row: the mean (LL), upper less
/// lower (LH), left less right (HL), one diagonal less the other (HH).
const SIGNS: [[f64; 4]; 4] =
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]];

/// One level of the transform: four sub-bands of half the height and width.
fn haar(x: &Plane) -> [Plane; 4] {
    let block = |i: usize, j: usize| {
        [x[2 * i][2 * j], x[2 * i][2 * j + 1], x[2 * i + 1][2 * j], x[2 * i + 1][2 * j + 1]]
    };
    SIGNS.map(|signs| {
        let element = |i, j| block(i, j).iter().zip(signs).map(|(x, s)| x * s).sum::<f64>() / 2.0;
        let row = |i| (0..x[0].len() / 2).map(|j| element(i, j)).collect();
        (0..x.len() / 2).map(row).collect()
    })
}

/// The transpose of `haar`: each sub-band adds to the pixels that it was made of, with the same
/// signs. It is the inverse too.
fn inverse(bands: &[Plane; 4]) -> Plane {
    let pixel = |i: usize, j: usize| {
        let sign = |band: usize| SIGNS[band][i % 2 * 2 + j % 2];
        (0..4).map(|band| sign(band) * bands[band][i / 2][j / 2]).sum::<f64>() / 2.0
    };
    let row = |i| (0..2 * bands[0][0].len()).map(|j| pixel(i, j)).collect();
    (0..2 * bands[0].len()).map(row).collect()
}
// ANCHOR_END: haar

// ANCHOR: energy
fn energy(plane: &Plane) -> f64 {
    plane.iter().flatten().map(|x| x * x).sum()
}

/// All but the largest of these elements set to 0.
fn keep_largest(planes: &mut [Plane], count: usize) {
    let mut sizes: Vec<f64> = planes.iter().flatten().flatten().map(|x| x.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let limit = sizes[count];
    let elements = planes.iter_mut().flatten().flatten();
    elements.filter(|x| x.abs() <= limit).for_each(|x| *x = 0.0);
}

/// The glyph from the largest tenth of its pixels, and from that of its coefficients: two levels of
/// the transform.
fn compress(x: &Plane) -> [Plane; 2] {
    let mut pixels = [x.clone()];
    keep_largest(&mut pixels, 78);
    let [ll, lh, hl, hh] = haar(x);
    let mut coefficients = [haar(&ll).to_vec(), vec![lh, hl, hh]].concat();
    keep_largest(&mut coefficients, 78);
    let [a, b, c, d, lh, hl, hh] = coefficients.try_into().expect("seven planes");
    let [pixels] = pixels;
    [pixels, inverse(&[inverse(&[a, b, c, d]), lh, hl, hh])]
}

fn look(x: &Plane) -> Result<()> {
    let bands = haar(x);
    writeln!(Stdout, "the inverse gives the glyph again: {}", inverse(&bands) == *x)?;
    for (name, band) in ["LL", "LH", "HL", "HH"].into_iter().zip(&bands) {
        writeln!(Stdout, "{name}: {:4.1} % of the energy", 100.0 * energy(band) / energy(x))?;
    }
    for (name, kept) in ["pixels", "coefficients"].into_iter().zip(compress(x)) {
        let lost = x.iter().flatten().zip(kept.iter().flatten()).map(|(a, b)| (a - b).powi(2));
        let percent = 100.0 * (1.0 - lost.sum::<f64>() / energy(x));
        writeln!(Stdout, "a tenth of the {name} has {percent:.0} % of it")?;
    }
    Ok(())
}
// ANCHOR_END: energy

// ANCHOR: field
/// A layer that mixes a pixel with its neighbours, and its own input added.
type Layer = fn(&Var, &Rng) -> Result<Var>;

fn normal(shape: [usize; 4], rng: &Rng) -> Var {
    Var::from(Tensor::normal(shape, 0.0, 1.0, DType::F64, rng))
}

/// A 3x3 convolution.
fn convolution(x: &Var, rng: &Rng) -> Result<Var> {
    conv2d(x, &normal([1, 3, 3, 1], rng), None, Window::padded(1))? + x
}

/// The core of WaveMix: transform, mix the four sub-bands, enlarge.
fn wavelet(x: &Var, rng: &Rng) -> Result<Var> {
    let mixed = conv2d(&x.dwt()?, &normal([4, 1, 1, 4], rng), None, Window::default())?;
    conv_transpose2d(&mixed, &normal([4, 4, 4, 1], rng), None, Window::strided(2, 1))? + x
}

/// The same with the third level of the transform, an eighth of the height and width.
fn third_level(x: &Var, rng: &Rng) -> Result<Var> {
    let y = x.dwt()?.slice(3, 0..1)?.dwt()?.slice(3, 0..1)?.dwt()?;
    let mixed = conv2d(&y, &normal([4, 1, 1, 4], rng), None, Window::default())?;
    conv_transpose2d(&mixed, &normal([4, 10, 10, 1], rng), None, Window::strided(8, 1))? + x
}

/// The width of the part of the image that one pixel of the result depends on: the widest, of eight
/// neighbouring pixels.
fn field(layer: Layer, count: u64) -> Result<usize> {
    let x = Var::leaf(Tensor::zeros([1, 128, 128, 1], DType::F64));
    let mut widest = 0;
    for at in 64..72 {
        let mut y = x.clone();
        for i in 0..count {
            y = layer(&y, &Rng::new(i))?;
        }
        let pixel = y.slice(1, at..at + 1)?.slice(2, at..at + 1)?;
        let gradients = pixel.sum_all()?.backward()?;
        let dx = gradients.of(&x).map_or(Ok(Vec::new()), Tensor::to_vec::<f64>)?;
        let seen = (0..128).filter(|j| (0..128).any(|i| dx[i * 128 + j] != 0.0));
        widest = widest.max(seen.count());
    }
    Ok(widest)
}

fn fields() -> Result<()> {
    let layers: [(&str, Layer); 3] =
        [("3x3 convolution", convolution), ("wavelet", wavelet), ("third level", third_level)];
    for (name, layer) in layers {
        let widths = [field(layer, 1)?, field(layer, 2)?, field(layer, 4)?];
        writeln!(Stdout, "{name:<15} 1, 2 and 4 layers see {widths:?} pixels")?;
    }
    Ok(())
}
// ANCHOR_END: field

fn draw(folder: &Path, x: &Plane) -> Result<()> {
    let mut svg = Svg::new(740.0, 220.0);
    let title = |svg: &mut Svg, x: f64, text: &str| {
        svg.text([x, 26.0], Style::new(12.0, "#1f2328").bold(), text);
    };
    title(&mut svg, 20.0, "a glyph");
    show(&mut svg, [20.0, 40.0], 160.0, x, false);
    title(&mut svg, 200.0, "its sub-bands");
    for (k, band) in haar(x).iter().enumerate() {
        let place = [200.0 + 84.0 * (k % 2) as f64, 40.0 + 84.0 * (k / 2) as f64];
        show(&mut svg, place, 76.0, band, k > 0);
    }
    let [pixels, coefficients] = compress(x);
    title(&mut svg, 380.0, "a tenth of the pixels");
    show(&mut svg, [380.0, 40.0], 160.0, &pixels, false);
    title(&mut svg, 560.0, "a tenth of the coefficients");
    let positive =
        coefficients.iter().map(|row| row.iter().map(|x| x.max(0.0)).collect()).collect();
    show(&mut svg, [560.0, 40.0], 160.0, &positive, false);
    let path = folder.join("09_glyph.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    let glyphs = glyphs::generate(&Settings::default(), Writers::Test, 1)?;
    let e = glyphs.labels.iter().position(|&label| label == 14).expect("an E");
    let x: Plane =
        glyphs.image(e).chunks(28).map(|row| row.iter().map(|&x| x.into()).collect()).collect();
    look(&x)?;
    fields()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder), &x),
        None => Ok(()),
    }
}
