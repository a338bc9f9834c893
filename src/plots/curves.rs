//! Learning curves.

use std::path::Path;

use super::axes::{Axes, drawable, range};
use super::svg::{Style, Svg, text_width};
use super::{GREY, INK, percent};
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

/// The colours of lines and points, one after the other.
pub(super) const COLORS: [&str; 6] = [
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
    let corner = [left + MARGINS[0], 24.0 + MARGINS[2]];
    svg.text(
        [left + 20.0, corner[1] - 36.0],
        Style::new(13.0, INK).bold(),
        &panel.title,
    );
    let Some(axes) = axes_around(panel, corner) else {
        let middle = [
            (corner[0] + left + PANEL[0] - MARGINS[1]) / 2.0,
            (corner[1] + PANEL[1] + 24.0 - MARGINS[3]) / 2.0,
        ];
        return svg.text(middle, Style::new(13.0, GREY).middle(), "no values yet");
    };
    axes.draw_as(svg, "epoch", panel.fractions);
    let mut legend = left + 20.0;
    for (curve, color) in panel.curves.iter().zip(COLORS.iter().cycle()) {
        axes.curve(svg, &curve.points, color);
        legend += entry(
            svg,
            [legend, corner[1] - 16.0],
            color,
            curve,
            panel.fractions,
        );
    }
}

/// Axes that hold all of the panel's points; `None` where there are none.
fn axes_around(panel: &Panel, corner: [f64; 2]) -> Option<Axes> {
    let points = || {
        let all = panel.curves.iter().flat_map(|curve| &curve.points);
        all.filter(|point| drawable(point))
    };
    let epochs = range(points().map(|point| point.0))?;
    let values = range(points().map(|point| point.1))?;
    let size = [
        PANEL[0] - MARGINS[0] - MARGINS[1],
        PANEL[1] - MARGINS[2] - MARGINS[3],
    ];
    Some(Axes::new(corner, size, epochs, values).with_columns_apart(1.0))
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
