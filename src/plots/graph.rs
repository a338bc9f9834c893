//! Drawing a computation graph, in layers from the leaves down to the loss.
//!
//! The method is Sugiyama's (1981), as in Graphviz. Each box gets a layer below those of its
//! inputs; a line across several layers gets a bend in each of them, which is a box without size;
//! boxes of a layer are ordered by the mean place of their neighbours, so that few lines cross; and
//! each box is then moved as near to that mean as those beside it allow.

use std::path::Path;

use super::svg::{Style, Svg, text_width};
use super::{GREY, INK};
use crate::Result;
use crate::autograd::graph::Graph;
use crate::io::atomic;

/// Letters, the height of a line of them, and the space between boxes: beside and below.
const LETTERS: f64 = 12.0;
const LINE: f64 = 16.0;
const APART: [f64; 2] = [22.0, 34.0];
/// How far apart the lines arrive that end at one box.
const ARRIVALS: f64 = 22.0;
/// How often boxes are ordered and moved, downwards and upwards.
const SWEEPS: usize = 12;

const SOURCE: &str = "#dce9f7";
const OP: &str = "#f4f5f7";
const LAST: &str = "#fbe3d6";
const CONSTANT: &str = "#ffffff";

/// Writes a computation graph as SVG, the leaves at the top and what was computed at the bottom.
///
/// ```no_run
/// use wavemix::{Tensor, Var, plots};
/// let x = Var::leaf(Tensor::from_vec(vec![1.0, 2.0], [2])?);
/// let loss = x.square()?.sum_all()?;
/// plots::graph("graph.svg", &loss.graph().with_label(&x, "x")?)?;
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// # Errors
/// Where the system refuses to write.
pub fn graph(path: impl AsRef<Path>, graph: &Graph) -> Result<()> {
    let mut drawing = Drawing::new(graph);
    drawing.order();
    drawing.settle();
    let svg = drawing.page();
    atomic::write_atomic(path, |out| out.write_all(svg.finish().as_bytes()))
}

/// A box with text, or a bend of a line, which has neither.
struct Cell {
    lines: Vec<String>,
    fill: &'static str,
    size: [f64; 2],
    layer: usize,
    /// Its middle, from left to right.
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

struct Drawing {
    cells: Vec<Cell>,
    /// The cells of each layer, from left to right.
    layers: Vec<Vec<usize>>,
    /// Each line of the drawing: the cells that it passes, the last one being the box it ends at;
    /// and how far from the middle of that it ends.
    lines: Vec<(Vec<usize>, f64)>,
}

impl Drawing {
    fn new(graph: &Graph) -> Drawing {
        let nodes = graph.nodes();
        let mut cells: Vec<Cell> = Vec::new();
        let mut edges = Vec::new();
        // Constants have no node, so a node's place among the cells is another than in the graph.
        let mut places = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let mut layer = 0;
            let mut from = Vec::new();
            for input in &node.inputs {
                let cell = match input {
                    Some(input) => places[*input],
                    None => {
                        cells.push(Cell::new(vec!["constant".into()], CONSTANT, 0));
                        cells.len() - 1
                    }
                };
                layer = layer.max(cells[cell].layer + 1);
                from.push(cell);
            }
            let fill = match () {
                () if node.is_source() => SOURCE,
                () if i + 1 == nodes.len() => LAST,
                () => OP,
            };
            cells.push(Cell::new(node.lines(), fill, layer));
            let to = cells.len() - 1;
            places.push(to);
            edges.extend((0..).zip(&from).map(|(k, &cell)| {
                let middle = (from.len() - 1) as f64 / 2.0;
                (cell, to, (f64::from(k) - middle) * ARRIVALS)
            }));
        }
        let mut drawing = Drawing {
            cells,
            layers: Vec::new(),
            lines: Vec::new(),
        };
        drawing.lower_sources(&edges);
        edges
            .into_iter()
            .for_each(|(from, to, shift)| drawing.connect(from, to, shift));
        drawing
    }

    /// What has no inputs stands just above the first that takes it.
    fn lower_sources(&mut self, edges: &[(usize, usize, f64)]) {
        for i in 0..self.cells.len() {
            let takers = edges.iter().filter(|(from, ..)| *from == i);
            let first = takers.map(|(_, to, _)| self.cells[*to].layer).min();
            let has_inputs = edges.iter().any(|(_, to, _)| *to == i);
            if let (Some(first), false) = (first, has_inputs) {
                self.cells[i].layer = first - 1;
            }
        }
        let count = self.cells.iter().map(|cell| cell.layer + 1).max();
        self.layers = vec![Vec::new(); count.unwrap_or(0)];
        for (i, cell) in self.cells.iter().enumerate() {
            self.layers[cell.layer].push(i);
        }
    }

    /// A line, with a bend in each layer between.
    fn connect(&mut self, from: usize, to: usize, shift: f64) {
        let mut line = vec![from];
        for layer in self.cells[from].layer + 1..self.cells[to].layer {
            self.cells.push(Cell::new(Vec::new(), CONSTANT, layer));
            let bend = self.cells.len() - 1;
            self.layers[layer].push(bend);
            line.push(bend);
        }
        line.push(to);
        for pair in line.windows(2) {
            self.cells[pair[0]].below.push(pair[1]);
            self.cells[pair[1]].above.push(pair[0]);
        }
        self.lines.push((line, shift));
    }

    /// Orders the boxes of each layer by the mean place of their neighbours, in the layer above on
    /// the way down and in that below on the way up.
    fn order(&mut self) {
        for layer in self.layers.clone() {
            (0..)
                .zip(&layer)
                .for_each(|(k, &i)| self.cells[i].x = k.into());
        }
        for sweep in 0..SWEEPS {
            let downwards = sweep % 2 == 0;
            for k in 0..self.layers.len() {
                let k = if downwards {
                    k
                } else {
                    self.layers.len() - 1 - k
                };
                let mut layer = std::mem::take(&mut self.layers[k]);
                let mean = |i: usize| self.cells[i].mean(&self.cells, downwards);
                let means: Vec<f64> = layer.iter().map(|&i| mean(i)).collect();
                let mut order: Vec<usize> = (0..layer.len()).collect();
                order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
                layer = order.into_iter().map(|at| layer[at]).collect();
                (0..)
                    .zip(&layer)
                    .for_each(|(x, &i)| self.cells[i].x = x.into());
                self.layers[k] = layer;
            }
        }
    }

    /// Moves the boxes of each layer to the mean place of their neighbours, as far as those beside
    /// them allow.
    fn settle(&mut self) {
        for sweep in 0..=SWEEPS {
            let downwards = sweep % 2 == 0;
            for k in 0..self.layers.len() {
                let k = if downwards {
                    k
                } else {
                    self.layers.len() - 1 - k
                };
                let layer = &self.layers[k];
                let wanted: Vec<f64> = layer
                    .iter()
                    .map(|&i| self.cells[i].mean(&self.cells, downwards))
                    .collect();
                let widths: Vec<f64> = layer.iter().map(|&i| self.cells[i].size[0]).collect();
                for (x, &i) in side_by_side(&wanted, &widths).into_iter().zip(layer) {
                    self.cells[i].x = x;
                }
            }
        }
    }

    fn page(&self) -> Svg {
        let edge = |side: f64| self.cells.iter().map(move |c| c.x + side * c.size[0] / 2.0);
        let left = edge(-1.0).fold(0.0, f64::min) - APART[0];
        let right = edge(1.0).fold(0.0, f64::max) + APART[0];
        let mut tops = Vec::new();
        let mut bottom = APART[0];
        for layer in &self.layers {
            let height = layer
                .iter()
                .map(|&i| self.cells[i].size[1])
                .fold(0.0, f64::max);
            tops.push((bottom, height));
            bottom += height + APART[1];
        }
        let mut svg = Svg::new(right - left, (bottom - APART[1]).max(0.0) + APART[0]);
        // Where a cell's upper or lower edge is, in the middle of its layer.
        let at = |cell: &Cell, side: f64| {
            let (top, height) = tops[cell.layer];
            [
                cell.x - left,
                top + height / 2.0 + side * cell.size[1] / 2.0,
            ]
        };
        for (line, shift) in &self.lines {
            let (from, to) = (&self.cells[line[0]], &self.cells[line[line.len() - 1]]);
            let mut points = vec![at(from, 1.0)];
            for &bend in &line[1..line.len() - 1] {
                let (top, height) = tops[self.cells[bend].layer];
                points.extend([top, top + height].map(|y| [self.cells[bend].x - left, y]));
            }
            let [x, y] = at(to, -1.0);
            points.push([x + shift, y]);
            arrow(&mut svg, &points);
        }
        for cell in self.cells.iter().filter(|cell| !cell.lines.is_empty()) {
            let [x, y] = at(cell, -1.0);
            svg.rect([x - cell.size[0] / 2.0, y], cell.size, cell.fill);
            svg.frame([x - cell.size[0] / 2.0, y], cell.size, GREY);
            for (k, line) in (0..).zip(&cell.lines) {
                let base = y + LINE * (f64::from(k) + 1.0);
                svg.text([x, base], Style::new(LETTERS, INK).middle(), line);
            }
        }
        svg
    }
}

impl Cell {
    fn new(lines: Vec<String>, fill: &'static str, layer: usize) -> Cell {
        let widths = lines.iter().map(|line| text_width(line, LETTERS));
        let width = widths.fold(0.0, f64::max);
        let height = LINE * lines.len() as f64;
        Cell {
            size: if lines.is_empty() {
                [0.0, 0.0]
            } else {
                [width + 16.0, height + 8.0]
            },
            lines,
            fill,
            layer,
            x: 0.0,
            above: Vec::new(),
            below: Vec::new(),
        }
    }

    /// The mean place of the cells above, or of those below; its own where there are none.
    fn mean(&self, cells: &[Cell], of_those_above: bool) -> f64 {
        let near = if of_those_above {
            &self.above
        } else {
            &self.below
        };
        if near.is_empty() {
            return self.x;
        }
        near.iter().map(|&i| cells[i].x).sum::<f64>() / near.len() as f64
    }
}

/// The places nearest to those wanted, by the sum of squares, at which things of these widths stand
/// beside each other in this order.
///
/// Without the widths, which are taken off first, the places only have to rise: isotonic
/// regression. Neighbours that want to pass each other are pooled, and stand at the mean of what
/// they want.
fn side_by_side(wanted: &[f64], widths: &[f64]) -> Vec<f64> {
    let mut offsets = vec![0.0; wanted.len()];
    for i in 1..wanted.len() {
        offsets[i] = offsets[i - 1] + (widths[i - 1] + widths[i]) / 2.0 + APART[0];
    }
    // Pools: the mean of what their members want, and how many they are.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (want - offset, 1);
        while let Some(&(mean, count)) = pools.last().filter(|last| last.0 > pool.0) {
            let all = count + pool.1;
            pool = (
                (mean * count as f64 + pool.0 * pool.1 as f64) / all as f64,
                all,
            );
            pools.pop();
        }
        pools.push(pool);
    }
    let places = pools
        .into_iter()
        .flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    places
        .zip(&offsets)
        .map(|(place, offset)| place + offset)
        .collect()
}

/// A line through points with a head at its end.
fn arrow(svg: &mut Svg, points: &[[f64; 2]]) {
    let [.., [fx, fy], [tx, ty]] = points else {
        return;
    };
    svg.line(points, GREY, 1.2);
    let length = (tx - fx).hypot(ty - fy).max(1e-9);
    let (ux, uy) = ((tx - fx) / length, (ty - fy) / length);
    let corner = |side: f64| {
        [
            tx - 7.0 * ux - side * 3.0 * uy,
            ty - 7.0 * uy + side * 3.0 * ux,
        ]
    };
    svg.polygon(&[[*tx, *ty], corner(1.0), corner(-1.0)], GREY);
}

#[cfg(test)]
mod tests {
    use super::side_by_side;

    #[test]
    fn what_wants_one_place_is_spread_around_it() {
        // Two of width 8, 22 apart, that both want to stand at 10.
        assert_eq!(side_by_side(&[10.0, 10.0], &[8.0, 8.0]), [-5.0, 25.0]);
        // Who has space stands where it wants.
        assert_eq!(side_by_side(&[0.0, 100.0], &[8.0, 8.0]), [0.0, 100.0]);
        // Order is kept.
        assert_eq!(side_by_side(&[40.0, 0.0], &[8.0, 8.0]), [5.0, 35.0]);
    }
}
