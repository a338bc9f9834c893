//! Where a loss that is not finite came from.

use crate::autograd::trace::{Event, Watcher, watch};
use crate::data::Batch;
use crate::train::forward::outputs;
use crate::train::trainer::Trainer;
use crate::{Error, Pass, Result, Tensor};

/// What is not finite where the model had no part in it.
const INPUTS: &str = "the inputs";

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
            None if !is_finite(&batch.inputs) => INPUTS.into(),
            None => {
                let again = || -> Result<()> {
                    let batch = self.uploaded(batch)?;
                    let precision = self.config.precision;
                    let pass =
                        Pass::train(&self.params, self.step_rng()).in_precision(precision)?;
                    let inputs = self.data.inputs(&batch.inputs, precision.compute())?;
                    let outputs = outputs(&*self.model, &pass, inputs)?;
                    self.config.objective.of(&outputs, &batch.targets).map(drop)
                };
                let (watcher, _) = watch(FirstNonFinite::default(), again);
                watcher
                    .place
                    .unwrap_or_else(|| "the loss, in a way that did not repeat".into())
            }
        };
        let (epoch, batch) = (self.at.epoch + 1, self.at.batch + 1);
        let kept = "; the last checkpoint stays as it was";
        let advice = if place == INPUTS {
            "the data need a look".into()
        } else {
            self.lower_lr()
        };
        let what = format!(
            "the loss became {loss} in epoch {epoch}, batch {batch}: first non-finite is {place}{kept}; {advice}"
        );
        Error::NonFinite(what)
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    tensor.first_non_finite().is_ok_and(|value| value.is_none())
}
