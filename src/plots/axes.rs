//! Axes for any curves and points.

use super::svg::{Style, Svg};
use super::{GREY, GRID};

/// A frame on a page with a scale along its left and its lower edge; it knows where a point (x, y)
/// is on the page.
///
/// ```
/// use wavemix::plots::{Axes, Svg};
/// let mut svg = Svg::new(300.0, 200.0);
/// let axes = Axes::new([40.0, 10.0], [240.0, 150.0], (0.0, 2.0), (0.0, 4.0));
/// axes.draw(&mut svg, "x", "");
/// axes.curve(&mut svg, &[(0.0, 0.0), (1.0, 1.0), (2.0, 4.0)], "#2f6fbb");
/// assert_eq!(axes.place((2.0, 4.0)), [280.0, 10.0]);
/// ```
pub struct Axes {
    corner: [f64; 2],
    size: [f64; 2],
    /// The values at the left and the right edge.
    x: (f64, f64),
    /// The values at the bottom and the top edge.
    y: (f64, f64),
    columns: Ticks,
    rows: Ticks,
}

impl Axes {
    /// Axes with this upper left corner and size, for x and y from and to these values. The scale
    /// of y begins and ends at a round value at or beyond its own. Values that are equal get some
    /// room around them; those that are not finite, or beyond 1e300, stand for 0 and 1.
    pub fn new(corner: [f64; 2], size: [f64; 2], x: (f64, f64), y: (f64, f64)) -> Axes {
        let [x, y] = [x, y].map(|ends| {
            // A little more than points may have: those who draw them leave some room.
            let fits = [ends.0, ends.1].iter().all(|end| end.abs() <= 1e301);
            let ends = if fits { ends } else { (0.0, 1.0) };
            range([ends.0, ends.1].into_iter()).unwrap_or(ends)
        });
        let rows = Ticks::new(y, 5.0, 0.0);
        let (first, last) = (rows.values[0], rows.values[rows.values.len() - 1]);
        Axes {
            corner,
            size,
            x,
            y: (first.min(y.0), last.max(y.1)),
            columns: Ticks::new(x, 8.0, 0.0),
            rows,
        }
    }

    /// The same with numbers below the x axis that are at least so far apart.
    pub(super) fn with_columns_apart(mut self, smallest: f64) -> Axes {
        self.columns = Ticks::new(self.x, 8.0, smallest);
        self
    }

    /// Where a point is on the page.
    pub fn place(&self, (x, y): (f64, f64)) -> [f64; 2] {
        let [left, top] = self.corner;
        let [width, height] = self.size;
        [
            left + (x - self.x.0) / (self.x.1 - self.x.0) * width,
            top + height - (y - self.y.0) / (self.y.1 - self.y.0) * height,
        ]
    }

    /// A line and a number for each round y, a tick and a number for each round x, and what they
    /// are: `x_title` below, `y_title` above.
    pub fn draw(&self, svg: &mut Svg, x_title: &str, y_title: &str) {
        self.draw_as(svg, x_title, false);
        let [left, top] = self.corner;
        svg.text([left, top - 10.0], Style::new(11.0, GREY), y_title);
    }

    /// The same without a title above, and with y as percentages, where they are fractions.
    pub(super) fn draw_as(&self, svg: &mut Svg, x_title: &str, fractions: bool) {
        let left = self.corner[0];
        let (right, bottom) = (left + self.size[0], self.corner[1] + self.size[1]);
        for &value in &self.rows.values {
            let [_, y] = self.place((self.x.0, value));
            svg.line(&[[left, y], [right, y]], GRID, 1.0);
            svg.text(
                [left - 8.0, y + 4.0],
                Style::new(11.0, GREY).end(),
                &self.rows.print(value, fractions),
            );
        }
        for &value in self
            .columns
            .values
            .iter()
            .filter(|&&value| value >= self.x.0 && value <= self.x.1)
        {
            let [x, _] = self.place((value, self.y.0));
            svg.line(&[[x, bottom], [x, bottom + 4.0]], GREY, 1.0);
            svg.text(
                [x, bottom + 18.0],
                Style::new(11.0, GREY).middle(),
                &self.columns.print(value, false),
            );
        }
        svg.line(&[[left, bottom], [right, bottom]], GREY, 1.0);
        svg.text(
            [(left + right) / 2.0, bottom + 36.0],
            Style::new(11.0, GREY).middle(),
            x_title,
        );
    }

    /// A line through points, with a gap at each that is not finite, or beyond 1e300. Up to 40
    /// points, and those that have a gap on either side, are dots too.
    pub fn curve(&self, svg: &mut Svg, points: &[(f64, f64)], color: &str) {
        for run in points
            .split(|point| !drawable(point))
            .filter(|run| !run.is_empty())
        {
            let line: Vec<[f64; 2]> = run.iter().map(|&point| self.place(point)).collect();
            svg.line(&line, color, 2.0);
            // Dots while they can be told apart, and where there is nothing to draw a line to.
            if points.len() <= 40 || line.len() == 1 {
                line.iter().for_each(|&point| svg.circle(point, 2.5, color));
            }
        }
    }
}

/// Whether there is a place for a point: distances between two of them are numbers too.
pub(super) fn drawable(&(x, y): &(f64, f64)) -> bool {
    x.abs() <= 1e300 && y.abs() <= 1e300
}

/// The smallest and the largest value. A single one gets some room around it; so do several that
/// are too close for numbers between them, which an axis needs some of.
pub(super) fn range(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
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
pub(super) struct Ticks {
    pub values: Vec<f64>,
    step: f64,
}

impl Ticks {
    /// About `count` multiples of 1, 2 or 5 times a power of ten, at least `smallest` apart, that
    /// enclose the range.
    pub fn new((low, high): (f64, f64), count: f64, smallest: f64) -> Ticks {
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
    pub fn print(&self, value: f64, fraction: bool) -> String {
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
