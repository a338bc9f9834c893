//! Learning curves.

use std::path::Path;

use super::svg::{Style, Svg, text_width};
use super::{GREY, GRID, INK, percent};
use crate::Result;
use crate::io::atomic;

/// One line of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it shows, `validation`.
    pub name: String,
    /// (epoch, value), in the order of epochs. Values that are not finite, or beyond 1e300, leave a
    /// gap; so do epochs.
    pub points: Vec<(f64, f64)>,
}

/// Axes with some curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What the vertical axis measures, `top-1 accuracy`.
    pub title: String,
    /// Whether values are fractions, to be printed as percentages.
    pub fractions: bool,
    /// The lines.
    pub curves: Vec<Curve>,
}

const COLORS: [&str; 6] = [
    "#2f6fbb", "#d9622b", "#3a9a5b", "#8a5fb5", "#b08a1e", "#6a737d",
];
/// Width and height of a panel with all its text, and the margins around its axes: left, right,
/// top, bottom.
const PANEL: [f64; 2] = [460.0, 340.0];
const MARGINS: [f64; 4] = [64.0, 20.0, 74.0, 46.0];

/// Writes panels side by side, under a title, each with a legend that gives every curve's last
/// value.
///
/// # Errors
/// Where the system refuses to write.
pub fn curves(path: impl AsRef<Path>, title: &str, panels: &[Panel]) -> Result<()> {
    let mut svg = Svg::new(PANEL[0] * panels.len().max(1) as f64, PANEL[1] + 24.0);
    svg.text([20.0, 28.0], Style::new(16.0, INK).bold(), title);
    for (i, panel) in panels.iter().enumerate() {
        draw(&mut svg, PANEL[0] * i as f64, panel);
    }
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

fn draw(svg: &mut Svg, left: f64, panel: &Panel) {
    let frame = Frame {
        left: left + MARGINS[0],
        right: left + PANEL[0] - MARGINS[1],
        top: 24.0 + MARGINS[2],
        bottom: PANEL[1] + 24.0 - MARGINS[3],
    };
    svg.text(
        [left + 20.0, frame.top - 36.0],
        Style::new(13.0, INK).bold(),
        &panel.title,
    );
    let Some(axes) = Axes::around(panel, frame) else {
        let middle = [
            (frame.left + frame.right) / 2.0,
            (frame.top + frame.bottom) / 2.0,
        ];
        return svg.text(middle, Style::new(13.0, GREY).middle(), "no values yet");
    };
    axes.draw(svg, panel.fractions);
    let mut legend = left + 20.0;
    for (curve, color) in panel.curves.iter().zip(COLORS.iter().cycle()) {
        axes.draw_curve(svg, curve, color);
        legend += entry(
            svg,
            [legend, axes.frame.top - 16.0],
            color,
            curve,
            panel.fractions,
        );
    }
}

/// Where the axes of a panel are on the page; y grows downward.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The axes of a panel: the values at the edges of the frame, and round ones to print.
struct Axes {
    frame: Frame,
    /// The epochs at the left and the right edge.
    epochs: (f64, f64),
    /// The values at the bottom and the top edge.
    values: (f64, f64),
    columns: Ticks,
    rows: Ticks,
}

impl Axes {
    /// Axes that hold all of the panel's points; `None` where there are none.
    fn around(panel: &Panel, frame: Frame) -> Option<Axes> {
        let points = || {
            panel
                .curves
                .iter()
                .flat_map(|curve| &curve.points)
                .filter(|point| drawable(point))
        };
        let epochs = range(points().map(|point| point.0))?;
        let values = range(points().map(|point| point.1))?;
        let rows = Ticks::new(values, 5.0, 0.0);
        let (first, last) = (rows.values[0], rows.values[rows.values.len() - 1]);
        Some(Axes {
            frame,
            epochs,
            values: (first.min(values.0), last.max(values.1)),
            columns: Ticks::new(epochs, 8.0, 1.0),
            rows,
        })
    }

    /// Where a point is on the page.
    fn place(&self, (epoch, value): (f64, f64)) -> [f64; 2] {
        let Frame {
            left,
            right,
            top,
            bottom,
        } = self.frame;
        let width = self.epochs.1 - self.epochs.0;
        let height = self.values.1 - self.values.0;
        [
            left + (epoch - self.epochs.0) / width * (right - left),
            bottom - (value - self.values.0) / height * (bottom - top),
        ]
    }

    /// A line and a number for each round value, a tick and a number for each round epoch.
    fn draw(&self, svg: &mut Svg, fractions: bool) {
        let Frame {
            left,
            right,
            bottom,
            ..
        } = self.frame;
        for &value in &self.rows.values {
            let [_, y] = self.place((self.epochs.0, value));
            svg.line(&[[left, y], [right, y]], GRID, 1.0);
            svg.text(
                [left - 8.0, y + 4.0],
                Style::new(11.0, GREY).end(),
                &self.rows.print(value, fractions),
            );
        }
        for &epoch in self
            .columns
            .values
            .iter()
            .filter(|&&epoch| epoch >= self.epochs.0 && epoch <= self.epochs.1)
        {
            let [x, _] = self.place((epoch, self.values.0));
            svg.line(&[[x, bottom], [x, bottom + 4.0]], GREY, 1.0);
            svg.text(
                [x, bottom + 18.0],
                Style::new(11.0, GREY).middle(),
                &self.columns.print(epoch, false),
            );
        }
        svg.line(&[[left, bottom], [right, bottom]], GREY, 1.0);
        svg.text(
            [(left + right) / 2.0, bottom + 36.0],
            Style::new(11.0, GREY).middle(),
            "epoch",
        );
    }

    /// A line through each run of points without a gap.
    fn draw_curve(&self, svg: &mut Svg, curve: &Curve, color: &str) {
        for run in curve
            .points
            .split(|point| !drawable(point))
            .filter(|run| !run.is_empty())
        {
            let line: Vec<[f64; 2]> = run.iter().map(|&point| self.place(point)).collect();
            svg.line(&line, color, 2.0);
            // Dots while they can be told apart, and where there is nothing to draw a line to.
            if curve.points.len() <= 40 || line.len() == 1 {
                line.iter().for_each(|&point| svg.circle(point, 2.5, color));
            }
        }
    }
}

/// One entry of the legend; gives its width.
fn entry(svg: &mut Svg, [x, y]: [f64; 2], color: &str, curve: &Curve, fractions: bool) -> f64 {
    let last = curve.points.iter().rev().find(|point| point.1.is_finite());
    let value = last.map_or(String::new(), |&(_, y)| {
        if fractions {
            percent(y)
        } else {
            format!("{y:.3}")
        }
    });
    let text = format!("{} {value}", curve.name);
    svg.line(&[[x, y - 4.0], [x + 16.0, y - 4.0]], color, 2.5);
    svg.text([x + 22.0, y], Style::new(11.5, INK), &text);
    22.0 + text_width(&text, 11.5) + 18.0
}

/// Whether there is a place for a point: distances between two of them are numbers too.
fn drawable(&(x, y): &(f64, f64)) -> bool {
    x.abs() <= 1e300 && y.abs() <= 1e300
}

/// The smallest and the largest value. A single one gets some room around it; so do several that
/// are too close for numbers between them, which an axis needs some of.
fn range(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (low, high) = (values.clone().reduce(f64::min)?, values.reduce(f64::max)?);
    let size = low.abs().max(high.abs());
    let room = if high - low > (1e-9 * size).max(1e-300) {
        0.0
    } else {
        0.05 * size.max(1.0)
    };
    Some((low - room, high + room))
}

/// Round numbers along an axis.
struct Ticks {
    values: Vec<f64>,
    step: f64,
}

impl Ticks {
    /// About `count` multiples of 1, 2 or 5 times a power of ten, at least `smallest` apart, that
    /// enclose the range.
    fn new((low, high): (f64, f64), count: f64, smallest: f64) -> Ticks {
        let rough = (high - low) / count;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(10.0 * power);
        let step = step.max(smallest);
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil().max(first + 1.0);
        Ticks {
            values: (0..=(last - first) as usize)
                .map(|i| (first + i as f64) * step)
                .collect(),
            step,
        }
    }

    /// A value with as many digits as the step has.
    fn print(&self, value: f64, fraction: bool) -> String {
        let (value, step) = if fraction {
            (value * 100.0, self.step * 100.0)
        } else {
            (value, self.step)
        };
        let digits = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
        // Adding 0 turns -0 into 0.
        let text = format!("{:.digits$}", value + 0.0);
        if fraction { format!("{text} %") } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(range: (f64, f64), count: f64, smallest: f64, fractions: bool) -> Vec<String> {
        let ticks = Ticks::new(range, count, smallest);
        ticks
            .values
            .iter()
            .map(|&value| ticks.print(value, fractions))
            .collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(
            printed((0.113, 3.81), 5.0, 0.0, false),
            ["0", "1", "2", "3", "4"]
        );
        assert_eq!(
            printed((0.731, 0.902), 5.0, 0.0, true),
            ["70 %", "75 %", "80 %", "85 %", "90 %", "95 %"]
        );
        assert_eq!(
            printed((0.9912, 0.9931), 5.0, 0.0, true),
            [
                "99.10 %", "99.15 %", "99.20 %", "99.25 %", "99.30 %", "99.35 %"
            ]
        );
        assert_eq!(printed((1.0, 3.0), 8.0, 1.0, false), ["1", "2", "3"]);
        assert_eq!(range([2.0, 2.0].into_iter()), Some((1.9, 2.1)));
        assert_eq!(range([0.5, 2.0, 1.0].into_iter()), Some((0.5, 2.0)));
        assert_eq!(
            printed((1.9, 2.1), 5.0, 0.0, false),
            ["1.90", "1.95", "2.00", "2.05", "2.10"]
        );
        assert_eq!(
            printed((1.0, 120.0), 8.0, 1.0, false).join(" "),
            "0 20 40 60 80 100 120"
        );
    }
}
