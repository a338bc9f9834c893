//! The profile as a picture: one step, from the left to the right.

use std::collections::BTreeMap;
use std::path::Path;

use super::record::path as layer_path;
use super::span::{Kind, Profile, Span};
use crate::plots::{Bar, Row, Timeline, timeline};
use crate::{Error, Result};

/// Ops and kernels that have a colour of their own: those that take longest.
const COLORED: usize = 6;

/// What ends right before a step, within so many nanoseconds, belongs to its picture.
const BEFORE: u64 = 1_000_000;

impl Profile {
    /// Draws the step of median length, with the wait before it: phases, layers, ops, what threads
    /// do, and on a GPU its kernels.
    ///
    /// # Errors
    /// Where no step was watched; where the system refuses to write.
    pub fn draw(&self, path: impl AsRef<Path>, title: &str) -> Result<()> {
        let of = |kind: Kind| self.spans.iter().filter(move |span| span.kind == kind);
        let mut steps: Vec<&Span> = of(Kind::Step).collect();
        steps.sort_by_key(|step| step.duration());
        let Some(&step) = steps.get(steps.len() / 2) else {
            let what = "a profile without steps cannot be drawn";
            return Err(Error::Argument(what.into()));
        };
        let before = of(Kind::Between)
            .filter(|span| span.end <= step.begin && step.begin - span.end < BEFORE)
            .map(|span| span.begin);
        let window = [before.fold(step.begin, u64::min), step.end];
        let legend = self.longest(window);
        let mut rows = self.rows_of_training(window, &legend);
        for (track, label) in self.tracks.iter().enumerate().skip(1) {
            rows.push(Row {
                label: label.clone(),
                bars: self.bars(window, &legend, |span| {
                    (span.track == track).then_some(&span.name)
                }),
            });
        }
        rows.retain(|row| !row.bars.is_empty());
        let title = title.into();
        timeline(
            path,
            &Timeline {
                title,
                rows,
                legend,
            },
        )
    }

    /// The rows of the thread that trains.
    fn rows_of_training(&self, window: [u64; 2], legend: &[String]) -> Vec<Row> {
        let row = |label: &str, keep: &dyn for<'a> Fn(&'a Span) -> Option<&'a str>| Row {
            label: label.into(),
            bars: self.bars(window, legend, keep),
        };
        // A layer's name within the one that holds it, so many deep.
        fn layer(span: &Span, depth: usize) -> Option<&str> {
            let path = layer_path(&span.name);
            let holder = match depth {
                1 => 0,
                _ => path.get(depth - 2)?.len() + 1,
            };
            (span.kind == Kind::Layer && path.len() == depth).then(|| &span.name[holder..])
        }
        vec![
            row("phases", &|span| {
                matches!(span.kind, Kind::Phase | Kind::Between).then_some(&span.name)
            }),
            row("layers", &|span| layer(span, 1)),
            row("their parts", &|span| layer(span, 2)),
            row("ops", &|span| (span.kind == Kind::Op).then_some(&span.name)),
        ]
    }

    /// A bar for each span in the window that `label` gives a label to.
    fn bars<'a, L: AsRef<str> + ?Sized + 'a>(
        &'a self,
        window: [u64; 2],
        legend: &[String],
        label: impl Fn(&'a Span) -> Option<&'a L>,
    ) -> Vec<Bar> {
        let [first, last] = window;
        let ms = |at: u64| (at.clamp(first, last) - first) as f64 / 1e6;
        let within = self
            .spans
            .iter()
            .filter(|span| span.begin < last && span.end > first);
        within
            .filter_map(|span| {
                let label = label(span)?.as_ref().to_owned();
                let colored = matches!(span.kind, Kind::Op | Kind::Work | Kind::Kernel);
                let place = legend.iter().position(|name| *name == span.name);
                Some(Bar {
                    begin: ms(span.begin),
                    end: ms(span.end),
                    label,
                    color: place.filter(|_| colored),
                })
            })
            .collect()
    }

    /// The names of the ops, or on a GPU of the kernels, that took longest in this window.
    fn longest(&self, [first, last]: [u64; 2]) -> Vec<String> {
        let gpu = self.spans.iter().any(|span| span.kind == Kind::Kernel);
        let kind = if gpu { Kind::Kernel } else { Kind::Op };
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        let within = self
            .spans
            .iter()
            .filter(|span| span.begin >= first && span.end <= last);
        for span in within.filter(|span| span.kind == kind) {
            *times.entry(&span.name).or_default() += span.duration();
        }
        let mut names: Vec<(&str, u64)> = times.into_iter().collect();
        names.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let names = names.into_iter().take(COLORED);
        names.map(|(name, _)| name.to_owned()).collect()
    }
}
