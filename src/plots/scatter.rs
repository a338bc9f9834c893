//! Points of two measures: accuracy against size.

use std::path::Path;

use super::axes::{Ticks, range};
use super::curves::COLORS;
use super::svg::{Style, Svg, text_width};
use super::{GREY, GRID, INK};
use crate::Result;
use crate::io::atomic;

/// A point with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What is written beside it.
    pub name: String,
    /// Where it is along the horizontal axis. Only numbers above 0 have a place.
    pub x: f64,
    /// Where it is along the vertical axis.
    pub y: f64,
    /// Which of the panel's series it is of.
    pub series: usize,
}

/// LogAxes with points: the horizontal one is logarithmic.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// What the horizontal axis measures, `parameters, millions`.
    pub x: String,
    /// What the vertical axis measures, `top-1 %`.
    pub y: String,
    /// The names of the series, for the legend.
    pub series: Vec<String>,
    /// The points of all series.
    pub points: Vec<Point>,
}

/// Width and height of a panel with all its text, and the margins around its axes: left, right,
/// top, bottom.
const PANEL: [f64; 2] = [560.0, 470.0];
const MARGINS: [f64; 4] = [56.0, 24.0, 84.0, 50.0];
const LETTERS: f64 = 10.0;
const RADIUS: f64 = 4.0;

/// Writes panels side by side, under a title, each with its points and their names.
///
/// # Errors
/// Where the system refuses to write.
pub fn scatter(path: impl AsRef<Path>, title: &str, panels: &[Scatter]) -> Result<()> {
    let mut svg = Svg::new(PANEL[0] * panels.len().max(1) as f64, PANEL[1]);
    svg.text([20.0, 28.0], Style::new(16.0, INK).bold(), title);
    for (i, panel) in panels.iter().enumerate() {
        draw(&mut svg, PANEL[0] * i as f64, panel);
    }
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

/// Left, top, right and bottom of a rectangle.
type Box4 = [f64; 4];

fn draw(svg: &mut Svg, left: f64, panel: &Scatter) {
    let frame = [
        left + MARGINS[0],
        MARGINS[2],
        left + PANEL[0] - MARGINS[1],
        PANEL[1] - MARGINS[3],
    ];
    let drawable = |p: &&Point| p.x > 0.0 && p.x <= 1e300 && p.y.abs() <= 1e300;
    let points: Vec<&Point> = panel.points.iter().filter(drawable).collect();
    legend(svg, left, panel);
    let xs = range(points.iter().map(|p| p.x.log10()));
    let (Some(xs), Some(ys)) = (xs, range(points.iter().map(|p| p.y))) else {
        let middle = [(frame[0] + frame[2]) / 2.0, (frame[1] + frame[3]) / 2.0];
        return svg.text(middle, Style::new(13.0, GREY).middle(), "no values yet");
    };
    let room = 0.06 * (xs.1 - xs.0);
    let xs = (xs.0 - room, xs.1 + room);
    let rows = Ticks::new(ys, 6.0, 0.0);
    let ys = (
        rows.values[0].min(ys.0),
        rows.values[rows.values.len() - 1].max(ys.1),
    );
    let axes = LogAxes { frame, xs, ys };
    axes.draw(svg, &rows, panel);
    let places: Vec<[f64; 2]> = points
        .iter()
        .map(|p| axes.place(p.x.log10(), p.y))
        .collect();
    for (point, &at) in points.iter().zip(&places) {
        svg.circle(at, RADIUS, COLORS[point.series % COLORS.len()]);
    }
    names(svg, frame, &points, &places);
}

/// Where values are on the page: the frame of the axes, the exponents of ten at its left and right,
/// and the values at its bottom and top.
struct LogAxes {
    frame: Box4,
    xs: (f64, f64),
    ys: (f64, f64),
}

impl LogAxes {
    fn place(&self, x: f64, y: f64) -> [f64; 2] {
        let ([left, top, right, bottom], xs, ys) = (self.frame, self.xs, self.ys);
        [
            left + (x - xs.0) / (xs.1 - xs.0) * (right - left),
            bottom - (y - ys.0) / (ys.1 - ys.0) * (bottom - top),
        ]
    }

    /// Lines and numbers, and what the axes measure.
    fn draw(&self, svg: &mut Svg, rows: &Ticks, panel: &Scatter) {
        let [left, top, right, bottom] = self.frame;
        for &value in &rows.values {
            let [_, y] = self.place(self.xs.0, value);
            svg.line(&[[left, y], [right, y]], GRID, 1.0);
            let number = rows.print(value, false);
            svg.text([left - 8.0, y + 4.0], Style::new(11.0, GREY).end(), &number);
        }
        for (value, number) in powers(self.xs) {
            let [x, _] = self.place(value, self.ys.0);
            svg.line(&[[x, top], [x, bottom]], GRID, 1.0);
            let style = Style::new(11.0, GREY).middle();
            svg.text([x, bottom + 17.0], style, &number);
        }
        svg.line(&[[left, bottom], [right, bottom]], GREY, 1.0);
        let middle = [(left + right) / 2.0, bottom + 36.0];
        svg.text(middle, Style::new(11.5, GREY).middle(), &panel.x);
        svg.text([left - 36.0, top - 12.0], Style::new(11.5, GREY), &panel.y);
    }
}

/// The names of the series, beside their colours.
fn legend(svg: &mut Svg, left: f64, panel: &Scatter) {
    let mut x = left + 20.0;
    for (name, color) in panel.series.iter().zip(COLORS.iter().cycle()) {
        svg.circle([x + 4.0, 46.0], RADIUS, color);
        svg.text([x + 14.0, 50.0], Style::new(12.0, INK), name);
        x += 14.0 + text_width(name, 12.0) + 20.0;
    }
}

/// Which end of a name lies at its place.
#[derive(Clone, Copy)]
enum Side {
    Start,
    Middle,
    End,
}

/// Writes each point's name where it covers the least: of the places around the point, the one whose
/// rectangle shares the smallest area with points and with names that stand already.
fn names(svg: &mut Svg, frame: Box4, points: &[&Point], places: &[[f64; 2]]) {
    let around = |&[x, y]: &[f64; 2]| [x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS];
    let mut taken: Vec<Box4> = places.iter().map(around).collect();
    for (point, &[x, y]) in points.iter().zip(places) {
        let (width, gap) = (text_width(&point.name, LETTERS), RADIUS + 3.0);
        let (level, above, below) = (y + 3.5, y - gap, y + gap + 7.0);
        // Where the name begins, what of it stands there, and the rectangle that it takes.
        let (right, left) = ((x + gap, Side::Start), (x - gap, Side::End));
        let middle = (x, Side::Middle);
        let place = |((x, anchor), y): &((f64, Side), f64)| {
            let start = match anchor {
                Side::Start => *x,
                Side::Middle => x - width / 2.0,
                Side::End => x - width,
            };
            [start, y - 8.0, start + width, y + 2.0]
        };
        let near = [level, above, below]
            .map(|y| [(right, y), (left, y)])
            .concat();
        // Further off, where all that is near is taken.
        let further =
            [-34.0, -23.0, 23.0, 34.0].map(|dy| [(right, level + dy), (left, level + dy)]);
        let candidates = [
            near,
            vec![(middle, above), (middle, below)],
            further.concat(),
        ]
        .concat();
        let cost = |at: &((f64, Side), f64)| {
            let own = place(at);
            let covered: f64 = taken.iter().map(|other| shared(&own, other)).sum();
            covered + 10.0 * (width * 10.0 - shared(&own, &frame)).max(0.0)
        };
        let best = candidates.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let best = *best.unwrap_or(&(right, level));
        let ((start, anchor), base) = best;
        if (base - level).abs() > 20.0 {
            svg.line(&[[x, y], [start, base - 3.5]], "#c8ccd1", 0.7);
        }
        taken.push(place(&best));
        let style = Style::new(LETTERS, INK);
        let style = match anchor {
            Side::Start => style,
            Side::Middle => style.middle(),
            Side::End => style.end(),
        };
        svg.text([start, base], style, &point.name);
    }
}

/// The area that two rectangles share.
fn shared(a: &Box4, b: &Box4) -> f64 {
    let side = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
    side(0) * side(1)
}

/// The numbers 1, 2 and 5 times a power of ten between two exponents of ten, as exponents and as
/// text; 1 times alone where there would be many.
fn powers((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let factors: &[f64] = if high - low > 4.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let exponents = low.floor() as i32..=high.ceil() as i32;
    let numbers = exponents.flat_map(|power| factors.iter().map(move |factor| (*factor, power)));
    let numbers = numbers.map(|(factor, power)| {
        let digits = (-power).max(0) as usize;
        let number = factor * 10f64.powi(power);
        (number.log10(), format!("{number:.digits$}"))
    });
    numbers.filter(|(x, _)| (low..=high).contains(x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_logarithmic_axis_are_round() {
        let printed = |low: f64, high: f64| -> Vec<String> {
            let all = powers((low.log10(), high.log10()));
            all.into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(printed(0.04, 3.0), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(printed(0.5, 30_000.0), ["1", "10", "100", "1000", "10000"]);
    }

    #[test]
    fn rectangles_share_what_is_in_both() {
        assert_eq!(shared(&[0.0, 0.0, 4.0, 3.0], &[2.0, 1.0, 9.0, 9.0]), 4.0);
        assert_eq!(shared(&[0.0, 0.0, 4.0, 3.0], &[4.0, 0.0, 9.0, 9.0]), 0.0);
    }
}
