//! Colours that stand for numbers and for classes.

/// The colours of matplotlib's map `viridis` at 0, 1/8 .. 1: dark blue, green, yellow, as bright as
/// the number is large.
const VIRIDIS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];

/// The colour of a number from 0 to 1, and of one beyond these that of the nearer.
pub(super) fn color(x: f64) -> [u8; 3] {
    let at = x.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let i = (at as usize).min(VIRIDIS.len() - 2);
    let mix = |c: usize| VIRIDIS[i][c] + (VIRIDIS[i + 1][c] - VIRIDIS[i][c]) * (at - i as f64);
    [0, 1, 2].map(|c| mix(c).round() as u8)
}

/// Whether black letters are read better than white ones on this colour.
pub(super) fn is_bright([r, g, b]: [u8; 3]) -> bool {
    0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b) > 140.0
}

/// The names and colours of Cityscapes' 19 classes, in the order of their train ids.
///
/// Source: `labels.py` of the data set's scripts.
pub const CITYSCAPES_COLORS: [(&str, [u8; 3]); 19] = [
    ("road", [128, 64, 128]),
    ("sidewalk", [244, 35, 232]),
    ("building", [70, 70, 70]),
    ("wall", [102, 102, 156]),
    ("fence", [190, 153, 153]),
    ("pole", [153, 153, 153]),
    ("traffic light", [250, 170, 30]),
    ("traffic sign", [220, 220, 0]),
    ("vegetation", [107, 142, 35]),
    ("terrain", [152, 251, 152]),
    ("sky", [70, 130, 180]),
    ("person", [220, 20, 60]),
    ("rider", [255, 0, 0]),
    ("car", [0, 0, 142]),
    ("truck", [0, 0, 70]),
    ("bus", [0, 60, 100]),
    ("train", [0, 80, 100]),
    ("motorcycle", [0, 0, 230]),
    ("bicycle", [119, 11, 32]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_brighter() {
        let ends = [color(-1.0), color(0.0), color(1.0), color(f64::INFINITY)];
        let [dark, bright] = [[68, 1, 84], [253, 231, 37]];
        assert_eq!(ends, [dark, dark, bright, bright]);
        // Halfway from the fifth colour to the sixth.
        assert_eq!(color(4.5 / 8.0), [36, 159, 135]);
        assert!(is_bright(bright) && !is_bright(dark));
    }
}
