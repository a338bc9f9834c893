//! Planes of numbers, and how they are drawn.

use wavemix::plots::Svg;

/// Rows of elements.
pub type Plane = Vec<Vec<f64>>;

/// A plane in shades of grey; where `signed`, from blue over white to red. Neighbours of one shade
/// are one rectangle.
pub fn show(svg: &mut Svg, [left, top]: [f64; 2], side: f64, plane: &Plane, signed: bool) {
    let most = plane.iter().flatten().fold(1e-9f64, |most, x| most.max(x.abs()));
    let shade = |x: f64| (8.0 * x / most).round() as i32;
    let size = side / plane.len() as f64;
    for (i, row) in plane.iter().enumerate() {
        let mut from = 0;
        for j in 1..=row.len() {
            let here = shade(row[from]);
            if j < row.len() && shade(row[j]) == here {
                continue;
            }
            let pale = 255 - 28 * here.abs();
            let color = match (signed, here < 0) {
                (false, _) => format!("rgb({pale},{pale},{pale})"),
                (true, true) => format!("rgb({pale},{pale},255)"),
                (true, false) => format!("rgb(255,{pale},{pale})"),
            };
            let place = [left + from as f64 * size, top + i as f64 * size];
            svg.rect(place, [(j - from) as f64 * size, size + 0.2], &color);
            from = j;
        }
    }
    svg.frame([left, top], [side, side], "#6a737d");
}
