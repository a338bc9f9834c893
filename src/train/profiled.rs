//! `profile.json` and `profile.svg`: some steps of a run, looked into.

use std::time::{Duration, Instant};

use crate::console::{Stderr, quoted};
use crate::data::{Batch, Batches};
use crate::profile::Profiler;
use crate::train::profiling::{Profiling, WARM_UP};
use crate::train::progress::Progress;
use crate::train::trainer::Trainer;
use crate::{Device, Result};

impl Trainer {
    /// Whether this step is watched.
    pub(super) fn looked_into(&self) -> bool {
        self.watched
    }

    /// The next batch, and how long it was waited for.
    pub(super) fn next_batch(
        &mut self,
        batches: &mut Batches,
        waited: &mut Duration,
    ) -> Result<Option<Batch>> {
        let asked = Instant::now();
        let profiler = self.profiling.as_mut().and_then(|of| of.profiler.as_mut());
        let profiler = profiler.filter(|_| batches.len() > 0);
        let batch = match profiler {
            Some(profiler) => profiler.between("wait for a batch", || batches.next()),
            None => batches.next(),
        };
        let batch = batch.transpose()?;
        if batch.is_some() {
            *waited += asked.elapsed();
        }
        Ok(batch)
    }

    /// A step, watched where it is one of those to profile.
    pub(super) fn step_in_profile(&mut self, batch: &Batch, bar: &Progress) -> Result<()> {
        let Some(mut profiling) = self.profiling.take() else {
            return self.step(batch);
        };
        let Some(profiler) = &mut profiling.profiler else {
            profiling.warm_up -= 1;
            self.step(batch)?;
            if profiling.warm_up == 0 {
                profiling.profiler = Some(Profiler::start(self.params.device())?);
            }
            self.profiling = Some(profiling);
            return Ok(());
        };
        self.watched = true;
        let done = profiler.step(|| self.step(batch));
        self.watched = false;
        profiling.left -= 1;
        let over = profiling.left == 0;
        self.profiling = Some(profiling);
        done?;
        if over {
            bar.suspend(|| self.end_profile())?;
        }
        Ok(())
    }

    /// Writes the profile, of the steps that there were, and says what it shows.
    pub(super) fn end_profile(&mut self) -> Result<()> {
        let Some(Profiling { profiler, .. }) = self.profiling.take() else {
            return Ok(());
        };
        let asked = self.config.setting("profile");
        let Some(profiler) = profiler.filter(|profiler| profiler.steps() > 0) else {
            writeln!(
                Stderr,
                "nothing was profiled: {asked} begins after {WARM_UP} steps, and the run ended before"
            );
            return Ok(());
        };
        let profile = profiler.finish()?;
        let [json, svg] = ["profile.json", "profile.svg"].map(|name| self.folder.join(name));
        let (model, device) = (&self.description.name, self.params.device());
        let (batch, threads) = (self.data.train.batch_size(), rayon::current_num_threads());
        let on = match device {
            Device::Cpu => format!("{threads} threads"),
            gpu => gpu.to_string(),
        };
        profile.write(&json)?;
        profile.draw(
            &svg,
            &format!("A step of {model} with batches of {batch}, on {on}"),
        )?;
        if !self.config.quiet {
            writeln!(
                Stderr,
                "{profile}\nprofile: {} (open it in https://ui.perfetto.dev), {}",
                quoted(&json),
                quoted(&svg)
            );
        }
        Ok(())
    }
}
