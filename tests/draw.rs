//! The example `draw`: how drawings are prepared, what the server says of them, whom it refuses,
//! and the page in a browser.

#![cfg(unix)]

mod built;
mod files;

#[path = "draw/browser.rs"]
mod browser;
#[path = "draw/hostile.rs"]
mod hostile;
#[path = "draw/preparation.rs"]
mod preparation;
// Examples are formatted with settings of their own.
#[rustfmt::skip]
#[path = "../examples/draw/prepare.rs"]
mod prepare;
#[path = "draw/replies.rs"]
mod replies;
#[path = "draw/server.rs"]
mod server;
#[path = "draw/weights.rs"]
mod weights;

/// Characters as strokes in a square of 224 pixels, those that the page draws by itself.
const CHARACTERS: [(&str, &[&[[f32; 2]]]); 3] = [
    ("7", &[&[[58., 52.], [168., 50.], [100., 186.]]]),
    (
        "T",
        &[&[[48., 52.], [176., 52.]], &[[112., 52.], [112., 184.]]],
    ),
    (
        "e",
        &[&[
            [66., 122.],
            [170., 118.],
            [170., 114.],
            [165., 92.],
            [149., 74.],
            [127., 64.],
            [102., 63.],
            [79., 71.],
            [62., 88.],
            [54., 109.],
            [57., 132.],
            [71., 151.],
            [92., 163.],
            [117., 166.],
            [141., 159.],
            [160., 144.],
        ]],
    ),
];

/// The drawing of these strokes, 224x224 bytes: 255 within the pen's reach, 0 elsewhere.
fn drawn(strokes: &[&[[f32; 2]]]) -> Vec<u8> {
    let far = |p: [f32; 2], a: [f32; 2], b: [f32; 2]| {
        let along = [b[0] - a[0], b[1] - a[1]];
        let square = along[0] * along[0] + along[1] * along[1];
        let t = ((p[0] - a[0]) * along[0] + (p[1] - a[1]) * along[1]) / square.max(1e-6);
        let t = t.clamp(0.0, 1.0);
        (p[0] - a[0] - t * along[0]).hypot(p[1] - a[1] - t * along[1])
    };
    let pixel = |i: usize| {
        let p = [i % 224, i / 224].map(|x| x as f32 + 0.5);
        let mut lines = strokes.iter().flat_map(|stroke| stroke.windows(2));
        let inked = lines.any(|line| far(p, line[0], line[1]) < 8.5);
        if inked { 255 } else { 0 }
    };
    (0..224 * 224).map(pixel).collect()
}
