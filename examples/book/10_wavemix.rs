//! Chapter 10 of the book, "WaveMix-Lite in 60 lines": trained, and asked what it does.
//!
//! `cargo run --release --example book_10_wavemix -- [FOLDER]`, with a folder for the figures.

#[path = "shared/plane.rs"]
mod plane;

use std::path::Path;

use wavemix::console::Stdout;
use wavemix::data::{Source, TrainTest};
use wavemix::plots::{Style, Svg};
use wavemix::prelude::*;

use plane::{Plane, show};

// ANCHOR: model
const DIM: usize = 16;
const CLASSES: usize = 10;

/// Tokens are mixed by Haar's transform, channels by 1x1 convolutions.
struct Block {
    reduce: Conv2d,
    mix: [Conv2d; 2],
    enlarge: ConvTranspose2d,
    norm: BatchNorm,
}

impl Block {
    fn new(names: &mut Names) -> Result<Block> {
        Ok(Block {
            reduce: Conv2d::pointwise(names, "reduce", [DIM, DIM / 4])?,
            mix: [
                Conv2d::pointwise(names, "mix.0", [DIM, 2 * DIM])?,
                Conv2d::pointwise(names, "mix.1", [2 * DIM, DIM])?,
            ],
            enlarge: ConvTranspose2d::enlarging(names, "enlarge", [DIM, DIM], 2)?,
            norm: BatchNorm::new(names, "norm", DIM)?,
        })
    }
}

impl Module for Block {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let y = self.reduce.forward(pass, x)?.dwt()?; // [n, 7, 7, 16]
        let y = self.mix[1].forward(pass, &self.mix[0].forward(pass, &y)?.gelu()?)?;
        self.norm.forward(pass, &self.enlarge.forward(pass, &y)?)? + x // [n, 14, 14, 16]
    }
}

/// A stem that makes tokens of pixels, three blocks, and a head that takes the mean of all tokens.
struct WaveMix {
    stem: Conv2d,
    blocks: [Block; 3],
    head: Linear,
}

impl WaveMix {
    fn new(names: &mut Names) -> Result<WaveMix> {
        let mut block = |name: &str| Block::new(&mut names.within(name));
        let blocks = [block("blocks.0")?, block("blocks.1")?, block("blocks.2")?];
        let stem = Conv2d::new(names, "stem", [1, DIM], 3, Window::strided(2, 1))?;
        Ok(WaveMix { stem, blocks, head: Linear::new(names, "head", [DIM, CLASSES])? })
    }

    /// The tokens after the stem and after each block: [n, 14, 14, 16] each.
    fn maps(&self, pass: &Pass, x: &Var) -> Result<Vec<Var>> {
        let mut maps = vec![self.stem.forward(pass, x)?.gelu()?];
        for block in &self.blocks {
            maps.push(block.forward(pass, &maps[maps.len() - 1])?);
        }
        Ok(maps)
    }
}

impl Module for WaveMix {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let maps = self.maps(pass, x)?;
        self.head.forward(pass, &maps[3].mean([1, 2])?)
    }
}
// ANCHOR_END: model

// ANCHOR: train
/// Trains for five epochs on built-in handwriting; gives the model, its weights, and the images and
/// labels of the test set.
fn train() -> Result<(WaveMix, Params, Var, Vec<i64>)> {
    let data: TrainTest = Source::Mnist.drawn([400, 100], 0)?;
    let (train, test) = data.loaders(50)?;
    let (model, mut params) = Params::declare(DType::F32, &Rng::new(0), WaveMix::new)?;
    writeln!(Stdout, "{} parameters, {} images", params.count(), train.data().len())?;
    let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for batch in test.in_order()? {
        let (x, y) = batch?.into_parts();
        images.push(x);
        labels.extend(y.to_vec::<i64>()?);
    }
    let images = wavemix::ops::concat(&images.iter().collect::<Vec<_>>(), 0)?;
    let mut step = 0;
    for epoch in 0..5 {
        for batch in train.epoch(&Rng::new(1), epoch, 0)? {
            let (x, y) = batch?.into_parts();
            let lr = 5e-3 * Schedule::COSINE.factor(step, 400); // five epochs of 80 batches
            step += 1;
            optimizer
                .train_step(&mut params, lr, |pass| model.forward(pass, &x)?.cross_entropy(&y))?;
        }
        let p = probabilities(&model, &params, &images)?;
        let right = p.iter().zip(&labels).filter(|(p, label)| best(p) == **label as usize);
        let percent = 100.0 * right.count() as f64 / labels.len() as f64;
        writeln!(Stdout, "epoch {}: {percent:.1} % of {} test images", epoch + 1, labels.len())?;
    }
    Ok((model, params, images, labels))
}

/// The probability of each class, for each image.
fn probabilities(model: &WaveMix, params: &Params, images: &Var) -> Result<Vec<Vec<f32>>> {
    let p = model.forward(&Pass::eval(params), images)?.softmax(1)?.to_vec::<f32>()?;
    Ok(p.chunks(CLASSES).map(<[f32]>::to_vec).collect())
}

fn best(p: &[f32]) -> usize {
    (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap_or(0)
}
// ANCHOR_END: train

// ANCHOR: occlusion
/// How much of the probability of `class` is lost when 7x7 pixels around each pixel are blank.
fn occlusion(model: &WaveMix, params: &Params, image: &Var, class: usize) -> Result<Plane> {
    let pixels = image.to_vec::<f32>()?;
    let blank = pixels.iter().copied().fold(f32::INFINITY, f32::min);
    let whole = probabilities(model, params, image)?[0][class];
    let mut lost = Vec::new();
    for row in 0..28usize {
        let mut covered = Vec::new();
        for column in 0..28usize {
            let far = |i: usize| (i / 28).abs_diff(row).max((i % 28).abs_diff(column));
            covered.extend((0..784).map(|i| if far(i) <= 3 { blank } else { pixels[i] }));
        }
        let covered = Var::from(Tensor::from_vec(covered, [28, 28, 28, 1])?); // 28 images
        let p = probabilities(model, params, &covered)?;
        lost.push(p.iter().map(|p| f64::from(whole - p[class])).collect());
    }
    Ok(lost)
}
// ANCHOR_END: occlusion

/// The images that are misread with the most confidence: number, label, answer, probability.
fn mistakes(p: &[Vec<f32>], labels: &[i64]) -> Vec<(usize, i64, usize, f32)> {
    let all = p.iter().zip(labels).enumerate();
    let wrong = all.filter(|(_, (p, label))| best(p) != **label as usize);
    let mut wrong: Vec<_> = wrong.map(|(i, (p, &label))| (i, label, best(p), p[best(p)])).collect();
    wrong.sort_by(|a, b| b.3.total_cmp(&a.3));
    wrong
}

/// Image `i` as a plane; or channel `channel` of a map of features.
fn plane(x: &Var, i: usize, channel: usize) -> Result<Plane> {
    let (side, channels) = (x.shape()[2], x.shape()[3]);
    let elements = x.slice(0, i..i + 1)?.to_vec::<f32>()?;
    let rows = elements.chunks(side * channels);
    Ok(rows.map(|row| row.chunks(channels).map(|token| token[channel].into()).collect()).collect())
}

/// A plane without what is below its smallest element.
fn from_blank(plane: &Plane) -> Plane {
    let blank = plane.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    plane.iter().map(|row| row.iter().map(|x| x - blank).collect()).collect()
}

fn write(svg: Svg, folder: &Path, name: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

/// One image, what it becomes layer by layer, and what matters in it.
fn draw_features(
    folder: &Path,
    (model, params): (&WaveMix, &Params),
    image: &Var,
    lost: &Plane,
) -> Result<()> {
    let mut svg = Svg::new(860.0, 270.0);
    let bold = Style::new(12.0, "#1f2328").bold();
    svg.text([20.0, 26.0], bold, "the image");
    show(&mut svg, [20.0, 40.0], 112.0, &from_blank(&plane(image, 0, 0)?), false);
    svg.text([20.0, 172.0], bold, "what counts");
    show(&mut svg, [20.0, 180.0], 80.0, lost, true);
    let maps = model.maps(&Pass::eval(params), image)?;
    let names = ["after the stem", "after block 1", "after block 2", "after block 3"];
    for (k, (name, map)) in names.into_iter().zip(&maps).enumerate() {
        let left = 160.0 + 172.0 * k as f64;
        svg.text([left, 26.0], bold, name);
        for channel in 0..6 {
            let place = [left + 80.0 * (channel % 2) as f64, 40.0 + 76.0 * (channel / 2) as f64];
            show(&mut svg, place, 70.0, &plane(map, 0, channel)?, true);
        }
    }
    write(svg, folder, "10_features.svg")
}

fn main() -> Result<()> {
    let (model, params, images, labels) = train()?;
    let p = probabilities(&model, &params, &images)?;
    let wrong = mistakes(&p, &labels);
    for (_, label, answer, p) in wrong.iter().take(3) {
        writeln!(Stdout, "a {label} is read as a {answer}, with {:.0} %", 100.0 * p)?;
    }
    let seven = labels.iter().position(|&label| label == 7).expect("a seven");
    let image = images.slice(0, seven..seven + 1)?;
    let lost = occlusion(&model, &params, &image, 7)?;
    let most = lost.iter().flatten().copied().fold(0.0, f64::max);
    writeln!(
        Stdout,
        "a seven: {:.0} %, {:.0} % less at most with 7x7 pixels blank",
        100.0 * p[seven][7],
        100.0 * most
    )?;
    let Some(folder) = std::env::args().nth(1) else { return Ok(()) };
    draw_features(Path::new(&folder), (&model, &params), &image, &lost)?;
    let mut svg = Svg::new(640.0, 150.0);
    for (k, (i, label, answer, _)) in wrong.into_iter().take(6).enumerate() {
        let left = 16.0 + 104.0 * k as f64;
        let text = format!("{label} read as {answer}");
        svg.text([left, 24.0], Style::new(12.0, "#1f2328"), &text);
        show(&mut svg, [left, 34.0], 96.0, &from_blank(&plane(&images, i, 0)?), false);
    }
    write(svg, Path::new(&folder), "10_mistakes.svg")
}
