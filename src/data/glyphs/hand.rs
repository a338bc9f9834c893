//! A hand: what one writer's letters have in common, and how no two of them come out alike.

use super::alphabet::{ALLOGRAPHS, Allograph, Node};
use super::curve::{self, Point};
use crate::Rng;

/// A disc of ink: centre and radius, in units of the letter box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    pub(super) at: Point,
    pub(super) radius: f32,
}

/// The habits of one writer. Lengths are in units of the letter box (a capital is 10 high).
#[derive(Debug)]
pub(super) struct Hand {
    rng: Rng,
    /// Rightward lean: horizontal shift per unit of height.
    slant: f32,
    /// Width over the model's width.
    width: f32,
    /// Where the waist sits: heights are raised to this power.
    waist: f32,
    /// How much wider the top is than the bottom, as a share of the width.
    flare: f32,
    /// Rotation of the base line, in radians.
    tilt: f32,
    /// Width of the pen's line.
    pen: f32,
    /// How much the line thins and thickens along a stroke, as a share of its width.
    pressure: f32,
    /// A broad nib: by how much the line thins along the nib's own direction.
    nib: f32,
    nib_angle: f32,
    /// Rounds of smoothing that corners get from a hurried hand.
    haste: f32,
    /// Height of the tremor along a stroke.
    tremor: f32,
    /// Roughness of the line's edge, as paper and scanner make it.
    grain: f32,
    /// Spread of the points around this writer's own form of a letter.
    carelessness: f32,
    /// How often the pen stays down between two near strokes.
    ligature: f32,
    /// How far the sharpness of the picture is from a scanner's best: blur, in pixels of the
    /// finished image.
    pub(super) blur: f32,
}

impl Hand {
    /// The writer that this stream of random numbers makes.
    pub(super) fn new(rng: &Rng) -> Hand {
        let mut draw = rng.clone();
        let d = &mut draw;
        Hand {
            rng: rng.clone(),
            slant: normal(d, 0.2, 0.3).clamp(-0.5, 0.9),
            width: normal(d, 0.0, 0.27).exp(),
            waist: normal(d, 0.0, 0.2).exp(),
            flare: normal(d, 0.0, 0.18),
            tilt: normal(d, 0.0, 0.06),
            pen: normal(d, 0.1, 0.45).exp().clamp(0.45, 3.3),
            pressure: between(d, 0.0, 0.25),
            nib: between(d, 0.0, 0.3).powi(2) * 3.0,
            nib_angle: between(d, 0.0, 3.2),
            haste: between(d, 0.0, 1.0).powi(2) * 4.5,
            tremor: between(d, 0.0, 0.09),
            grain: between(d, 0.0, 0.07),
            carelessness: between(d, 0.1, 0.45),
            ligature: between(d, -0.3, 0.35).max(0.0),
            blur: between(d, 0.3, 0.75),
        }
    }

    /// Writes `class` once; `rng` makes this time differ from the next.
    pub(super) fn write(&self, class: usize, rng: &mut Rng) -> Vec<Vec<Ink>> {
        let (way, allograph) = self.choose(class, rng);
        let mut strokes = self.own_form(class, way, allograph, rng);
        join(
            &mut strokes,
            |rng| between(rng, 0.0, 1.0) < self.ligature,
            rng,
        );
        let mut lines: Vec<Vec<Point>> = strokes.iter().map(|nodes| curve::trace(nodes)).collect();
        let haste = (self.haste + between(rng, 0.0, 1.2)) as usize;
        for line in &mut lines {
            curve::round_off(line, haste);
            self.tremble(line, rng);
        }
        let height = self.bend(&mut lines, rng);
        // A line of small letters is written larger than beside capitals, hence half of the way
        // with a thinner pen.
        let pen = self.pen * (height / 10.0).sqrt() * normal(rng, 0.0, 0.08).exp();
        lines.iter().map(|line| self.ink(line, pen, rng)).collect()
    }

    /// The allograph of `class`: nearly always the one this writer has made a habit of.
    fn choose(&self, class: usize, rng: &mut Rng) -> (usize, &'static Allograph) {
        let ways = &ALLOGRAPHS[class];
        let total: f32 = ways.iter().map(|way| way.weight).sum();
        let habit = between(rng, 0.0, 1.0) < 0.85;
        let lot = if habit {
            self.rng.child(class as u64).uniform()
        } else {
            rng.uniform()
        };
        let mut left = lot * total;
        let way = ways.iter().position(|way| {
            left -= way.weight;
            left < 0.0
        });
        let way = way.unwrap_or(ways.len() - 1);
        (way, &ways[way])
    }

    /// The points of the letter as this writer forms it, with this time's scatter.
    fn own_form(
        &self,
        class: usize,
        way: usize,
        allograph: &Allograph,
        rng: &mut Rng,
    ) -> Vec<Vec<Node>> {
        let mut own = self.rng.child(1000 + (class * 16 + way) as u64);
        let habit = between(&mut own, 0.15, 0.6);
        let mut move_node = |node: &Node| Node {
            x: node.x + normal(&mut own, 0.0, habit) + normal(rng, 0.0, self.carelessness),
            y: node.y + normal(&mut own, 0.0, habit) + normal(rng, 0.0, self.carelessness),
            corner: node.corner,
        };
        allograph
            .strokes
            .iter()
            .map(|stroke| stroke.iter().map(&mut move_node).collect())
            .collect()
    }

    /// The trembling of a slow hand: two waves across the line.
    fn tremble(&self, line: &mut [Point], rng: &mut Rng) {
        let waves = [0; 2].map(|_| {
            (
                between(rng, 0.8, 3.0),
                between(rng, 0.0, 6.3),
                between(rng, 0.0, 3.2),
                self.tremor,
            )
        });
        for (i, point) in line.iter_mut().enumerate() {
            for (rate, phase, angle, height) in waves {
                let push = height * (phase + rate * curve::STEP * i as f32).sin();
                point[0] += push * angle.cos();
                point[1] += push * angle.sin();
            }
        }
    }

    /// Waist, elastic bending, proportions, lean and tilt: the writer's, with a little of this
    /// time's. Gives the height.
    fn bend(&self, lines: &mut [Vec<Point>], rng: &mut Rng) -> f32 {
        let (mut top, mut bottom) = (f32::MAX, f32::MIN);
        for point in lines.iter().flatten() {
            (top, bottom) = (top.min(point[1]), bottom.max(point[1]));
        }
        let height = (bottom - top).max(1.0);
        let waist = self.waist * normal(rng, 0.0, 0.06).exp();
        let width = self.width * normal(rng, 0.0, 0.1).exp();
        let flare = self.flare + normal(rng, 0.0, 0.08);
        let slant = self.slant + normal(rng, 0.0, 0.06);
        let (sin, cos) = (self.tilt + normal(rng, 0.0, 0.05)).sin_cos();
        let waves = [0; 4].map(|_| {
            (
                normal(rng, 0.0, 0.25),
                between(rng, -0.6, 0.6),
                between(rng, -0.6, 0.6),
                between(rng, 0.0, 6.3),
            )
        });
        for point in lines.iter_mut().flatten() {
            let y = top + height * ((point[1] - top) / height).clamp(0.0, 1.0).powf(waist);
            let x = point[0];
            let wave = |i: usize| {
                let (reach, kx, ky, phase) = waves[i];
                reach * (kx * x + ky * y + phase).sin()
            };
            let (x, y) = (x + wave(0) + wave(1), y + wave(2) + wave(3));
            let x =
                width * (4.0 + (x - 4.0) * (1.0 + flare * (5.0 - y) / 5.0)) + slant * (10.0 - y);
            *point = [cos * x - sin * y, sin * x + cos * y];
        }
        height.min(10.0)
    }

    /// The ink along a line: the pen's width under changing pressure, thinner where the pen lands
    /// and lifts.
    fn ink(&self, line: &[Point], pen: f32, rng: &mut Rng) -> Vec<Ink> {
        let (phase, rate) = (between(rng, 0.0, 6.3), between(rng, 0.3, 1.2));
        let lift = [0; 2].map(|_| between(rng, -0.4, 0.5).max(0.0));
        let last = line.len() - 1;
        (0..=last)
            .map(|i| {
                let (a, b) = (line[i.saturating_sub(1)], line[(i + 1).min(last)]);
                let along = ((b[1] - a[1]).atan2(b[0] - a[0]) - self.nib_angle).cos();
                let press = 1.0 + self.pressure * (phase + rate * curve::STEP * i as f32).sin();
                let end = |i: usize, lift: f32| {
                    1.0 - lift * (1.0 - i as f32 * curve::STEP / 1.5).max(0.0)
                };
                let share = press
                    * (1.0 - self.nib * along * along)
                    * end(i, lift[0])
                    * end(last - i, lift[1]);
                Ink {
                    at: line[i],
                    radius: 0.5 * pen * share.max(0.3) + normal(rng, 0.0, self.grain),
                }
            })
            .collect()
    }
}

/// Joins strokes whose gap is short, where `stays` says that the pen stays down.
fn join(strokes: &mut Vec<Vec<Node>>, stays: impl Fn(&mut Rng) -> bool, rng: &mut Rng) {
    let mut i = 1;
    while i < strokes.len() {
        let (end, start) = (strokes[i - 1][strokes[i - 1].len() - 1], strokes[i][0]);
        if curve::distance([end.x, end.y], [start.x, start.y]) < 3.5 && stays(rng) {
            let next = strokes.remove(i);
            let previous = &mut strokes[i - 1];
            let last = previous.len() - 1;
            previous[last].corner = true;
            previous.push(Node {
                corner: true,
                ..next[0]
            });
            previous.extend_from_slice(&next[1..]);
        } else {
            i += 1;
        }
    }
}

/// A normal number.
pub(super) fn normal(rng: &mut Rng, mean: f32, deviation: f32) -> f32 {
    mean + deviation * rng.normal() as f32
}

/// A number uniform between two.
pub(super) fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.uniform()
}
