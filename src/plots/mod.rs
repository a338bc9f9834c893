//! Pictures as SVG: of a training run, learning curves, the confusion matrix, the worst mistakes;
//! of a computation, its graph; of what a model sees, feature maps, occlusion, classes of pixels; of
//! several models, accuracy against size; of a profile, what happened when; and a page with axes for drawings of your own.
//!
//! SVG is text: it takes a page to write shapes on and no library, and any browser shows it at any
//! size.

mod axes;
#[cfg(feature = "pictures")]
mod colors;
mod confusion;
mod curves;
#[cfg(feature = "pictures")]
mod feature_maps;
mod graph;
#[cfg(feature = "pictures")]
mod mistakes;
#[cfg(feature = "pictures")]
mod occlusion;
#[cfg(feature = "pictures")]
mod page;
mod scatter;
#[cfg(feature = "pictures")]
mod segmentation;
mod svg;
mod timeline;

pub use axes::Axes;
#[cfg(feature = "pictures")]
pub use colors::CITYSCAPES_COLORS;
pub use confusion::confusion;
pub use curves::{Curve, Panel, curves};
#[cfg(feature = "pictures")]
pub use feature_maps::{FeatureMap, ModelMaps, feature_maps};
pub use graph::graph;
#[cfg(feature = "pictures")]
pub use mistakes::{Mistake, mistakes, mistakes_png, mistakes_table};
#[cfg(feature = "pictures")]
pub use occlusion::{Occluded, Occlusion, Squares, occlusion};
pub use scatter::{Point, Scatter, scatter};
#[cfg(feature = "pictures")]
pub use segmentation::{Segmented, label_colors, segmentation};
pub use svg::{Style, Svg};
pub use timeline::{Bar, Row, Timeline, timeline};

/// The colours of text and lines: near black, grey, and the pale grey of a grid.
const INK: &str = "#1f2328";
const GREY: &str = "#6a737d";
const GRID: &str = "#e6e8eb";

/// A count with a comma between thousands: 112,800.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A fraction as a percentage with as many digits as say something: 100 %, 99.75 %, 91.4 %, 0.52 %.
fn percent(fraction: f64) -> String {
    let value = fraction * 100.0;
    match value {
        100.0 => "100 %".to_owned(),
        _ if (1.0..99.0).contains(&value) => format!("{value:.1} %"),
        _ => format!("{value:.2} %"),
    }
}
