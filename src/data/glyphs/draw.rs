//! From ink on paper to a 28x28 image, framed and softened as NIST's scans are in EMNIST and MNIST.

use super::hand::Ink;

/// Side of an image, in pixels.
pub(super) const SIDE: usize = 28;
/// Ink is laid on a grid finer by this, then averaged.
const FINE: usize = 2;
const FINE_SIDE: usize = FINE * SIDE;
/// The blur reaches so many fine pixels far.
const REACH: usize = 4;

type Fine = [f32; FINE_SIDE * FINE_SIDE];

/// How a letter sits in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// EMNIST's: the bounding box fills the image up to 2 pixels from the edge, and is centred.
    Emnist,
    /// MNIST's: the bounding box fills 20x20 pixels, and the centre of mass lies in the middle.
    Mnist,
}

/// Settings of one drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    pub(super) framing: Framing,
    /// Deviation of the Gaussian blur, in pixels.
    pub(super) blur: f32,
    /// The brightest point over white: above 1, that much of the line saturates.
    pub(super) gain: f32,
    /// Where the centre comes to lie beside its place, in pixels.
    pub(super) shift: [f32; 2],
}

/// Draws the ink into `image`, 28x28, white on black.
pub(super) fn draw(ink: &[Vec<Ink>], scan: &Scan, image: &mut [u8]) {
    let (scale, offset) = place(ink, scan);
    let mut fine = [0.0f32; FINE_SIDE * FINE_SIDE];
    for line in ink {
        let placed: Vec<Ink> = line
            .iter()
            .map(|ink| Ink {
                at: [0, 1].map(|k| ink.at[k] * scale + offset[k]),
                radius: (ink.radius * scale).max(0.7),
            })
            .collect();
        for pair in placed.windows(2) {
            lay(&mut fine, pair[0], pair[1]);
        }
    }
    let fine = soften(&fine, scan.blur * FINE as f32);
    let mut grey = [0.0f32; SIDE * SIDE];
    for (i, pixel) in grey.iter_mut().enumerate() {
        let (row, column) = (i / SIDE * FINE, i % SIDE * FINE);
        *pixel = (0..FINE * FINE)
            .map(|j| fine[(row + j / FINE) * FINE_SIDE + column + j % FINE])
            .sum();
    }
    // NIST's images use the whole range of grey, however thin the line.
    let brightest = grey.iter().fold(0.01, |a: f32, &b| a.max(b));
    for (pixel, grey) in image.iter_mut().zip(grey) {
        *pixel = (grey / brightest * scan.gain * 255.0).min(255.0).round() as u8;
    }
}

/// Scale and offset that bring the ink to its frame, in fine pixels.
fn place(ink: &[Vec<Ink>], scan: &Scan) -> (f32, [f32; 2]) {
    let (mut low, mut high, mut mass, mut moment) = ([f32::MAX; 2], [f32::MIN; 2], 0.0, [0.0; 2]);
    for ink in ink.iter().flatten() {
        for k in 0..2 {
            low[k] = low[k].min(ink.at[k] - ink.radius);
            high[k] = high[k].max(ink.at[k] + ink.radius);
            moment[k] += ink.radius * ink.at[k];
        }
        mass += ink.radius;
    }
    let room = match scan.framing {
        Framing::Emnist => 24.0,
        Framing::Mnist => 20.0,
    };
    let scale = room * FINE as f32 / (high[0] - low[0]).max(high[1] - low[1]);
    let middle = |k: usize| match scan.framing {
        Framing::Emnist => (low[k] + high[k]) / 2.0,
        // A letter with all its weight at one end would run over the edge: the box keeps 2 pixels'
        // distance from it.
        Framing::Mnist => (moment[k] / mass).clamp(
            high[k] - 12.0 * FINE as f32 / scale,
            low[k] + 12.0 * FINE as f32 / scale,
        ),
    };
    (
        scale,
        [0, 1].map(|k| (SIDE as f32 / 2.0 + scan.shift[k]) * FINE as f32 - scale * middle(k)),
    )
}

/// Lays ink from `a` to `b`: each pixel is covered as far as its centre is inside the pen's
/// outline.
fn lay(fine: &mut Fine, a: Ink, b: Ink) {
    let reach = a.radius.max(b.radius) + 0.5;
    let span = |k: usize| {
        let low = (a.at[k].min(b.at[k]) - reach - 0.5).max(0.0) as usize;
        let high = (a.at[k].max(b.at[k]) + reach + 0.5).clamp(0.0, FINE_SIDE as f32) as usize;
        low..high
    };
    let along = [b.at[0] - a.at[0], b.at[1] - a.at[1]];
    let inverse = 1.0 / (along[0] * along[0] + along[1] * along[1]).max(1e-6);
    let columns = span(0);
    for y in span(1) {
        let row = &mut fine[y * FINE_SIDE..][columns.clone()];
        let py = y as f32 + 0.5 - a.at[1];
        for (x, cell) in row.iter_mut().enumerate() {
            let px = (columns.start + x) as f32 + 0.5 - a.at[0];
            let t = ((px * along[0] + py * along[1]) * inverse).clamp(0.0, 1.0);
            let (dx, dy) = (px - t * along[0], py - t * along[1]);
            let radius = a.radius + t * (b.radius - a.radius);
            *cell = cell.max((radius + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0));
        }
    }
}

/// A Gaussian blur, along rows and then along columns.
fn soften(fine: &Fine, deviation: f32) -> Fine {
    let mut taps = [0.0f32; REACH + 1];
    for (i, tap) in taps.iter_mut().enumerate() {
        *tap = (-0.5 * (i as f32 / deviation.max(0.1)).powi(2)).exp();
    }
    let total = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
    taps.iter_mut().for_each(|tap| *tap /= total);
    convolve(&convolve(fine, &taps, 1), &taps, FINE_SIDE)
}

/// The weighted sum of every cell and its neighbours at 1 to `REACH` times `stride`.
///
/// Cells with a neighbour outside of the array become black: the frame's border is wider than the
/// blur's reach.
fn convolve(cells: &Fine, taps: &[f32; REACH + 1], stride: usize) -> Fine {
    let (mut out, edge) = ([0.0; FINE_SIDE * FINE_SIDE], REACH * stride);
    let inner = cells.len() - 2 * edge;
    // One pass a tap: plain sums of slices, which the compiler turns into vector code.
    for (i, tap) in taps.iter().enumerate() {
        let (before, after) = (
            &cells[edge - i * stride..][..inner],
            &cells[edge + i * stride..][..inner],
        );
        let share = if i == 0 { 0.5 * tap } else { *tap };
        for ((sum, a), b) in out[edge..edge + inner].iter_mut().zip(before).zip(after) {
            *sum += share * (a + b);
        }
    }
    out
}
