//! What happened when: bars in rows, from the left to the right.

use std::path::Path;

use super::axes::Ticks;
use super::curves::COLORS;
use super::svg::{Style, Svg, text_width};
use super::{GREY, GRID, INK};
use crate::Result;
use crate::io::atomic;

/// Something that lasted from one moment to another, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// When it began.
    pub begin: f64,
    /// When it ended.
    pub end: f64,
    /// What it is; written in the bar where that is wide enough.
    pub label: String,
    /// Its place in the legend, whose colour it has; others are pale.
    pub color: Option<usize>,
}

/// Bars beside one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What they are, on the left.
    pub label: String,
    /// In any order. They should not overlap.
    pub bars: Vec<Bar>,
}

/// Rows below one another, on one axis of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// The title.
    pub title: String,
    /// From the top.
    pub rows: Vec<Row>,
    /// What has a colour of its own.
    pub legend: Vec<String>,
}

/// Width of the bars' part of the page, and what is left of it.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
/// Where the first row begins below one line of legend, how high a row is and how far it is from the
/// next.
const TOP: f64 = 86.0;
const LEGEND_PITCH: f64 = 18.0;
const HEIGHT: f64 = 24.0;
const PITCH: f64 = 30.0;
/// Size of the letters in bars.
const LETTERS: f64 = 10.0;
/// Bars narrower than this, in pixels, are drawn together with what follows: nobody would tell them
/// apart.
const NARROW: f64 = 0.35;

/// Writes a timeline.
///
/// # Errors
/// Where the system refuses to write.
pub fn timeline(path: impl AsRef<Path>, of: &Timeline) -> Result<()> {
    let (legend, top) = legend(&of.legend);
    let bottom = top + of.rows.len() as f64 * PITCH;
    let mut svg = Svg::new(LEFT + WIDTH + 30.0, bottom + 44.0);
    svg.text([20.0, 30.0], Style::new(16.0, INK).bold(), &of.title);
    for ((name, [x, y]), color) in legend.into_iter().zip(COLORS) {
        svg.rect([x, y - 10.0], [12.0, 12.0], color);
        svg.text([x + 17.0, y], Style::new(11.5, INK), name);
    }
    let bars = || of.rows.iter().flat_map(|row| &row.bars);
    let end = bars().map(|bar| bar.end).fold(0.0, f64::max);
    let scale = WIDTH / end.max(f64::MIN_POSITIVE);
    let ticks = Ticks::new((0.0, end.max(f64::MIN_POSITIVE)), 10.0, 0.0);
    for &at in ticks.values.iter().filter(|&&at| at <= end) {
        let x = LEFT + at * scale;
        svg.line(&[[x, top - 8.0], [x, bottom]], GRID, 1.0);
        let style = Style::new(11.0, GREY).middle();
        svg.text([x, bottom + 16.0], style, &ticks.print(at, false));
    }
    let style = Style::new(11.0, GREY).middle();
    svg.text([LEFT + WIDTH / 2.0, bottom + 34.0], style, "milliseconds");
    for (i, row) in of.rows.iter().enumerate() {
        draw_row(&mut svg, top + i as f64 * PITCH, row, scale);
    }
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

/// Where each name of the legend stands, in lines as long as the page, and where the first row begins.
fn legend(names: &[String]) -> (Vec<(&str, [f64; 2])>, f64) {
    let ([mut x, mut y], mut places) = ([LEFT, 58.0], Vec::new());
    for name in names {
        let width = 17.0 + text_width(name, 11.5) + 12.0;
        if x > LEFT && x + width > LEFT + WIDTH {
            (x, y) = (LEFT, y + LEGEND_PITCH);
        }
        places.push((&**name, [x, y]));
        x += width;
    }
    (places, TOP + y - 58.0)
}

fn draw_row(svg: &mut Svg, top: f64, row: &Row, scale: f64) {
    let style = Style::new(11.5, INK).end();
    let mut label = row.label.clone();
    while text_width(&label, 11.5) > LEFT - 14.0 {
        label = label.trim_end_matches('…').to_owned();
        label.pop();
        label.push('…');
    }
    svg.text([LEFT - 10.0, top + HEIGHT / 2.0 + 4.0], style, &label);
    let mut drawn = f64::NEG_INFINITY;
    let mut bars: Vec<&Bar> = row.bars.iter().collect();
    bars.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    for bar in bars {
        let (x, right) = (LEFT + bar.begin * scale, LEFT + bar.end * scale);
        if right - x < NARROW && right < drawn + NARROW {
            continue;
        }
        drawn = right;
        let width = (right - x).max(NARROW);
        let color = bar.color.and_then(|place| COLORS.get(place));
        svg.rect([x, top], [width, HEIGHT], color.unwrap_or(&"#d4dae1"));
        if width > 3.0 {
            svg.frame([x, top], [width, HEIGHT], "#ffffff");
        }
        if text_width(&bar.label, LETTERS) < width - 4.0 {
            let ink = if color.is_some() { "#ffffff" } else { INK };
            let style = Style::new(LETTERS, ink).middle();
            svg.text(
                [x + width / 2.0, top + HEIGHT / 2.0 + 3.5],
                style,
                &bar.label,
            );
        }
    }
}
