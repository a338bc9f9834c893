//! The programs of the chapters: what they print is in the pages, what they draw among the figures.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pages::{Block, PAGES, blocks, with_text};
use crate::{built, files, root, writes};

/// Text without numbers, for what a program says about times: each becomes a `#`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let part = c.is_ascii_digit() || c == '.';
        match (part, out.ends_with('#')) {
            (true, false) => out.push('#'),
            (true, true) => {}
            (false, _) if c == ' ' && out.ends_with(' ') => {}
            (false, _) => out.push(c),
        }
    }
    out
}

/// The text of a figure with `#` for each number, and the numbers.
fn numbers(text: &str) -> (String, Vec<f64>) {
    let in_number = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let (mut shape, mut numbers, mut rest) = (String::new(), Vec::new(), text);
    while !rest.is_empty() {
        let (words, from) = rest.split_at(rest.find(in_number).unwrap_or(rest.len()));
        let length = from.find(|c| !in_number(c)).unwrap_or(from.len());
        let (number, after) = from.split_at(length);
        shape.push_str(words);
        match number.parse() {
            Ok(number) => {
                numbers.push(number);
                shape.push('#');
            }
            Err(_) => shape.push_str(number),
        }
        rest = after;
    }
    (shape, numbers)
}

/// Whether two figures show the same: coordinates are rounded to a hundredth of a pixel, and one
/// that lies between two of these may become either, where a sum is rounded otherwise.
fn same_figure(a: &str, b: &str) -> bool {
    let ((shape_a, a), (shape_b, b)) = (numbers(a), numbers(b));
    shape_a == shape_b && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.0101)
}

/// What the pages show of what a program prints: parts of it, in order.
fn check_output(page: &str, program: &str, output: &str) -> String {
    let mut page = page.to_owned();
    let mut seen = 0;
    for k in 0..blocks(&page).len() {
        let block: &Block = &blocks(&page)[k];
        let words: Vec<&str> = block.mark.split(' ').collect();
        let (lines, vary) = match words[..] {
            ["output:", name, "lines", from, to, ref more @ ..] if name == program => {
                let vary = more == ["times", "vary"] || more == ["numbers", "vary"];
                (
                    (
                        from.parse().unwrap(),
                        to.trim_end_matches(',').parse().unwrap(),
                    ),
                    vary,
                )
            }
            ["output:", name] if name == program => ((1, usize::MAX), false),
            _ => continue,
        };
        seen += 1;
        let (from, to): (usize, usize) = lines;
        let shown = output
            .lines()
            .take(to)
            .skip(from - 1)
            .map(|line| format!("{line}\n"));
        let shown: String = shown.collect();
        // Times that were taken with care stay.
        let same_words = || without_numbers(&block.text) == without_numbers(&shown);
        if writes() && !(vary && same_words()) {
            page = with_text(&page, block, &shown);
        } else if vary {
            assert_eq!(
                without_numbers(&block.text),
                without_numbers(&shown),
                "{program}"
            );
        } else {
            assert_eq!(block.text, shown, "{program}");
        }
    }
    assert!(seen > 0, "no page shows what {program} prints");
    page
}

#[test]
fn programs_print_and_draw_what_the_pages_show() {
    let stems: Vec<String> = files("examples/book", "rs").into_keys().collect();
    let examples: Vec<String> = stems.iter().map(|stem| format!("book_{stem}")).collect();
    let figures = root().join("book/src/figures");
    let mut drawn = BTreeSet::new();
    for (stem, path) in stems.iter().zip(built::examples(&examples)) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("book-{stem}"));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let ran = Command::new(&path)
            .arg(&folder)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{stem}");
        let output = String::from_utf8(ran.stdout).unwrap();
        let name = format!("book/src/{stem}.md");
        let alone = PAGES.lock();
        let page = fs::read_to_string(root().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let page = check_output(&page, stem, &output);
        if writes() {
            fs::write(root().join(&name), &page).unwrap();
        }
        drop(alone);
        for entry in fs::read_dir(&folder).unwrap() {
            let figure = entry.unwrap().file_name().into_string().unwrap();
            let made = fs::read_to_string(folder.join(&figure)).unwrap();
            if writes() {
                fs::write(figures.join(&figure), &made).unwrap();
            }
            let kept = fs::read_to_string(figures.join(&figure)).unwrap_or_default();
            // What training in f32 ends with depends on the CPU's vector registers.
            let varies = page.contains(&format!("<!-- varies: {figure} -->")) && !kept.is_empty();
            assert!(
                varies || same_figure(&kept, &made),
                "{figure} is not what {stem} draws"
            );
            drawn.insert(figure);
        }
    }
    // A figure that no program draws is drawn by hand, and says so.
    for (figure, text) in files("book/src/figures", "svg") {
        let by_hand = text.contains("<!-- by hand -->");
        assert!(
            by_hand || drawn.contains(&format!("{figure}.svg")),
            "no program draws {figure}"
        );
    }
}

#[test]
fn figures_are_compared_by_their_numbers() {
    let figure = "<circle cx=\"1.25\" cy=\"-3\" r=\"2\"/>\n<text x=\"1\">a-b 3</text>";
    assert!(same_figure(figure, figure));
    assert!(same_figure(figure, &figure.replace("1.25", "1.26")));
    assert!(!same_figure(figure, &figure.replace("1.25", "1.27")));
    assert!(!same_figure(figure, &figure.replace("circle", "rect")));
    assert!(!same_figure(figure, &figure.replace("a-b", "a-c")));
}

#[test]
fn times_are_compared_without_their_numbers() {
    assert_eq!(
        without_numbers("naive  12.5 GFLOP/s"),
        without_numbers("naive 1.25 GFLOP/s")
    );
    assert_ne!(
        without_numbers("naive 12.5 GFLOP/s"),
        without_numbers("tiled 12.5 GFLOP/s")
    );
}
