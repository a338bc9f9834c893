//! The steps from a drawing to the image that the model gets.

use wavemix::data::glyphs::{Framing, Settings, Writers, generate};

use crate::prepare::{DRAWN, Prepared, SIDE, prepare, room};

/// A drawing with a filled rectangle: first row and column, rows and columns.
fn rectangle([top, left]: [usize; 2], [h, w]: [usize; 2]) -> Vec<u8> {
    let inside = |i: usize, first: usize, length: usize| (first..first + length).contains(&i);
    let is_ink = |i: usize| inside(i / DRAWN, top, h) && inside(i % DRAWN, left, w);
    (0..DRAWN * DRAWN)
        .map(|i| if is_ink(i) { 255 } else { 0 })
        .collect()
}

fn prepared(drawing: &[u8], framing: Framing) -> Prepared {
    prepare(drawing, framing).unwrap().expect("there is ink")
}

#[test]
fn the_box_fits_the_ink_and_the_longer_side_the_room() {
    for (framing, longer) in [(Framing::Mnist, 20), (Framing::Emnist, 24)] {
        assert_eq!(room(framing), longer);
        let image = prepared(&rectangle([7, 100], [160, 40]), framing);
        assert_eq!((image.rows, image.columns), (7..167, 100..140));
        assert_eq!(image.fitted.size, [longer, longer / 4, 1]);
        assert!(image.fitted.pixels.iter().all(|&pixel| pixel == 255));
        let image = prepared(&rectangle([0, 0], [224, 224]), framing);
        assert_eq!(image.fitted.size, [longer, longer, 1]);
        // A dot fills the room, a line a pixel wide keeps one.
        assert_eq!(
            prepared(&rectangle([200, 223], [1, 1]), framing)
                .fitted
                .size,
            [longer, longer, 1]
        );
        assert_eq!(
            prepared(&rectangle([0, 5], [224, 1]), framing).fitted.size,
            [longer, 1, 1]
        );
    }
}

#[test]
fn nothing_drawn_is_no_image() {
    assert!(
        prepare(&vec![0; DRAWN * DRAWN], Framing::Mnist)
            .unwrap()
            .is_none()
    );
    assert!(
        prepare(&vec![127; DRAWN * DRAWN], Framing::Mnist)
            .unwrap()
            .is_none()
    );
}

/// Where the image balances, in pixels from its upper left corner.
fn balance(pixels: &[u8]) -> [f64; 2] {
    let mass: f64 = pixels.iter().map(|&pixel| f64::from(pixel)).sum();
    [0, 1].map(|k| {
        let place = |i: usize| [i / SIDE, i % SIDE][k] as f64 + 0.5;
        let moment = pixels
            .iter()
            .enumerate()
            .map(|(i, &pixel)| place(i) * f64::from(pixel));
        moment.sum::<f64>() / mass
    })
}

#[test]
fn the_centre_of_mass_or_of_the_box_comes_to_the_middle() {
    // An L: most of its ink is below and to the left.
    let mut l = rectangle([20, 30], [160, 30]);
    for (ink, foot) in l.iter_mut().zip(rectangle([160, 30], [20, 110])) {
        *ink = (*ink).max(foot);
    }
    let image = prepared(&l, Framing::Mnist);
    for axis in balance(&image.image.pixels) {
        assert!((axis - 14.0).abs() <= 0.5, "{axis}");
    }
    let image = prepared(&l, Framing::Emnist);
    assert_eq!((image.fitted.size, image.corner), ([24, 17, 1], [2, 5]));
    assert!(
        balance(&image.image.pixels)
            .iter()
            .any(|axis| (axis - 14.0).abs() > 0.5)
    );
    // All of the ink stays in the image, 2 pixels from its edges.
    let mut hammer = rectangle([10, 10], [200, 2]);
    for (ink, head) in hammer.iter_mut().zip(rectangle([10, 10], [30, 200])) {
        *ink = (*ink).max(head);
    }
    let image = prepared(&hammer, Framing::Mnist);
    let ink = |pixels: &[u8]| pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
    assert_eq!(ink(&image.image.pixels), ink(&image.fitted.pixels));
    assert_eq!(image.corner[0], 28 - 2 - 20);
}

/// Glyphs that are framed already, drawn eight times as large, come out where they were.
#[test]
fn framed_glyphs_keep_their_frame() {
    for framing in [Framing::Mnist, Framing::Emnist] {
        let settings = Settings {
            framing,
            ..Settings::default()
        };
        let glyphs = generate(&settings, Writers::Test, 2).unwrap();
        let mut off = Vec::new();
        for i in 0..glyphs.len() {
            let glyph = glyphs.image(i);
            let at = |k: usize| k / DRAWN / 8 * SIDE + k % DRAWN / 8;
            let drawing: Vec<u8> = (0..DRAWN * DRAWN).map(|k| glyph[at(k)]).collect();
            let image = prepared(&drawing, framing);
            let pairs = image.image.pixels.iter().zip(glyph);
            off.push(pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 784.0);
        }
        // On average a twentieth of the range: half a pixel of drift, and edges.
        let mean = off.iter().sum::<f64>() / off.len() as f64;
        assert!(mean < 25.0, "{framing:?}: {mean}");
    }
}
