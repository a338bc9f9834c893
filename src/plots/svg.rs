//! A page of shapes and text.

use std::fmt::Write;

/// An SVG page to draw on. Lengths are in pixels, places from the top left corner, colours as in
/// CSS.
///
/// ```
/// use wavemix::plots::{Style, Svg};
/// let mut svg = Svg::new(120.0, 40.0);
/// svg.circle([20.0, 20.0], 8.0, "#2f6fbb");
/// svg.text([36.0, 25.0], Style::new(14.0, "#1f2328"), "a dot");
/// assert!(svg.finish().contains("<circle cx=\"20\" cy=\"20\" r=\"8\""));
/// ```
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Which end of a text lies at its place.
#[derive(Clone, Copy, Debug)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks: its size and colour; it begins at its place, unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    size: f64,
    color: &'static str,
    anchor: Anchor,
    bold: bool,
    upwards: bool,
}

impl Style {
    /// Text of this size, in pixels, and colour.
    pub fn new(size: f64, color: &'static str) -> Style {
        Style {
            size,
            color,
            anchor: Anchor::Start,
            bold: false,
            upwards: false,
        }
    }

    /// With its middle at its place.
    pub fn middle(self) -> Style {
        Style {
            anchor: Anchor::Middle,
            ..self
        }
    }

    /// With its end at its place.
    pub fn end(self) -> Style {
        Style {
            anchor: Anchor::End,
            ..self
        }
    }

    /// In bold letters.
    pub fn bold(self) -> Style {
        Style { bold: true, ..self }
    }

    /// Turned to read upwards.
    pub fn upwards(self) -> Style {
        Style {
            upwards: true,
            ..self
        }
    }
}

/// About how wide a text comes out: letters of common fonts are half as wide as high, capitals and
/// some others more.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let width = |c: char| {
        if c.is_uppercase() || "mw%@".contains(c) {
            0.75
        } else {
            0.56
        }
    };
    text.chars().map(width).sum::<f64>() * size
}

impl Svg {
    /// A white page.
    pub fn new(width: f64, height: f64) -> Svg {
        let mut svg = Svg {
            width,
            height,
            body: String::new(),
        };
        svg.rect([0.0, 0.0], [width, height], "#ffffff");
        svg
    }

    /// A filled rectangle, from its top left corner.
    pub fn rect(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], fill: &str) {
        self.put(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"/>",
            n(x),
            n(y),
            n(w),
            n(h)
        ));
    }

    /// The outline of a rectangle.
    pub fn frame(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], color: &str) {
        let place = format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            n(x),
            n(y),
            n(w),
            n(h)
        );
        self.put(format_args!(
            "<rect {place} fill=\"none\" stroke=\"{color}\"/>"
        ));
    }

    /// A filled circle.
    pub fn circle(&mut self, [x, y]: [f64; 2], radius: f64, fill: &str) {
        self.put(format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"/>",
            n(x),
            n(y),
            n(radius)
        ));
    }

    /// A filled polygon.
    pub fn polygon(&mut self, corners: &[[f64; 2]], fill: &str) {
        let corners = list(corners);
        self.put(format_args!(
            "<polygon points=\"{corners}\" fill=\"{fill}\"/>"
        ));
    }

    /// A line through points, of this colour and width.
    pub fn line(&mut self, points: &[[f64; 2]], color: &str, width: f64) {
        let look = format!(
            "fill=\"none\" stroke=\"{color}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
            n(width)
        );
        self.put(format_args!(
            "<polyline points=\"{}\" {look}/>",
            list(points)
        ));
    }

    /// A line of text with its base at `y`.
    pub fn text(&mut self, [x, y]: [f64; 2], style: Style, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (n(x), n(y));
        let weight = if style.bold {
            " font-weight=\"600\""
        } else {
            ""
        };
        let turn = if style.upwards {
            format!(" transform=\"rotate(-90 {x} {y})\"")
        } else {
            String::new()
        };
        let look = format!(
            "font-size=\"{}\" fill=\"{}\" text-anchor=\"{anchor}\"{weight}{turn}",
            n(style.size),
            style.color
        );
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{y}\" {look}>{}</text>",
            escaped(text)
        ));
    }

    /// A picture, given as the bytes of a PNG file.
    #[cfg(feature = "pictures")]
    pub fn image(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], png: &[u8]) {
        let place = format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            n(x),
            n(y),
            n(w),
            n(h)
        );
        let look = "style=\"image-rendering:pixelated\"";
        self.put(format_args!(
            "<image {place} {look} href=\"data:image/png;base64,{}\"/>",
            base64(png)
        ));
    }

    /// The whole file.
    pub fn finish(self) -> String {
        let (w, h) = (n(self.width), n(self.height));
        let font = "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\"";
        let head = "xmlns=\"http://www.w3.org/2000/svg\"";
        format!(
            "<svg {head} width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" {font}>\n{}</svg>\n",
            self.body
        )
    }

    fn put(&mut self, element: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// Points as SVG has them.
fn list(points: &[[f64; 2]]) -> String {
    let points = points.iter().map(|[x, y]| format!("{},{}", n(*x), n(*y)));
    points.collect::<Vec<_>>().join(" ")
}

/// A length to a hundredth of a pixel, without idle zeros.
fn n(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // No XML file may hold these, escaped or not.
            _ if c.is_control() => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// RFC 4648: three bytes in four letters.
#[cfg(feature = "pictures")]
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "pictures")]
    #[test]
    fn base64_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn text_is_escaped_and_numbers_are_short() {
        let mut svg = Svg::new(10.0, 20.5);
        svg.text(
            [1.0, 2.125],
            Style::new(9.0, "#000").middle().bold(),
            "a<b & c>d\u{1}",
        );
        let want = "<text x=\"1\" y=\"2.12\" font-size=\"9\" fill=\"#000\" text-anchor=\"middle\" font-weight=\"600\">";
        let file = svg.finish();
        assert!(
            file.contains(&format!("{want}a&lt;b &amp; c&gt;d\u{fffd}</text>")),
            "{file}"
        );
        assert!(file.contains("viewBox=\"0 0 10 20.5\""), "{file}");
        assert_eq!(
            [n(0.0), n(100.0), n(-1.5), n(0.001)],
            ["0", "100", "-1.5", "0"]
        );
    }
}
