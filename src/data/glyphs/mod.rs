//! The built-in set: handwriting-like glyphs of EMNIST Balanced's 47 classes, for where no data is
//! at hand.
//!
//! Nothing is stored but the strokes of each letter's allographs. A seeded generator writes them
//! with many *hands*. A hand is a writer: slant, proportions, pen, pressure, haste, the allograph
//! it prefers for each class and its own form of it. Every glyph a hand writes shares these and
//! differs by a little more chance, elastic bending and tremor. The ink is then framed, blurred and
//! sampled as NIST's scans are in EMNIST or MNIST.
//!
//! The hands of the test part are never those of the training part: they are drawn from different
//! random streams. Glyph `i` is a function of `(settings, writers, i)` alone, so any number of
//! threads makes the same bytes.

mod alphabet;
mod curve;
mod draw;
mod hand;
mod strokes;

pub use draw::Framing;

use super::{ImageSet, TrainTest};
use crate::cpu::chunks;
use crate::tensor::shape::checked_product;
use crate::{Error, Result, Rng};
use draw::{SIDE, Scan};
use hand::{Hand, between, normal};

/// How many glyphs of each class one writer writes.
const PER_WRITER: usize = 2;

/// Which glyphs to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The classes written.
    pub classes: Classes,
    /// How a glyph sits in its image.
    pub framing: Framing,
    /// The seed: another seed, other writers.
    pub seed: u64,
}

impl Default for Settings {
    /// The 47 classes, framed as EMNIST, seed 0.
    fn default() -> Self {
        Settings {
            classes: Classes::Balanced,
            framing: Framing::Emnist,
            seed: 0,
        }
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// EMNIST Balanced's 47: `0-9`, `A-Z` (those that look alike hold the small letter too), `a b d
    /// e f g h n q r t`.
    Balanced,
    /// The ten digits.
    Digits,
}

/// Which writers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Writers to learn from.
    Train,
    /// Other writers, to test with.
    Test,
}

impl Settings {
    /// Mean and standard deviation of the training part's pixels, scaled to 0-1.
    ///
    /// Measured on 400 glyphs a class with seed 0; another seed moves them by a few thousandths.
    pub fn mean_std(&self) -> (f32, f32) {
        match (self.classes, self.framing) {
            (Classes::Balanced, Framing::Emnist) => (0.178, 0.337),
            (Classes::Balanced, Framing::Mnist) => (0.131, 0.311),
            (Classes::Digits, Framing::Emnist) => (0.173, 0.334),
            (Classes::Digits, Framing::Mnist) => (0.128, 0.308),
        }
    }

    /// The names of the classes, in the order of their labels.
    pub fn class_names(&self) -> Vec<String> {
        let mut names = alphabet::names();
        if self.classes == Classes::Digits {
            names.truncate(10);
        }
        names
    }

    /// The identity of the writer who writes the `round`-th glyph of every class.
    ///
    /// Two glyphs with one identity are of one hand; no identity of one part occurs in the other.
    pub fn writer(&self, writers: Writers, round: usize) -> u64 {
        self.writer_rng(writers, round).seed()
    }

    fn writer_rng(&self, writers: Writers, round: usize) -> Rng {
        let stream = match writers {
            Writers::Train => 1,
            Writers::Test => 2,
        };
        Rng::new(self.seed)
            .stream(stream)
            .child((round / PER_WRITER) as u64)
    }

    /// Writes glyph `round` of `class` into `image`, 28x28.
    fn write(&self, writers: Writers, class: usize, round: usize, image: &mut [u8]) {
        let writer = self.writer_rng(writers, round);
        let hand = Hand::new(&writer);
        // Stream numbers of a writer: habits below 2,000 (see hand.rs), glyphs above.
        let mut rng = writer.child((2000 + class * PER_WRITER + round % PER_WRITER) as u64);
        let ink = hand.write(class, &mut rng);
        // EMNIST was blurred before it was shrunk; MNIST was not, and its lines are whiter.
        let (sharpness, gain, drift) = match self.framing {
            Framing::Emnist => (1.0, [1.0, 1.45], 0.25),
            Framing::Mnist => (0.6, [1.2, 1.8], 0.5),
        };
        let scan = Scan {
            framing: self.framing,
            blur: (hand.blur * sharpness + normal(&mut rng, 0.0, 0.06)).max(0.15),
            gain: between(&mut rng, gain[0], gain[1]),
            shift: [0; 2].map(|_| between(&mut rng, -drift, drift)),
        };
        draw::draw(&ink, &scan, image);
    }
}

/// Writes `count_per_class` glyphs of every class.
///
/// Image `i` shows class `i % classes`, so that any prefix is balanced as far as it can be. Size
/// `[28, 28, 1]`. Runs in the rayon pool it is called from, at tens of thousands of glyphs a
/// second.
///
/// # Errors
/// Where `count_per_class` is 0, or so large that the glyphs do not fit in memory.
pub fn generate(settings: &Settings, writers: Writers, count_per_class: usize) -> Result<ImageSet> {
    if count_per_class == 0 {
        return Err(Error::Argument(
            "the built-in set needs at least 1 glyph per class, got 0".into(),
        ));
    }
    let names = settings.class_names();
    let bytes = checked_product(&[names.len(), count_per_class, SIDE, SIDE]);
    let mut pixels = Vec::new();
    let Some(bytes) = bytes.filter(|&bytes| pixels.try_reserve_exact(bytes).is_ok()) else {
        return Err(Error::Argument(format!(
            "{count_per_class} glyphs per class do not fit in memory"
        )));
    };
    pixels.resize(bytes, 0);
    let count = bytes / (SIDE * SIDE);
    chunks(&mut pixels, SIDE * SIDE, |start, image| {
        let i = start / (SIDE * SIDE);
        settings.write(writers, i % names.len(), i / names.len(), image);
    });
    let labels = (0..count).map(|i| (i % names.len()) as i64).collect();
    let title = match writers {
        Writers::Train => "built-in glyphs, train",
        Writers::Test => "built-in glyphs, test",
    };
    ImageSet::new(title, [SIDE, SIDE, 1], pixels, labels, names)
}

/// A training set, a test set by other writers, and the constants that normalise both.
///
/// # Errors
/// Where either count is 0.
pub fn pair(
    settings: &Settings,
    train_per_class: usize,
    test_per_class: usize,
) -> Result<TrainTest> {
    let train = generate(settings, Writers::Train, train_per_class)?;
    let test = generate(settings, Writers::Test, test_per_class)?;
    let (mean, std) = settings.mean_std();
    TrainTest::new(train, test, vec![mean], vec![std])
}

/// A page of samples: one row a writer, one column a class.
///
/// Gives width, height and the grey pixels row by row.
///
/// # Errors
/// Where `rows` is 0, or so large that the page does not fit in memory.
pub fn page(settings: &Settings, writers: Writers, rows: usize) -> Result<(usize, usize, Vec<u8>)> {
    let glyphs = generate(settings, writers, rows.saturating_mul(PER_WRITER))?;
    let columns = glyphs.classes.len();
    let (width, height) = (columns * SIDE, rows * SIDE);
    let mut pixels = vec![0; width * height];
    for (row, line) in pixels.chunks_mut(width).enumerate() {
        let (writer, y) = (row / SIDE, row % SIDE);
        for (class, cell) in line.chunks_mut(SIDE).enumerate() {
            let image = glyphs.image(writer * PER_WRITER * columns + class);
            cell.copy_from_slice(&image[y * SIDE..(y + 1) * SIDE]);
        }
    }
    Ok((width, height, pixels))
}
