//! The confusion matrix.

use std::path::Path;

use super::svg::{Style, Svg, text_width};
use super::{GREY, GRID, INK, grouped, percent};
use crate::io::atomic;
use crate::metrics::Confusion;
use crate::{Error, Result};

/// Where things are on the page.
struct Layout {
    cell: f64,
    /// Size of the class names' letters.
    letters: f64,
    /// The matrix's top left corner.
    corner: [f64; 2],
    side: f64,
    /// Whether the names above the columns are turned.
    upwards: bool,
}

/// Writes the matrix with the classes' names on its axes, each row coloured by the fractions of its
/// class; beside it each class's accuracy and the pairs that are confused most often.
///
/// # Errors
/// Where the number of names is not that of the classes, or the system refuses to write.
pub fn confusion(
    path: impl AsRef<Path>,
    title: &str,
    counts: &Confusion,
    names: &[String],
) -> Result<()> {
    if names.len() != counts.classes() {
        let (got, classes) = (names.len(), counts.classes());
        return Err(Error::Argument(format!(
            "a confusion matrix of {classes} classes needs as many names, got {got}"
        )));
    }
    let layout = Layout::new(names);
    let [left, top] = layout.corner;
    let list = left + layout.side + 78.0;
    let mut svg = Svg::new(list + 260.0, (top + layout.side + 78.0).max(420.0));
    let right = format!(
        "{} right of {}",
        percent(counts.top1()),
        grouped(counts.total())
    );
    svg.text([20.0, 30.0], Style::new(16.0, INK).bold(), title);
    svg.text([20.0, 50.0], Style::new(12.0, GREY), &right);
    axes(&mut svg, &layout, names);
    cells(&mut svg, &layout, counts);
    scale(
        &mut svg,
        [left, top + layout.side + 40.0],
        layout.side.clamp(220.0, 320.0),
    );
    pairs(&mut svg, [list, top], counts, names);
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

impl Layout {
    fn new(names: &[String]) -> Layout {
        let cell = (720.0 / names.len().max(1) as f64).clamp(13.0, 46.0);
        let letters = (cell * 0.82).clamp(9.0, 13.0);
        let longest = names
            .iter()
            .map(|name| text_width(name, letters))
            .fold(0.0, f64::max);
        let upwards = longest > cell - 2.0;
        let above = if upwards { longest } else { letters };
        let corner = [44.0 + longest + 8.0, 84.0 + above + 10.0];
        Layout {
            cell,
            letters,
            corner,
            side: cell * names.len() as f64,
            upwards,
        }
    }
}

fn axes(svg: &mut Svg, layout: &Layout, names: &[String]) {
    let Layout {
        cell,
        letters,
        corner: [left, top],
        side,
        upwards,
    } = *layout;
    let style = Style::new(letters, INK);
    for (i, name) in names.iter().enumerate() {
        let middle = (i as f64 + 0.5) * cell;
        svg.text(
            [left - 7.0, top + middle + letters * 0.36],
            style.end(),
            name,
        );
        if upwards {
            svg.text(
                [left + middle + letters * 0.36, top - 7.0],
                style.upwards(),
                name,
            );
        } else {
            svg.text([left + middle, top - 7.0], style.middle(), name);
        }
    }
    svg.text([left, 80.0], Style::new(11.0, GREY), "predicted class →");
    svg.text(
        [22.0, top],
        Style::new(11.0, GREY).end().upwards(),
        "← true class",
    );
    svg.text(
        [left + side + 40.0, top - 7.0],
        Style::new(11.0, GREY).end(),
        "right %",
    );
}

fn cells(svg: &mut Svg, layout: &Layout, counts: &Confusion) {
    let Layout {
        cell,
        letters,
        corner: [left, top],
        side,
        ..
    } = *layout;
    let k = counts.classes();
    for (row, accuracy) in counts.class_accuracy().into_iter().enumerate() {
        let members: u64 = (0..k).map(|column| counts.count(row, column)).sum();
        for column in (0..k).filter(|&column| counts.count(row, column) > 0) {
            let count = counts.count(row, column);
            let fraction = count as f64 / members as f64;
            let at = [left + column as f64 * cell, top + row as f64 * cell];
            svg.rect(at, [cell, cell], &color(fraction));
            let digits = count.to_string();
            let size = (cell * 0.3).min(12.0);
            if cell >= 28.0 && text_width(&digits, size) < cell - 3.0 {
                let ink = if fraction > 0.3 { "#ffffff" } else { INK };
                svg.text(
                    [at[0] + cell / 2.0, at[1] + cell / 2.0 + size * 0.36],
                    Style::new(size, ink).middle(),
                    &digits,
                );
            }
        }
        let middle = top + (row as f64 + 0.5) * cell + letters * 0.36;
        let text = accuracy.map_or("-".to_owned(), |accuracy| {
            format!("{:.1}", accuracy * 100.0)
        });
        svg.text(
            [left + side + 40.0, middle],
            Style::new(letters.min(11.0), GREY).end(),
            &text,
        );
    }
    // The grid last: it stays visible between coloured cells.
    for i in 0..=k {
        let at = i as f64 * cell;
        svg.line(&[[left + at, top], [left + at, top + side]], GRID, 0.6);
        svg.line(&[[left, top + at], [left + side, top + at]], GRID, 0.6);
    }
    svg.frame(layout.corner, [side, side], GREY);
}

/// From white to dark blue along the root of the fraction, so that one in a hundred can be seen.
fn color(fraction: f64) -> String {
    let stops = [
        [255.0, 255.0, 255.0],
        [158.0, 196.0, 232.0],
        [47.0, 111.0, 187.0],
        [10.0, 42.0, 94.0],
    ];
    let at = fraction.clamp(0.0, 1.0).sqrt() * 3.0;
    let i = (at as usize).min(2);
    let mix = |c: usize| stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - i as f64);
    format!(
        "#{:02x}{:02x}{:02x}",
        mix(0).round() as u8,
        mix(1).round() as u8,
        mix(2).round() as u8
    )
}

/// The colours with what they stand for.
fn scale(svg: &mut Svg, [x, y]: [f64; 2], width: f64) {
    const PARTS: usize = 64;
    let part = width / PARTS as f64;
    for i in 0..PARTS {
        let fraction = ((i as f64 + 0.5) / PARTS as f64).powi(2);
        // A little overlap hides the seams.
        svg.rect(
            [x + i as f64 * part, y],
            [part + 0.4, 10.0],
            &color(fraction),
        );
    }
    svg.frame([x, y], [width, 10.0], GRID);
    for (fraction, label) in [
        (0.0, "0"),
        (0.01, "1"),
        (0.1, "10"),
        (0.25, "25"),
        (0.5, "50"),
        (1.0, "100 %"),
    ] {
        svg.text(
            [x + f64::sqrt(fraction) * width, y + 23.0],
            Style::new(10.0, GREY).middle(),
            label,
        );
    }
    svg.text(
        [x, y - 7.0],
        Style::new(10.5, GREY),
        "share of the true class",
    );
}

/// The ten most frequent confusions.
fn pairs(svg: &mut Svg, [x, y]: [f64; 2], counts: &Confusion, names: &[String]) {
    let k = counts.classes();
    let all = (0..k).flat_map(|label| (0..k).map(move |predicted| (label, predicted)));
    let mut wrong: Vec<_> = all
        .filter(|(a, b)| a != b && counts.count(*a, *b) > 0)
        .collect();
    wrong.sort_unstable_by_key(|&(a, b)| (std::cmp::Reverse(counts.count(a, b)), a, b));
    svg.text(
        [x, y - 7.0],
        Style::new(13.0, INK).bold(),
        "most frequent mistakes",
    );
    if wrong.is_empty() {
        svg.text([x, y + 18.0], Style::new(12.0, GREY), "none");
    }
    for (i, &(label, predicted)) in wrong.iter().take(10).enumerate() {
        let (row, count) = (y + 18.0 + 22.0 * i as f64, counts.count(label, predicted));
        let members: u64 = (0..k).map(|column| counts.count(label, column)).sum();
        let text = format!("{} → {}", names[label], names[predicted]);
        svg.text([x, row], Style::new(12.5, INK), &text);
        let share = format!("{} of {}", grouped(count), grouped(members));
        svg.text([x + 220.0, row], Style::new(12.0, GREY).end(), &share);
    }
}

#[cfg(test)]
mod tests {
    use super::color;

    #[test]
    fn colours_run_from_white_to_dark() {
        assert_eq!(
            [color(0.0), color(1.0), color(2.0)],
            ["#ffffff", "#0a2a5e", "#0a2a5e"]
        );
        assert_eq!(color(1.0 / 9.0), "#9ec4e8");
    }
}
