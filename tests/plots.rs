//! The pictures: well-formed, with every name and figure in them. Set WAVEMIX_PLOTS to a folder to
//! keep and look at them.

#[path = "plots/graphs.rs"]
mod graphs;

use std::fs;
use std::path::{Path, PathBuf};

use wavemix::data::Split;
use wavemix::data::glyphs::{self, Settings, Writers};
use wavemix::metrics::Confusion;
use wavemix::plots::{self, Curve, Mistake, Panel};
use wavemix::{Result, Rng};

#[path = "plots/figures.rs"]
mod figures;

/// Writes a picture, into the folder that was asked for or one that goes away, and gives its text.
fn written(name: &str, write: impl FnOnce(&Path) -> Result<()>) -> String {
    let kept = std::env::var_os("WAVEMIX_PLOTS").map(PathBuf::from);
    let temporary =
        std::env::temp_dir().join(format!("wavemix-plots-{}-{name}", std::process::id()));
    let folder = kept.clone().unwrap_or_else(|| temporary.clone());
    fs::create_dir_all(&folder).unwrap();
    write(&folder.join(name)).unwrap();
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let _ = fs::remove_dir_all(&temporary);
    check(&text);
    text
}

/// Tags nest and close, no number is missing, and everything lies on the page.
fn check(svg: &str) {
    let attribute = |tag: &str, name: &str| -> Option<f64> {
        let value = tag.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0;
        Some(value.parse().unwrap_or_else(|_| panic!("{name} in {tag}")))
    };
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    let (width, height) = (
        attribute(svg, "width").unwrap(),
        attribute(svg, "height").unwrap(),
    );
    assert_eq!(
        svg.matches("<text ").count(),
        svg.matches("</text>").count()
    );
    for tag in svg.lines().skip(1).filter(|line| *line != "</svg>") {
        assert!(
            tag.starts_with('<') && (tag.ends_with("/>") || tag.ends_with("</text>")),
            "{tag}"
        );
        for (name, size, limit) in [("x", "width", width), ("y", "height", height)] {
            if let Some(at) = attribute(tag, name) {
                let end = at
                    + if tag.starts_with("<text") {
                        0.0
                    } else {
                        attribute(tag, size).unwrap_or(0.0)
                    };
                assert!(at >= 0.0 && end <= limit + 0.01, "{name} of {tag}");
            }
        }
    }
    // Letters of an embedded picture may spell anything.
    assert!(
        svg.lines()
            .filter(|line| !line.starts_with("<image"))
            .all(|line| !line.contains("NaN") && !line.contains("inf"))
    );
}

fn has_all(svg: &str, texts: &[&str]) {
    texts.iter().for_each(|text| {
        assert!(
            svg.contains(&format!(">{text}</text>")),
            "`{text}` is not on the page"
        )
    });
}

fn curve(name: &str, count: usize, value: impl Fn(f64) -> f64) -> Curve {
    let points = (1..=count)
        .map(|epoch| (epoch as f64, value(epoch as f64)))
        .collect();
    Curve {
        name: name.into(),
        points,
    }
}

#[test]
fn learning_curves() {
    let accuracy = |name: &str, fractions, curves| Panel {
        title: name.into(),
        fractions,
        curves,
    };
    let panels = [
        accuracy(
            "loss",
            false,
            vec![
                curve("training", 12, |e| 3.4 * (-e / 3.0).exp() + 0.31),
                curve("validation", 12, |e| 3.1 * (-e / 3.0).exp() + 0.42),
            ],
        ),
        accuracy(
            "accuracy",
            true,
            vec![
                curve("validation top-1", 12, |e| 0.91 - 0.6 * (-e / 2.5).exp()),
                curve("test top-1", 12, |e| 0.90 - 0.62 * (-e / 2.5).exp()),
            ],
        ),
    ];
    let svg = written("curves.svg", |path| {
        plots::curves(path, "WaveMixLite-16/4 on built-in glyphs", &panels)
    });
    has_all(
        &svg,
        &[
            "loss",
            "accuracy",
            "training 0.372",
            "validation 0.477",
            "validation top-1 90.5 %",
            "epoch",
            "12",
            "90 %",
            "WaveMixLite-16/4 on built-in glyphs",
        ],
    );
    assert_eq!(svg.matches("<circle").count(), 48);
    let long = [accuracy(
        "accuracy",
        true,
        vec![curve("test", 120, |e| 0.9997 - 0.01 / e)],
    )];
    let svg = written("curves-long.svg", |path| {
        plots::curves(path, "a long run", &long)
    });
    assert!(
        !svg.contains("<circle"),
        "120 dots would run into each other"
    );
    has_all(&svg, &["20", "120", "test 99.96 %"]);
}

#[test]
fn learning_curves_of_little_or_nothing() {
    let panel = |curves| {
        [Panel {
            title: "loss".into(),
            fractions: false,
            curves,
        }]
    };
    let svg = written("curves-one.svg", |path| {
        plots::curves(
            path,
            "one epoch",
            &panel(vec![curve("training", 1, |_| 0.5)]),
        )
    });
    has_all(&svg, &["1", "training 0.500"]);
    let gap = |e: f64| if (3.0..5.0).contains(&e) { f64::NAN } else { e };
    let svg = written("curves-gap.svg", |path| {
        plots::curves(
            path,
            "a gap & <more>",
            &panel(vec![curve("training", 7, gap)]),
        )
    });
    has_all(&svg, &["a gap &amp; &lt;more&gt;"]);
    assert_eq!(
        svg.matches("stroke-width=\"2\"").count(),
        2,
        "two runs of points, two lines"
    );
    for curves in [vec![], vec![curve("training", 3, |_| f64::INFINITY)]] {
        has_all(
            &written("curves-none.svg", |path| {
                plots::curves(path, "nothing", &panel(curves))
            }),
            &["no values yet"],
        );
    }
}

/// Mostly right, with some pairs that are confused more than others.
fn counts(classes: usize, images: usize) -> Confusion {
    let (mut confusion, mut rng) = (Confusion::new(classes), Rng::new(7));
    for i in 0..images {
        let label = i % classes;
        let draw = rng.uniform();
        let predicted = match draw {
            _ if draw < 0.86 => label,
            _ if draw < 0.95 => (label * 7 + 3) % classes,
            _ => (rng.uniform() * classes as f32) as usize,
        };
        confusion.add(label, predicted).unwrap();
    }
    confusion
}

#[test]
fn confusion_matrices_of_all_sizes() {
    let cifar = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ];
    let named = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<String>>()
    };
    for (file, names) in [
        ("confusion-10.svg", named(&cifar)),
        ("confusion-26.svg", Split::Letters.classes()),
        ("confusion-47.svg", Split::Balanced.classes()),
        ("confusion-62.svg", Split::ByClass.classes()),
        ("confusion-2.svg", named(&["<", "&"])),
    ] {
        let counts = counts(names.len(), 400 * names.len());
        let svg = written(file, |path| {
            plots::confusion(path, "Test images", &counts, &names)
        });
        let escaped = |name: &String| name.replace('&', "&amp;").replace('<', "&lt;");
        for name in &names {
            // On both axes, whatever other texts are the same.
            assert!(
                svg.matches(&format!(">{}</text>", escaped(name))).count() >= 2,
                "{name} in {file}"
            );
        }
        has_all(
            &svg,
            &[
                "most frequent mistakes",
                "← true class",
                "predicted class →",
                "100 %",
            ],
        );
        let cells = svg.matches("<rect").count() - 64 - 3;
        let filled = (0..names.len())
            .flat_map(|a| (0..names.len()).map(move |b| (a, b)))
            .filter(|&(a, b)| counts.count(a, b) > 0);
        assert_eq!(
            cells,
            filled.count(),
            "{file}: a coloured cell for each count above 0"
        );
    }
    let all_right = written("confusion-none.svg", |path| {
        let mut confusion = Confusion::new(2);
        (0..2).for_each(|class| confusion.add(class, class).unwrap());
        plots::confusion(path, "all right", &confusion, &named(&["a", "b"]))
    });
    has_all(&all_right, &["none", "100 % right of 2", "100.0"]);
    let error = plots::confusion("x.svg", "", &Confusion::new(3), &named(&["a"]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "a confusion matrix of 3 classes needs as many names, got 1"
    );
}

#[test]
fn the_worst_mistakes() {
    let glyphs = glyphs::generate(&Settings::default(), Writers::Test, 1).unwrap();
    let name = |i: usize| glyphs.classes[glyphs.labels[i] as usize].as_str();
    let worst: Vec<Mistake> = (0..glyphs.len())
        .map(|i| {
            let predicted = name((i * 5 + 1) % glyphs.len());
            Mistake {
                image: glyphs.image(i),
                label: name(i),
                predicted,
                probability: 0.999 - 0.01 * i as f64,
            }
        })
        .collect();
    let svg = written("mistakes.svg", |path| {
        plots::mistakes(path, "The surest mistakes", glyphs.size, &worst)
    });
    assert_eq!(svg.matches("<image").count(), worst.len());
    has_all(
        &svg,
        &["The surest mistakes", "0 → 1", "1 → 6", "99.90 %", "98.9 %"],
    );

    let stripes: Vec<u8> = (0..32 * 20 * 3)
        .map(|i| (i % 3 * 90 + i / 60 * 4) as u8)
        .collect();
    let mistake = Mistake {
        image: &stripes,
        label: "automobile",
        predicted: "airplane & <more>",
        probability: 0.5,
    };
    let svg = written("mistakes-color.svg", |path| {
        plots::mistakes(path, "In colour", [32, 20, 3], &[mistake; 3])
    });
    has_all(
        &svg,
        &["automobile", "→ airplane &amp; &lt;more&gt;", "50.0 %"],
    );
    assert_eq!(embedded(&svg), (20 * 6, 32 * 6, enlarged(&stripes, 20, 6)));
    has_all(
        &written("mistakes-none.svg", |path| {
            plots::mistakes(path, "", [28, 28, 1], &[])
        }),
        &["no mistakes"],
    );

    let error = |size, worst: &[Mistake]| {
        plots::mistakes("x.svg", "", size, worst)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error([28, 28, 4], &[]),
        "pictures have 1 or 3 channels and a size, got 28x28x4"
    );
    assert_eq!(
        error([0, 28, 1], &[]),
        "pictures have 1 or 3 channels and a size, got 0x28x1"
    );
    assert_eq!(
        error([4, 4, 1], &[mistake]),
        "a picture of 4x4x1 has other than 1920 bytes"
    );
    // As many bytes as 2^64 are, counted in 64 bits.
    let empty = Mistake {
        image: &[],
        ..mistake
    };
    assert_eq!(
        error([1 << 32, 1 << 32, 1], &[empty]),
        "a picture of 4294967296x4294967296x1 has other than 0 bytes"
    );
}

/// Width, height and pixels of the first picture in a page.
fn embedded(svg: &str) -> (u32, u32, Vec<u8>) {
    let text = svg
        .split_once("base64,")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(value).collect();
    let whole = |group: &[u8]| {
        group
            .iter()
            .chain(&[0; 3])
            .take(4)
            .fold(0u32, |word, &six| word << 6 | u32::from(six))
    };
    let bytes: Vec<u8> = letters
        .chunks(4)
        .flat_map(|group| whole(group).to_be_bytes()[1..group.len()].to_vec())
        .collect();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}

/// Each pixel as a square of `times` by `times`.
fn enlarged(rgb: &[u8], width: usize, times: usize) -> Vec<u8> {
    let height = rgb.len() / width / 3;
    let at = |x: usize, y: usize| &rgb[(y / times * width + x / times) * 3..][..3];
    (0..height * times)
        .flat_map(|y| (0..width * times).flat_map(move |x| at(x, y).to_vec()))
        .collect()
}

/// Values whose distance has no tenth, that are too far apart for a distance, or no numbers at all.
#[test]
fn curves_of_any_values_are_drawn() {
    let draw = |name: &str, points: &[(f64, f64)]| {
        let curve = Curve {
            name: "c".into(),
            points: points.to_vec(),
        };
        let panel = Panel {
            title: "p".into(),
            fractions: false,
            curves: vec![curve],
        };
        written(name, |path| plots::curves(path, "any", &[panel]))
    };
    let cases: &[&[(f64, f64)]] = &[
        &[(1.0, 0.0), (2.0, 5e-324)],
        &[(1.0, 5e-324), (2.0, 1e-323)],
        &[(1.0, 1.0), (2.0, 1.0 + f64::EPSILON)],
        &[(1.0, 1e300), (2.0, 1.0)],
        &[(1.0, f64::MAX), (2.0, f64::MIN), (3.0, 1.0)],
        &[(f64::NAN, 1.0), (f64::INFINITY, 2.0), (1.0, 3.0)],
        &[(5e-324, 1.0), (1e-323, 2.0)],
        &[(f64::NAN, f64::NAN)],
    ];
    for (i, points) in cases.iter().enumerate() {
        let svg = draw(&format!("any{i}.svg"), points);
        assert!(
            svg.matches("<text ").count() < 60,
            "{points:?} have a sensible number of ticks"
        );
    }
}
