//! Chapter 1 of the book, "Numbers with shapes": strides, broadcasting, and where channels lie.
//!
//! `cargo run --release --example book_01_shapes -- [FOLDER]`, with a folder for the figure.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use wavemix::console::Stdout;
use wavemix::plots::{Style, Svg};
use wavemix::{DType, Error, Result, Tensor, Var};

// ANCHOR: array
/// Numbers in one line of memory, and how they are to be seen: how long each axis is, and how far
/// apart in memory two neighbours along it are.
struct Array {
    data: Vec<f64>,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Array {
    /// Row-major: the last axis is contiguous, and each axis steps over all those behind it.
    fn new(data: Vec<f64>, shape: &[usize]) -> Array {
        let mut strides = vec![1; shape.len()];
        for axis in (0..shape.len().saturating_sub(1)).rev() {
            strides[axis] = strides[axis + 1] * shape[axis + 1];
        }
        Array { data, shape: shape.to_vec(), strides }
    }

    fn at(&self, index: &[usize]) -> f64 {
        let place: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
        self.data[place]
    }

    /// The same numbers seen as a larger shape: axes of length 1 are repeated, and so are axes that
    /// are missing in front. A stride of 0 does it; nothing is copied.
    fn broadcast(mut self, shape: &[usize]) -> Option<Array> {
        let missing = shape.len().checked_sub(self.shape.len())?;
        self.shape.splice(0..0, vec![1; missing]);
        self.strides.splice(0..0, vec![0; missing]);
        for (axis, &length) in shape.iter().enumerate() {
            match self.shape[axis] {
                own if own == length => {}
                1 => self.strides[axis] = 0,
                _ => return None,
            }
        }
        self.shape = shape.to_vec();
        Some(self)
    }
}

/// The sum of two matrices of one shape, element by element.
fn add(a: &Array, b: &Array) -> Vec<Vec<f64>> {
    let row = |i: usize| (0..a.shape[1]).map(|j| a.at(&[i, j]) + b.at(&[i, j])).collect();
    (0..a.shape[0]).map(row).collect()
}
// ANCHOR_END: array

// ANCHOR: use
fn matrices() -> Result<()> {
    let a = Array::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    writeln!(Stdout, "strides of [2, 3]: {:?}; a[1, 2] = {}", a.strides, a.at(&[1, 2]))?;
    for (data, shape) in [(vec![10.0, 20.0, 30.0], vec![3]), (vec![10.0, 20.0], vec![2, 1])] {
        let Some(b) = Array::new(data, &shape).broadcast(&[2, 3]) else { continue };
        writeln!(Stdout, "a + {shape:?} = {:?}, with strides {:?}", add(&a, &b), b.strides)?;
    }
    let none = Array::new(vec![10.0, 20.0], &[2]).broadcast(&[2, 3]).is_none();
    writeln!(Stdout, "[2] does not fit [2, 3]: {none}")
}
// ANCHOR_END: use

// ANCHOR: trap
/// Predictions of shape [4, 1] and targets of shape [4]: the loss of a perfect prediction.
fn trap() -> Result<()> {
    let target = Var::from(Tensor::arange(1.0, 1.0, 4, DType::F64)); // [4]
    let prediction = target.reshape([4, 1])?;
    let wrong = (&prediction - &target)?.square()?;
    let right = (&prediction.reshape([4])? - &target)?.square()?;
    writeln!(Stdout, "[4, 1] - [4] has shape {}: loss {}", wrong.shape(), wrong.mean(..)?)?;
    writeln!(Stdout, "[4] - [4] has shape {}: loss {}", right.shape(), right.mean(..)?)?;
    match prediction.mse(&target) {
        Ok(_) => Ok(()),
        Err(error @ Error::Operand(_)) => writeln!(Stdout, "mse says: {error}"),
        Err(other) => Err(other),
    }
}
// ANCHOR_END: trap

// ANCHOR: order
/// Nanoseconds for each element of an image of 256 channels, summed pixel by pixel.
fn nanoseconds(data: &[f32], pixel_stride: usize, channel_stride: usize) -> f64 {
    let (pixels, channels) = (112 * 112, 256);
    let start = Instant::now();
    for pixel in 0..pixels {
        let at = |c: usize| data[pixel * pixel_stride + c * channel_stride];
        black_box((0..channels).map(at).sum::<f32>());
    }
    start.elapsed().as_secs_f64() * 1e9 / (pixels * channels) as f64
}

fn orders() -> Result<()> {
    let data = vec![1f32; 112 * 112 * 256];
    let last = nanoseconds(&data, 256, 1); // [h, w, c]
    let first = nanoseconds(&data, 1, 112 * 112); // [c, h, w]
    writeln!(Stdout, "a pixel's channels side by side: {last:.2} ns an element")?;
    writeln!(Stdout, "a pixel's channels a plane apart: {first:.2} ns an element")
}
// ANCHOR_END: order

const INK: &str = "#1f2328";
const GREY: &str = "#6a737d";
const CELL: f64 = 30.0;
/// One for each channel.
const COLORS: [&str; 3] = ["#f5b7a6", "#b7dfb9", "#b3cdf0"];

/// One cell of memory with its text.
fn cell(svg: &mut Svg, [x, y]: [f64; 2], fill: &str, text: &str) {
    svg.rect([x, y], [CELL, CELL], fill);
    svg.frame([x, y], [CELL, CELL], GREY);
    svg.text([x + CELL / 2.0, y + 19.0], Style::new(11.0, INK).middle(), text);
}

/// An image of 2 x 2 pixels with 3 channels, and its two orders in memory.
fn draw(folder: &Path) -> Result<()> {
    let mut svg = Svg::new(560.0, 250.0);
    let title = Style::new(13.0, INK).bold();
    svg.text([20.0, 26.0], title, "an image of 2 x 2 pixels a, b, c, d with 3 channels");
    for (pixel, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        for (c, color) in COLORS.into_iter().enumerate() {
            let (row, column) = ((pixel / 2) as f64, (pixel % 2) as f64);
            let x = 20.0 + c as f64 * 90.0 + column * CELL;
            let text = format!("{name}{c}");
            cell(&mut svg, [x, 40.0 + row * CELL], color, &text);
            let last = 20.0 + (pixel * 3 + c) as f64 * CELL;
            cell(&mut svg, [last, 140.0], color, &text);
            let first = 20.0 + (c * 4 + pixel) as f64 * CELL;
            cell(&mut svg, [first, 208.0], color, &text);
        }
    }
    let small = Style::new(12.0, GREY);
    svg.text([20.0, 132.0], small, "channels last, [h, w, c]: a pixel lies in one piece");
    svg.text([20.0, 200.0], small, "channels first, [c, h, w]: a channel lies in one piece");
    std::fs::write(folder.join("01_orders.svg"), svg.finish()).map_err(Error::io("write", folder))
}

fn main() -> Result<()> {
    matrices()?;
    trap()?;
    orders()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
