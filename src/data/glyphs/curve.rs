//! From the few points of a stroke to the line the pen draws.

use super::alphabet::Node;

/// A place on paper, in units of the letter box.
pub(super) type Point = [f32; 2];

/// Distance between two neighbouring points of a traced line.
pub(super) const STEP: f32 = 0.4;

/// The smooth line through the points of a stroke, in points `STEP` apart.
///
/// Between two corners the line is a centripetal Catmull-Rom spline: it passes every point, and it
/// neither loops nor cusps between them (Yuksel, Schaefer, Keyser, "On the parameterization of
/// Catmull-Rom curves", 2009).
pub(super) fn trace(nodes: &[Node]) -> Vec<Point> {
    let mut dense = Vec::with_capacity(nodes.len() * 8);
    let mut from = 0;
    for to in 1..nodes.len() {
        if nodes[to].corner || to + 1 == nodes.len() {
            spline(&nodes[from..=to], &mut dense);
            from = to;
        }
    }
    resample(&dense)
}

fn spline(nodes: &[Node], out: &mut Vec<Point>) {
    let point = |i: usize| [nodes[i].x, nodes[i].y];
    let last = nodes.len() - 1;
    // Past its ends a line keeps half of its bend, as a hand does.
    let beyond =
        |a: Point, b: Point, c: Point| [0, 1].map(|k| 2.5 * a[k] - 2.0 * b[k] + 0.5 * c[k]);
    let first_ghost = beyond(point(0), point(1), point(last.min(2)));
    let last_ghost = beyond(point(last), point(last - 1), point(last.saturating_sub(2)));
    for i in 0..last {
        let p = [
            if i == 0 { first_ghost } else { point(i - 1) },
            point(i),
            point(i + 1),
            if i + 1 == last {
                last_ghost
            } else {
                point(i + 2)
            },
        ];
        // Knots grow with the square root of the distance; the bound keeps coincident points from
        // dividing by zero.
        let gap = |a: Point, b: Point| distance(a, b).sqrt().max(0.05);
        let (d0, d1, d2) = (gap(p[0], p[1]), gap(p[1], p[2]), gap(p[2], p[3]));
        let slope = |k: usize| {
            let (a, b, c) = (
                (p[1][k] - p[0][k]) / d0,
                (p[2][k] - p[1][k]) / d1,
                (p[3][k] - p[2][k]) / d2,
            );
            let out = a - (p[2][k] - p[0][k]) / (d0 + d1) + b;
            let into = b - (p[3][k] - p[1][k]) / (d1 + d2) + c;
            [out * d1, into * d1]
        };
        let slopes = [slope(0), slope(1)];
        let pieces = (distance(p[1], p[2]) / STEP).ceil().max(1.0) as usize + 2;
        for piece in 0..=pieces {
            let t = piece as f32 / pieces as f32;
            let (t2, t3) = (t * t, t * t * t);
            // Hermite's cubic: values at both ends and slopes at both ends.
            out.push([0, 1].map(|k| {
                (2.0 * t3 - 3.0 * t2 + 1.0) * p[1][k]
                    + (t3 - 2.0 * t2 + t) * slopes[k][0]
                    + (3.0 * t2 - 2.0 * t3) * p[2][k]
                    + (t3 - t2) * slopes[k][1]
            }));
        }
    }
}

/// The same line in points about `STEP` apart; at least two.
fn resample(line: &[Point]) -> Vec<Point> {
    let length: f32 = line.windows(2).map(|pair| distance(pair[0], pair[1])).sum();
    let pieces = (length / STEP).round().max(1.0);
    let step = length / pieces;
    let (mut out, mut walked) = (vec![line[0]], 0.0);
    for pair in line.windows(2) {
        let leg = distance(pair[0], pair[1]);
        while leg > 0.0 && (out.len() as f32) < pieces && out.len() as f32 * step <= walked + leg {
            let t = (out.len() as f32 * step - walked) / leg;
            out.push([0, 1].map(|k| pair[0][k] + t * (pair[1][k] - pair[0][k])));
        }
        walked += leg;
    }
    out.push(line[line.len() - 1]);
    out
}

/// Rounds the corners: `times` averages of each point with its neighbours; the ends stay.
pub(super) fn round_off(line: &mut [Point], times: usize) {
    for _ in 0..times {
        let mut before = line[0];
        for i in 1..line.len() - 1 {
            let here = line[i];
            line[i] = [0, 1].map(|k| 0.25 * before[k] + 0.5 * here[k] + 0.25 * line[i + 1][k]);
            before = here;
        }
    }
}

pub(super) fn distance(a: Point, b: Point) -> f32 {
    ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_passes_its_points_and_turns_at_corners() {
        let nodes = [
            (0.0, 0.0, false),
            (6.0, 0.0, true),
            (6.0, 6.0, false),
            (2.0, 9.0, false),
        ];
        let line = trace(&nodes.map(|(x, y, corner)| Node { x, y, corner }));
        for (x, y, _) in nodes {
            assert!(
                line.iter().any(|&p| distance(p, [x, y]) < STEP),
                "the line misses {x},{y}"
            );
        }
        assert!(
            line.iter()
                .filter(|p| p[0] < 5.9 && p[1] < 3.0)
                .all(|p| p[1].abs() < 1e-5),
            "no bend before the corner"
        );
        assert!(
            line.windows(2)
                .all(|pair| distance(pair[0], pair[1]) < 1.5 * STEP)
        );
    }
}
