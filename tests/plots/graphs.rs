//! Computation graphs, and axes for drawings of one's own.

use wavemix::{DType, Rng, Tensor, Var, plots};

use crate::{has_all, written};

/// Left edge, top, width and height of each box that has an outline.
fn outlines(svg: &str) -> Vec<[f64; 4]> {
    let frames = svg
        .lines()
        .filter(|line| line.contains("fill=\"none\"") && line.starts_with("<rect"));
    let attribute = |line: &str, name: &str| -> f64 {
        let from = line.split_once(&format!(" {name}=\"")).unwrap().1;
        from.split_once('"').unwrap().0.parse().unwrap()
    };
    frames
        .map(|line| ["x", "y", "width", "height"].map(|name| attribute(line, name)))
        .collect()
}

#[test]
fn a_computation_graph_is_drawn_in_layers() {
    let leaf = |seed| Var::leaf(Tensor::normal([4], 0.0, 1.0, DType::F64, &Rng::new(seed)));
    let (a, b, c) = (leaf(0), leaf(1), leaf(2));
    let product = (&a * &b).unwrap();
    let sum = (&product + &c).unwrap();
    let loss = ((&sum * &product).unwrap() - &a)
        .unwrap()
        .sum_all()
        .unwrap();
    let graph = loss.graph().with_label(&c, "c & more").unwrap();
    let svg = written("graph.svg", |path| plots::graph(path, &graph));
    has_all(
        &svg,
        &[
            "leaf",
            "mul",
            "add",
            "sub",
            "sum",
            "c &amp; more",
            "[4] f64",
            "f64",
        ],
    );
    let boxes = outlines(&svg);
    assert_eq!(boxes.len(), 8);
    for (i, [x, y, w, h]) in boxes.iter().enumerate() {
        for [x2, y2, w2, h2] in &boxes[i + 1..] {
            let apart = x + w < *x2 || x2 + w2 < *x || y + h < *y2 || y2 + h2 < *y;
            assert!(apart, "two boxes overlap:\n{svg}");
        }
    }
    // One line for each input of each op, each with a head.
    assert_eq!(svg.matches("<polyline").count(), 9);
    assert_eq!(svg.matches("<polygon").count(), 9);
    let lowest = boxes.iter().map(|b| b[1]).fold(0.0, f64::max);
    assert_eq!(
        boxes.last().unwrap()[1],
        lowest,
        "the loss is at the bottom"
    );

    let constant = Var::from(Tensor::scalar(1.0));
    let svg = written("graph-none.svg", |path| {
        plots::graph(path, &constant.graph())
    });
    assert!(!svg.contains("<text"), "a constant has no graph");
}

#[test]
fn axes_place_and_print_values() {
    let svg = |x, y| {
        let mut svg = plots::Svg::new(340.0, 240.0);
        let axes = plots::Axes::new([60.0, 30.0], [240.0, 150.0], x, y);
        axes.draw(&mut svg, "time", "size");
        axes.curve(&mut svg, &[(0.0, 0.5), (1.0, f64::NAN), (2.0, 3.0)], "#000");
        written("axes.svg", |path| {
            std::fs::write(path, svg.finish()).map_err(wavemix::Error::io("write", path))
        })
    };
    has_all(
        &svg((0.0, 2.0), (0.5, 3.0)),
        &["time", "size", "0.0", "0.5", "2.0", "3.0"],
    );
    // What no scale can be made of still gives a page.
    svg((1.0, 1.0), (f64::INFINITY, 0.0));
    svg((f64::NAN, 0.0), (2.0, 2.0));
}
