//! The alphabet as the hands use it: allographs parsed from the [`strokes`](super::strokes) they
//! are written down as.

use std::sync::LazyLock;

use super::strokes::ALPHABET;

/// A point that the pen passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) x: f32,
    pub(super) y: f32,
    /// Whether the pen turns sharply here.
    pub(super) corner: bool,
}

/// One way to write a letter.
#[derive(Debug)]
pub(super) struct Allograph {
    pub(super) weight: f32,
    pub(super) strokes: Vec<Vec<Node>>,
}

/// The names of the 47 classes, in EMNIST Balanced's order.
pub(super) fn names() -> Vec<String> {
    ALPHABET
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// All allographs, by class.
pub(super) static ALLOGRAPHS: LazyLock<Vec<Vec<Allograph>>> = LazyLock::new(|| {
    ALPHABET
        .iter()
        .map(|(_, ways)| ways.iter().map(|&(w, text)| parse(w, text)).collect())
        .collect()
});

fn parse(weight: f32, text: &str) -> Allograph {
    // The text is this file's own: a slip in it is a broken invariant, which the unit test below
    // would meet first.
    let node = |word: &str| {
        let (place, corner) = word
            .strip_suffix('!')
            .map_or((word, false), |place| (place, true));
        let (x, y) = place.split_once(',').expect("a point is x,y");
        let number = |s: &str| s.parse::<f32>().expect("a coordinate is a number");
        Node {
            x: number(x),
            y: number(y),
            corner,
        }
    };
    let strokes = text
        .split('/')
        .map(|stroke| stroke.split_whitespace().map(node).collect())
        .collect();
    Allograph { weight, strokes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allograph_parses_and_stays_in_the_box() {
        for (ways, name) in ALLOGRAPHS.iter().zip(names()) {
            assert!(
                ways.len() <= 16,
                "{name}: a hand has a random stream for 16 ways of a class"
            );
            for way in ways {
                assert!(way.weight > 0.0, "{name}");
                assert!(
                    way.strokes.iter().all(|stroke| stroke.len() >= 2),
                    "{name}: a stroke has two points at least"
                );
                for node in way.strokes.iter().flatten() {
                    assert!(
                        (0.0..=12.0).contains(&node.x) && (0.0..=14.0).contains(&node.y),
                        "{name}: {node:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_classes_are_those_of_emnist_balanced() {
        assert_eq!(
            names().concat(),
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
        );
    }
}
