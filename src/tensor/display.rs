//! Tensors as text, in NumPy's layout: `{}` prints what `print(array)` does, `{:?}` what
//! `repr(array)` does, with dtype and shape.
//!
//! Numbers are written with the fewest digits that tell them from their neighbours, at most eight
//! after the point, and in columns as wide as the widest asks for. One format serves a whole
//! tensor: it is scientific where the largest is 1e8 or more, the smallest below 1e-4, or one a
//! thousand times another. Of more than 1,000 elements only the first and last three along each
//! axis are shown. Lines end at 75 characters.
//!
//! Source: NumPy's `numpy.array2string` and `numpy.set_printoptions`, for the layout and its
//! defaults.

use std::fmt;

use crate::{DType, Device, Element, Tensor};

/// NumPy's defaults: digits after the point, elements from which on parts are left out, items shown
/// at each end, width.
const PRECISION: usize = 8;
const THRESHOLD: usize = 1000;
const EDGE: usize = 3;
const WIDTH: usize = 75;

impl fmt::Display for Tensor {
    /// As NumPy's `print`; a single number alone in full precision.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = here(self)?;
        if self.shape().is_empty() {
            return f.write_str(&match Elements::of(&here, &[0]) {
                Elements::Integers(words) => words.concat(),
                Elements::Floats(x, round) => alone(x[0], round),
            });
        }
        f.write_str(&layout(&here, " ", "", ""))
    }
}

impl fmt::Debug for Tensor {
    /// As NumPy's `repr`: `Tensor([1., 2.], f32, [2])`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = layout(&here(self)?, ", ", "Tensor(", ",");
        let kind = format!("{}, {})", self.dtype(), self.shape());
        let last = "Tensor(".len() * usize::from(!numbers.contains('\n'))
            + numbers.lines().last().unwrap_or("").len();
        // On the last line where there is room, else under the numbers.
        let gap = if last + kind.len() + 2 > WIDTH {
            "\n       "
        } else {
            " "
        };
        write!(f, "Tensor({numbers},{gap}{kind}")
    }
}

/// The tensor on the CPU. That a GPU cannot be read has no other way out of here.
fn here(x: &Tensor) -> std::result::Result<Tensor, fmt::Error> {
    x.to_device(Device::Cpu).map_err(|_| fmt::Error)
}

/// Nested brackets around aligned numbers; `prefix` and `suffix` are what will stand around them on
/// the same lines.
fn layout(x: &Tensor, separator: &str, prefix: &str, suffix: &str) -> String {
    if x.elements() == 0 {
        return "[]".into();
    }
    let dims = x.shape();
    let summary = x.elements() > THRESHOLD;
    let shown: Vec<Vec<usize>> = dims.iter().map(|&length| places(length, summary)).collect();
    let mut at = vec![0];
    for (places, step) in shown.iter().zip(x.shape().strides().iter()) {
        at = at
            .iter()
            .flat_map(|start| places.iter().map(move |place| start + place * step))
            .collect();
    }
    let words = match Elements::of(x, &at) {
        Elements::Integers(words) => aligned(&words),
        Elements::Floats(x, round) => float_words(&x, round),
    };
    if dims.is_empty() {
        return words.concat();
    }
    let gaps = dims
        .iter()
        .map(|&length| summary && length > 2 * EDGE)
        .collect();
    let page = Page {
        separator,
        counts: shown.iter().map(Vec::len).collect(),
        gaps,
    };
    page.nested(
        &words,
        0,
        " ".repeat(prefix.len() + 1),
        WIDTH - suffix.len(),
    )
}

/// Which of an axis's elements are shown.
fn places(length: usize, summary: bool) -> Vec<usize> {
    if summary && length > 2 * EDGE {
        (0..EDGE).chain(length - EDGE..length).collect()
    } else {
        (0..length).collect()
    }
}

/// How a tensor's shown words are put on lines: how many along each axis, and where dots stand for
/// the rest.
struct Page<'a> {
    separator: &'a str,
    counts: Vec<usize>,
    gaps: Vec<bool>,
}

impl Page<'_> {
    /// The words from `axis` on in brackets. All but the first line begin with `indent`.
    fn nested(&self, words: &[String], axis: usize, indent: String, width: usize) -> String {
        let (count, gap, left) = (self.counts[axis], self.gaps[axis], self.counts.len() - axis);
        if left == 1 {
            return format!("[{}]", self.line(words, gap, &indent, width));
        }
        let between = format!(
            "{}{}{indent}",
            self.separator.trim_end(),
            "\n".repeat(left - 1)
        );
        let parts = words
            .chunks(words.len() / count)
            .map(|part| self.nested(part, axis + 1, format!("{indent} "), width - 1));
        let mut parts: Vec<String> = parts.collect();
        if gap {
            parts.insert(EDGE, "...".into());
        }
        format!("[{}]", parts.join(&between))
    }

    /// The innermost axis: words on one line, or several that are full.
    fn line(&self, words: &[String], gap: bool, indent: &str, width: usize) -> String {
        let width = width - self.separator.trim_end().len().max(1);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if gap {
            words.insert(EDGE, "...");
        }
        let (mut done, mut line) = (String::new(), indent.to_string());
        for (i, word) in words.iter().enumerate() {
            if line.len() + word.len() > width && line.len() > indent.len() {
                done += line.trim_end();
                done.push('\n');
                line = indent.to_string();
            }
            line += word;
            if i + 1 < words.len() {
                line += self.separator;
            }
        }
        (done + &line)[indent.len()..].to_string()
    }
}

/// Elements that are shown, of any type: what writes them is compiled once.
enum Elements {
    Integers(Vec<String>),
    /// Exact in f64, with how their type rounds.
    Floats(Vec<f64>, fn(f64) -> f64),
}

impl Elements {
    /// The elements of `x` at these places.
    fn of(x: &Tensor, at: &[usize]) -> Elements {
        dispatch_dtype!(x.dtype(), T in any => {
            let elements = at.iter().map(|&i| x.data::<T>()[i]);
            match T::DTYPE {
                DType::U8 | DType::I64 => Elements::Integers(elements.map(|x| format!("{x:?}")).collect()),
                _ => Elements::Floats(elements.map(T::to_f64).collect(), |x| T::from_f64(x).to_f64()),
            }
        })
    }
}

/// Words of one width.
fn aligned(words: &[String]) -> Vec<String> {
    let width = words.iter().map(String::len).max().unwrap_or(0);
    words.iter().map(|word| format!("{word:>width$}")).collect()
}

/// Each number as a word, all of one width.
fn float_words(numbers: &[f64], round: fn(f64) -> f64) -> Vec<String> {
    let finite: Vec<(f64, (usize, isize))> = numbers
        .iter()
        .filter(|x| x.is_finite())
        .map(|&x| (x, shortest(x, round)))
        .collect();
    let sizes = finite.iter().map(|(x, _)| x.abs()).filter(|&x| x > 0.0);
    let (least, most) = sizes.fold((f64::INFINITY, 0.0), |(least, most), x| {
        (x.min(least), x.max(most))
    });
    let scientific = most > 0.0 && (most >= 1e8 || least < 1e-4 || most / least > 1000.0);
    let parts: Vec<[String; 3]> = finite
        .iter()
        .map(|&(x, digits)| parts(x, digits, scientific))
        .collect();
    let widest = |part: usize| parts.iter().map(|p| p[part].len()).max().unwrap_or(0);
    let (mut left, fraction, exponent) = (widest(0), widest(1), widest(2));
    // What follows the point: the fraction, and where there is one, `e` and the exponent with its
    // sign.
    let right = fraction + if scientific { exponent + 1 } else { 0 };
    if finite.len() < numbers.len() {
        let negative = numbers.contains(&f64::NEG_INFINITY);
        left = left.max((3 + usize::from(negative)).saturating_sub(right + 1));
    }
    let mut parts = parts.iter();
    let word = |x: &f64| match (x.is_finite(), scientific) {
        (true, _) if finite.is_empty() => String::new(),
        (true, false) => parts.next().map_or(String::new(), |[int, frac, _]| {
            format!("{int:>left$}.{frac:<fraction$}")
        }),
        (true, true) => parts.next().map_or(String::new(), |[int, frac, exp]| {
            let (sign, exp) = exp.split_at(1);
            format!(
                "{int:>left$}.{frac:0<fraction$}e{sign}{exp:0>width$}",
                width = exponent - 1
            )
        }),
        (false, _) => format!("{:>width$}", special(*x), width = left + right + 1),
    };
    numbers.iter().map(word).collect()
}

/// Integer part, fraction without trailing zeros, and signed exponent (empty where not scientific).
fn parts(x: f64, (digits, power): (usize, isize), scientific: bool) -> [String; 3] {
    let text = if scientific {
        format!("{x:.*e}", digits.min(PRECISION))
    } else {
        format!(
            "{x:.*}",
            digits.saturating_add_signed(-power).min(PRECISION)
        )
    };
    let (number, exponent) = text.split_once('e').unwrap_or((&text, ""));
    let (int, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = if scientific {
        signed(exponent)
    } else {
        String::new()
    };
    [int.into(), fraction.trim_end_matches('0').into(), exponent]
}

/// An exponent with its sign and at least two digits.
fn signed(exponent: &str) -> String {
    match exponent.strip_prefix('-') {
        Some(size) => format!("-{size:0>2}"),
        None => format!("+{exponent:0>2}"),
    }
}

/// A number that stands alone, with all its digits.
fn alone(value: f64, round: fn(f64) -> f64) -> String {
    let (digits, power) = shortest(value, round);
    if !value.is_finite() {
        return special(value).into();
    }
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        return format!("{value:.*}", digits.saturating_add_signed(-power).max(1));
    }
    let text = format!("{value:.digits$e}");
    let (number, exponent) = text.split_once('e').unwrap_or((&text, ""));
    format!("{number}e{}", signed(exponent))
}

fn special(x: f64) -> &'static str {
    if x.is_nan() {
        "nan"
    } else if x > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

/// The shortest form `d.ddde+p` that reads back as x, rounded to its type: its digits after the point, and p. 17 tell
/// any two f64 apart.
fn shortest(x: f64, round: fn(f64) -> f64) -> (usize, isize) {
    let mut text = String::new();
    for digits in 0..17 {
        text = format!("{x:.digits$e}");
        if text.parse().is_ok_and(|read| round(read) == x) {
            break;
        }
    }
    let (number, power) = text.split_once('e').unwrap_or((&text, "0"));
    (
        number
            .split_once('.')
            .map_or(0, |(_, fraction)| fraction.len()),
        power.parse().unwrap_or(0),
    )
}
