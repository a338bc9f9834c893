//! Chapter 8 of the book, "Convolution four ways": one 3x3 convolution, computed by four programs,
//! and the transposed convolution.
//!
//! `cargo run --release --example book_08_convolution -- [FOLDER]`, with a folder for the figure.

use std::array::from_fn;
use std::path::Path;
use std::time::Instant;

use wavemix::console::Stdout;
use wavemix::ops::{conv_transpose2d, conv2d};
use wavemix::plots::{Style, Svg};
use wavemix::{DType, Error, Result, Rng, Tensor, Var, Window};

// ANCHOR: loops
/// Height and width of the image, and its channels, as many as those of the result.
const SIZE: usize = 28;
const C: usize = 128;

/// An image [SIZE, SIZE, C], zero outside.
struct Image(Vec<f32>);

/// What lies outside of the image.
static ZEROS: [f32; C] = [0.0; C];

impl Image {
    /// The channels of the pixel that is (dy - 1, dx - 1) away from (y, x).
    fn pixel(&self, [y, x]: [usize; 2], [dy, dx]: [usize; 2]) -> &[f32] {
        match (y + dy).checked_sub(1).zip((x + dx).checked_sub(1)) {
            Some((y, x)) if y < SIZE && x < SIZE => &self.0[(y * SIZE + x) * C..][..C],
            _ => &ZEROS,
        }
    }
}

/// 1. The definition. Weights are [3, 3, C, C], the last axis that of the result.
fn four_loops(image: &Image, weights: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; SIZE * SIZE * C];
    for place in 0..SIZE * SIZE {
        for c_out in 0..C {
            let mut sum = 0.0;
            for tap in 0..9 {
                let pixel = image.pixel([place / SIZE, place % SIZE], [tap / 3, tap % 3]);
                for c_in in 0..C {
                    sum += pixel[c_in] * weights[(tap * C + c_in) * C + c_out];
                }
            }
            out[place * C + c_out] = sum;
        }
    }
    out
}
// ANCHOR_END: loops

// ANCHOR: im2col
/// c += a b, for one row: [k] x [k, C] -> [C]. The innermost loop runs over neighbours in memory.
fn multiply_row(a: &[f32], b: &[f32], c: &mut [f32]) {
    for (a, b) in a.iter().zip(b.chunks_exact(C)) {
        c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
    }
}

/// 2. im2col: all windows side by side as a matrix, then one matrix product.
fn im2col(image: &Image, weights: &[f32]) -> Vec<f32> {
    let mut windows = Vec::with_capacity(SIZE * SIZE * 9 * C);
    for place in 0..SIZE * SIZE {
        for tap in 0..9 {
            let at = [place / SIZE, place % SIZE];
            windows.extend_from_slice(image.pixel(at, [tap / 3, tap % 3]));
        }
    }
    // [SIZE^2, 9 C] x [9 C, C] -> [SIZE^2, C]
    let mut out = vec![0.0; SIZE * SIZE * C];
    let rows = windows.chunks_exact(9 * C).zip(out.chunks_exact_mut(C));
    rows.for_each(|(row, out)| multiply_row(row, weights, out));
    out
}

/// 3. Indirect: the same product, with each window read where it lies.
fn indirect(image: &Image, weights: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; SIZE * SIZE * C];
    for (place, out) in out.chunks_exact_mut(C).enumerate() {
        for (tap, weights) in weights.chunks_exact(C * C).enumerate() {
            let pixel = image.pixel([place / SIZE, place % SIZE], [tap / 3, tap % 3]);
            multiply_row(pixel, weights, out);
        }
    }
    out
}
// ANCHOR_END: im2col

// ANCHOR: winograd
/// A linear map of N numbers to M, along the rows and then along the columns of a square.
fn both<const N: usize, const M: usize>(
    square: [[f32; N]; N],
    map: fn([f32; N]) -> [f32; M],
) -> [[f32; M]; M] {
    let rows = square.map(map);
    let columns: [[f32; M]; M] = from_fn(|j| map(from_fn(|i| rows[i][j])));
    from_fn(|i| from_fn(|j| columns[j][i]))
}

/// 4. Winograd F(2x2, 3x3): tiles of 4x4 inputs give 2x2 outputs by 16 products.
fn winograd(image: &Image, weights: &[f32]) -> Vec<f32> {
    let tiles = SIZE / 2 * (SIZE / 2);
    let mut filters = vec![0.0; 16 * C * C]; // [16, C, C]
    for i in 0..C * C {
        let filter = from_fn(|y| from_fn(|x| weights[(y * 3 + x) * C * C + i]));
        let u = both(filter, |[a, b, c]| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]);
        (0..16).for_each(|k| filters[k * C * C + i] = u[k / 4][k % 4]);
    }
    let mut inputs = vec![0.0; 16 * tiles * C]; // [16, tiles, C]
    for tile in 0..tiles {
        let corner = [tile / (SIZE / 2) * 2, tile % (SIZE / 2) * 2];
        let pixels: [[&[f32]; 4]; 4] = from_fn(|y| from_fn(|x| image.pixel(corner, [y, x])));
        for c in 0..C {
            let v = both(pixels.map(|row| row.map(|pixel| pixel[c])), |[a, b, c, d]| {
                [a - c, b + c, c - b, b - d]
            });
            (0..16).for_each(|k| inputs[(k * tiles + tile) * C + c] = v[k / 4][k % 4]);
        }
    }
    let mut products = vec![0.0; 16 * tiles * C]; // 16 times [tiles, C] x [C, C] -> [tiles, C]
    for (row, product) in products.chunks_exact_mut(C).enumerate() {
        let filter = &filters[row / tiles * C * C..][..C * C];
        multiply_row(&inputs[row * C..][..C], filter, product);
    }
    let mut out = vec![0.0; SIZE * SIZE * C];
    for i in 0..tiles * C {
        let (tile, c) = (i / C, i % C);
        let m = from_fn(|y| from_fn(|x| products[(y * 4 + x) * tiles * C + i]));
        let y = both(m, |[a, b, c, d]| [a + b + c, b - c - d]);
        let corner = (tile / (SIZE / 2) * SIZE + tile % (SIZE / 2)) * 2;
        (0..4).for_each(|k| out[(corner + k / 2 * SIZE + k % 2) * C + c] = y[k / 2][k % 2]);
    }
    out
}
// ANCHOR_END: winograd

type Method = fn(&Image, &[f32]) -> Vec<f32>;

// ANCHOR: compare
fn compare() -> Result<()> {
    let x = Tensor::normal([1, SIZE, SIZE, C], 0.0, 1.0, DType::F32, &Rng::new(0));
    let w = Tensor::normal([3, 3, C, C], 0.0, 0.05, DType::F32, &Rng::new(1));
    let (image, weights) = (Image(x.to_vec()?), w.to_vec::<f32>()?);
    let (x, w) = (Var::from(x), Var::from(w).permute(&[3, 0, 1, 2])?); // [out, 3, 3, in]
    let gflops = |seconds: f64| (2 * SIZE * SIZE * 9 * C * C) as f64 / seconds / 1e9;

    let want = four_loops(&image, &weights);
    let largest = want.iter().fold(0f32, |most, y| most.max(y.abs()));
    let methods: [(&str, Method); 4] = [
        ("four loops", four_loops),
        ("im2col", im2col),
        ("indirect", indirect),
        ("Winograd", winograd),
    ];
    for (name, method) in methods {
        let (y, seconds) = best_of_three(|| Ok(method(&image, &weights)))?;
        let far = want.iter().zip(&y).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        let same = if far < 1e-5 * largest { "agrees" } else { "DIFFERS" };
        writeln!(Stdout, "{name:<11} {:6.2} GFLOP/s, {same}", gflops(seconds))?;
    }
    let (_, seconds) = best_of_three(|| conv2d(&x, &w, None, Window::padded(1)))?;
    writeln!(Stdout, "the library {:6.2} GFLOP/s", gflops(seconds))
}

/// A result and the seconds that it took, the fastest of three times.
fn best_of_three<T>(mut run: impl FnMut() -> Result<T>) -> Result<(T, f64)> {
    let mut timed = || {
        let start = Instant::now();
        run().map(|result| (result, start.elapsed().as_secs_f64()))
    };
    let mut best = timed()?;
    for _ in 0..2 {
        let next = timed()?;
        best = if next.1 < best.1 { next } else { best };
    }
    Ok(best)
}
// ANCHOR_END: compare

// ANCHOR: adjoint
/// <f(x), y> and <x, g(y)>, for a convolution f with stride 2 and the transposed one g.
fn adjoint() -> Result<()> {
    let normal = |shape: &[usize], seed| {
        Var::from(Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed)))
    };
    let w = normal(&[5, 3, 3, 2], 0); // [c_out, 3, 3, c_in]
    let (x, y) = (normal(&[1, 9, 9, 2], 1), normal(&[1, 5, 5, 5], 2));
    let window = Window::strided(2, 1);
    let [f, g] = [conv2d(&x, &w, None, window)?, conv_transpose2d(&y, &w, None, window)?];
    let [fy, xg] = [(f * y)?.sum(..)?.item()?, (x * g)?.sum(..)?.item()?];
    writeln!(Stdout, "<f(x), y> = {fy:.6}, <x, g(y)> = {xg:.6}")
}
// ANCHOR_END: adjoint

const INK: &str = "#1f2328";
const GREY: &str = "#6a737d";
const COLORS: [&str; 3] = ["#d9622b", "#3a9a5b", "#2f6fbb"];

/// A row of numbered circles.
fn row(svg: &mut Svg, name: &str, count: usize, place: impl Fn(usize) -> [f64; 2]) {
    for i in 0..count {
        let [x, y] = place(i);
        svg.circle([x, y], 14.0, GREY);
        svg.circle([x, y], 13.0, "#ffffff");
        svg.text([x, y + 4.0], Style::new(11.0, INK).middle(), &format!("{name}{i}"));
    }
}

/// Along a row: which input meets which output, of a convolution with stride 2 and its transpose.
fn draw(folder: &Path) -> Result<()> {
    let mut svg = Svg::new(760.0, 240.0);
    let titles = ["convolution, stride 2: 7 -> 4", "transposed: 4 -> 7"];
    for (side, title) in titles.into_iter().enumerate() {
        let left = 40.0 + 380.0 * side as f64;
        let (top, bottom) = (80.0, 180.0);
        let big = |i: usize| [left + 48.0 * i as f64, if side == 0 { top } else { bottom }];
        let small = |i: usize| [left + 96.0 * i as f64, if side == 0 { bottom } else { top }];
        svg.text([left - 14.0, 30.0], Style::new(13.0, INK).bold(), title);
        for output in 0..4 {
            for (tap, color) in COLORS.into_iter().enumerate() {
                let Some(input) = (2 * output + tap).checked_sub(1).filter(|&input| input < 7)
                else {
                    continue;
                };
                svg.line(&[big(input), small(output)], color, 2.0);
            }
        }
        row(&mut svg, "x", if side == 0 { 7 } else { 4 }, |i| {
            if side == 0 { big(i) } else { small(i) }
        });
        row(&mut svg, "y", if side == 0 { 4 } else { 7 }, |i| {
            if side == 0 { small(i) } else { big(i) }
        });
    }
    for (tap, color) in COLORS.into_iter().enumerate() {
        let x = 40.0 + 90.0 * tap as f64;
        svg.line(&[[x, 222.0], [x + 18.0, 222.0]], color, 2.5);
        svg.text([x + 24.0, 226.0], Style::new(11.0, INK), &format!("weight w{tap}"));
    }
    let path = folder.join("08_transposed.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    compare()?;
    adjoint()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
