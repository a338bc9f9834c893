//! Writes a page of the built-in handwriting as a PNG: one row a writer, one column a class.
//!
//! `cargo run --release --example glyphs -- page.png`; with `--data DIR`, digits beside the real
//! ones of MNIST.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, Command, value_parser};
use wavemix::console::{Stdout, exit_status};
use wavemix::data::glyphs::{self, Classes, Framing, Settings, Writers};
use wavemix::data::{ImageSet, Source};
use wavemix::{Error, Result};

fn main() -> ExitCode {
    let folder =
        Arg::new("data").long("data").value_name("DIR").value_parser(value_parser!(PathBuf));
    let rows = Arg::new("writers")
        .long("writers")
        .default_value("16")
        .value_parser(value_parser!(u16).range(1..=500));
    let args = Command::new("glyphs")
        .about("Write a page of the built-in handwriting as a PNG: one row a writer, one column a class")
        .arg(Arg::new("file").default_value("glyphs.png").value_parser(value_parser!(PathBuf)).help("The file to write"))
        .arg(folder.help("Folder of MNIST: show digits only, and real ones to the right of them"))
        .arg(rows.help("How many writers, one a row"))
        .arg(Arg::new("seed").long("seed").default_value("0").value_parser(value_parser!(u64)).help("Other seed, other writers"))
        .get_matches();
    let seed = args.get_one("seed").copied().unwrap_or_default();
    let rows = args.get_one::<u16>("writers").copied().map_or(16, usize::from);
    let file = args.get_one("file").cloned().unwrap_or_else(|| PathBuf::from("glyphs.png"));
    let page = match args.get_one::<PathBuf>("data") {
        None => glyphs::page(&Settings { seed, ..Settings::default() }, Writers::Train, rows),
        Some(folder) => beside_mnist(seed, rows, folder),
    };
    exit_status(page.and_then(|page| save(&file, &page)))
}

/// Width, height, grey pixels.
type Page = (usize, usize, Vec<u8>);

/// Generated digits, a grey bar, and as many real ones.
fn beside_mnist(seed: u64, rows: usize, folder: &Path) -> Result<Page> {
    let settings = Settings { classes: Classes::Digits, framing: Framing::Mnist, seed };
    let (width, height, written) = glyphs::page(&settings, Writers::Train, rows)?;
    let real = first_of_each_class(&Source::Mnist.load_test(folder)?, rows);
    let bar = [90; 4];
    let lines = written.chunks(width).zip(real.chunks(width));
    Ok((
        2 * width + bar.len(),
        height,
        lines.flat_map(|(left, right)| [left, &bar, right].concat()).collect(),
    ))
}

/// A page of the first `rows` images of every class, one column a class; black where a class has
/// fewer.
fn first_of_each_class(set: &ImageSet, rows: usize) -> Vec<u8> {
    let ([side, _, _], columns) = (set.size, set.classes.len());
    let width = columns * side;
    let (mut filled, mut page) = (vec![0; columns], vec![0; width * rows * side]);
    for i in 0..set.len() {
        let class = set.labels[i] as usize;
        if filled[class] < rows {
            for (y, line) in set.image(i).chunks(side).enumerate() {
                let at = (filled[class] * side + y) * width + class * side;
                page[at..at + side].copy_from_slice(line);
            }
            filled[class] += 1;
        }
    }
    page
}

fn save(path: &Path, (width, height, pixels): &Page) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), *width as u32, *height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    let written = encoder.write_header().and_then(|mut png| png.write_image_data(pixels));
    written.map_err(|error| Error::data(path, error))?;
    writeln!(Stdout, "{}: {width} x {height} pixels", path.display())
}
