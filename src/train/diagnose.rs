//! Where a loss that is not finite came from.

use crate::autograd::trace::{Event, Watcher, watch};
use crate::data::Batch;
use crate::ops::{CrossEntropyOptions, cross_entropy};
use crate::train::trainer::Trainer;
use crate::{Error, Module, Pass, Result, Tensor};

/// Remembers the first op whose output is infinite or not a number.
#[derive(Default)]
struct FirstNonFinite {
    place: Option<String>,
}

impl Watcher for FirstNonFinite {
    fn forward(&mut self, event: Event<'_>) {
        if self.place.is_none() && !is_finite(event.output) {
            let scope = if event.scope.is_empty() {
                "the loss".to_owned()
            } else {
                event.scope
            };
            self.place = Some(format!("the output of `{}` in {scope}", event.op));
        }
    }
}

impl Trainer {
    /// Runs the batch again, with the same random numbers and everything watched, and says where it
    /// went wrong first.
    pub(super) fn why_not_finite(&self, batch: &Batch, loss: f64) -> Error {
        let parameter = self.params.entries().iter().map(|entry| &entry.name);
        let mut bad =
            parameter.filter(|name| self.params.get(name).is_ok_and(|value| !is_finite(&value)));
        let place = match bad.next() {
            Some(name) => format!("the parameter `{name}`"),
            None if !is_finite(&batch.inputs) => "the images".into(),
            None => {
                let again = || -> Result<()> {
                    let batch = self.uploaded(batch)?;
                    let pass = Pass::train(&self.params, self.step_rng())
                        .in_precision(self.settings.precision)?;
                    let images = self
                        .data
                        .pixels(&batch.inputs, self.settings.precision.compute())?;
                    let logits = self.model.forward(&pass, &images)?;
                    cross_entropy(&logits, &batch.targets, CrossEntropyOptions::default()).map(drop)
                };
                let (watcher, _) = watch(FirstNonFinite::default(), again);
                watcher
                    .place
                    .unwrap_or_else(|| "the loss, in a way that did not repeat".into())
            }
        };
        let (epoch, batch) = (self.at.epoch + 1, self.at.batch + 1);
        let kept = "; the last checkpoint stays as it was";
        let advice = format!("a lower --lr than {} may help", self.settings.lr);
        let what = format!(
            "the loss became {loss} in epoch {epoch}, batch {batch}: first non-finite is {place}{kept}; {advice}"
        );
        Error::NonFinite(what)
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    tensor.first_non_finite().is_ok_and(|value| value.is_none())
}
