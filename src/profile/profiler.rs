//! Watching steps.

use std::time::Instant;

use super::record::{Names, Recorder};
use super::span::{Kind, Profile, Span};
use crate::autograd::trace::watch;
use crate::cuda::Recording;
use crate::tensor::timeline::{BATCH, Watch};
use crate::{Device, Result};

/// Takes a profile.
pub struct Profiler {
    began: Instant,
    recorder: Recorder,
    threads: Watch,
    kernels: Option<Recording>,
}

impl Profiler {
    /// Begins to watch: all threads' work on the CPU, and on a GPU the kernels of the steps. Work on
    /// other threads that has nothing to do with the steps is seen too.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn start(device: Device) -> Result<Profiler> {
        let kernels = match device {
            Device::Cpu => None,
            Device::Cuda(ordinal) => {
                let mut recording = Recording::start(ordinal)?;
                recording.pause();
                Some(recording)
            }
        };
        let began = Instant::now();
        Ok(Profiler {
            began,
            recorder: Recorder::new(began),
            threads: Watch::start(),
            kernels,
        })
    }

    /// Runs a step, and remembers what it does. A captured step that is replayed does nothing that
    /// can be seen.
    pub fn step<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let mut recorder = self.recorder.take();
        recorder.begin_step();
        self.kernels.as_mut().map(Recording::resume);
        let (mut recorder, result) = watch(recorder, body);
        self.kernels.as_mut().map(Recording::pause);
        recorder.end_step();
        self.recorder = recorder;
        result
    }

    /// Runs what lies between steps, under this name.
    pub fn between<R>(&mut self, name: &'static str, body: impl FnOnce() -> R) -> R {
        let begin = self.recorder.now();
        let result = body();
        self.recorder.between(name, begin);
        result
    }

    /// How many steps were watched.
    pub fn steps(&self) -> usize {
        self.recorder.steps()
    }

    /// What was measured; on a GPU, after waiting for it.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn finish(self) -> Result<Profile> {
        let launches = self.kernels.map_or(Ok(Vec::new()), Recording::finish)?;
        let since = |at: Instant| at.saturating_duration_since(self.began).as_nanos() as u64;
        let (wall, steps) = (since(Instant::now()), self.recorder.steps());
        let mut spans = self.recorder.into_spans();
        let mut tracks = vec!["training".to_owned()];
        let named = Names::of(&spans);
        for thread in self.threads.threads() {
            let track = tracks.len();
            for stretch in thread.stretches {
                let (begin, end) = (since(stretch.begin), since(stretch.end));
                let name = match stretch.what {
                    BATCH => BATCH.to_owned(),
                    _ => named.at(begin),
                };
                spans.push(Span::new(Kind::Work, track, name, [begin, end]));
            }
            tracks.push(thread.name);
        }
        let (track, mut free) = (tracks.len(), 0);
        if !launches.is_empty() {
            tracks.push("kernels of the GPU".into());
        }
        for launch in launches {
            // A stream runs one after the other; clocks are read to a microsecond or so.
            let begin = since(launch.begin).max(free);
            free = since(launch.end).max(begin);
            spans.push(Span {
                bytes: launch.bytes as u64,
                flops: launch.flops,
                ..Span::new(Kind::Kernel, track, launch.name, [begin, free])
            });
        }
        spans.sort_by_key(|span| {
            (
                span.track,
                span.begin,
                std::cmp::Reverse(span.end),
                span.kind,
            )
        });
        Ok(Profile {
            tracks,
            spans,
            steps,
            wall: wall.max(free),
        })
    }
}
