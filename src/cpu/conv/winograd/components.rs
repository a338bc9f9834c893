//! A convolution as a sum of convolutions of stride 1, which Winograd's algorithm needs. (The other
//! algorithms take a strided convolution as it is: they read its windows at the stride.)
//!
//! With stride s, output j reads input `s j + offset` through each tap. Taps whose offsets have the
//! same remainder by s read only every s-th input, and among those they move by one from output to
//! output: they are a convolution of stride 1 over a subsampled input, a *polyphase component*. A
//! kernel of 4 with stride 2 has two components, of two taps each:
//!
//! ```text
//! y[j] = x[2 j] g[0] + x[2 j + 1] g[1] + x[2 j + 2] g[2] + x[2 j + 3] g[3]
//!      = (e[j] g[0] + e[j + 1] g[2])  +  (o[j] g[1] + o[j + 1] g[3])
//! with e[j] = x[2 j] and o[j] = x[2 j + 1]
//! ```

use crate::cpu::conv::plan::{Phase, Tap};

/// A polyphase component: along one axis, output j reads input `step (j + t) + first` through tap t.
pub(crate) struct Component {
    pub first: isize,
    pub step: usize,
    /// Kernel indices.
    pub taps: Vec<usize>,
}

/// The polyphase components of a convolution's phases along both axes, of equally many taps each.
pub(crate) struct Components {
    /// For each axis and phase.
    pub of_phases: [Vec<Vec<Component>>; 2],
    /// Of every component: 2 or 3.
    pub taps: usize,
}

impl Components {
    /// Of vertical and horizontal phases, if every component has two adjacent taps, or every one
    /// has three.
    pub fn of(phases: [&[Phase]; 2]) -> Option<Components> {
        let axis = |phases: &[Phase]| phases.iter().map(components).collect::<Option<Vec<_>>>();
        let of_phases = [axis(phases[0])?, axis(phases[1])?];
        let mut counts = of_phases
            .iter()
            .flatten()
            .flatten()
            .map(|component| component.taps.len());
        let taps = counts.next()?;
        (matches!(taps, 2 | 3) && counts.all(|count| count == taps))
            .then_some(Components { of_phases, taps })
    }

    /// Whether every output is the result of one component, not a sum of several.
    pub fn has_one_component(&self) -> bool {
        self.of_phases
            .iter()
            .flatten()
            .all(|phase| phase.len() == 1)
    }
}

/// The components of a phase, if the taps of each are adjacent.
fn components(phase: &Phase) -> Option<Vec<Component>> {
    let step = phase.stride;
    let component = |remainder: usize| {
        let own = |tap: &&Tap| tap.offset.rem_euclid(step as isize) == remainder as isize;
        let taps: Vec<Tap> = phase.taps.iter().filter(own).copied().collect();
        let adjacent = taps
            .windows(2)
            .all(|pair| pair[1].offset - pair[0].offset == step as isize);
        (adjacent && !taps.is_empty()).then(|| Component {
            first: taps[0].offset,
            step,
            taps: taps.iter().map(|tap| tap.kernel).collect(),
        })
    };
    (0..step).map(component).collect()
}

/// A vertical and a horizontal component, in each combination.
pub(super) fn pairs<'a>(
    vertical: &'a [Component],
    horizontal: &'a [Component],
) -> Vec<[&'a Component; 2]> {
    vertical
        .iter()
        .flat_map(|v| horizontal.iter().map(move |h| [v, h]))
        .collect()
}
