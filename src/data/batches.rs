//! Batches as they come, prepared ahead on threads of their own, so that the model never waits for
//! them.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use crate::tensor::timeline;
use crate::{Error, Result, Tensor, Var};

/// Some samples, each a row of two tensors.
#[derive(Clone)]
pub struct Batch {
    /// The inputs, `[n, ..]`: of images `[n, height, width, channels]`.
    pub inputs: Tensor,
    /// The targets, `[n, ..]`: of classes i64 `[n]`.
    pub targets: Tensor,
}

impl Batch {
    /// The inputs as a model takes them, and the targets.
    pub fn into_parts(self) -> (Var, Tensor) {
        (self.inputs.into(), self.targets)
    }

    /// Number of samples.
    pub fn size(&self) -> usize {
        self.targets.shape().first().copied().unwrap_or(0)
    }
}

/// The batches of one epoch, in their order, as they come from the threads that prepare them. A
/// batch with a sample that cannot be read is an error. Dropped early, it stops the threads.
pub struct Batches {
    /// Worker w of n prepares every n-th batch, from the w-th on.
    workers: Vec<Worker>,
    /// Batches taken so far, and still to come.
    taken: usize,
    left: usize,
}

struct Worker {
    /// Taken away on drop, which is how the thread learns that no one listens.
    receiver: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// The batches of these numbers, each from `make`.
    pub(super) fn start(
        numbers: Range<usize>,
        workers: usize,
        make: impl Fn(usize) -> Result<Batch> + Send + Sync + 'static,
    ) -> Result<Batches> {
        let left = numbers.len();
        let make = Arc::new(make);
        let worker = |first: usize| {
            let (numbers, make) = (numbers.clone(), make.clone());
            // A thread holds one batch that is done while it waits for room, the channel another.
            let (sender, receiver) = sync_channel(1);
            let work = move || {
                for i in numbers.skip(first).step_by(workers) {
                    let batch = {
                        let _busy = timeline::is_on().then(|| timeline::busy(timeline::BATCH));
                        make(i)
                    };
                    if sender.send(batch).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name("batches".into()).spawn(work);
            let thread = thread
                .map_err(|e| Error::Device(format!("no thread to prepare batches on: {e}")))?;
            Ok(Worker {
                receiver: Some(receiver),
                thread: Some(thread),
            })
        };
        Ok(Batches {
            workers: (0..workers.min(left)).map(worker).collect::<Result<_>>()?,
            taken: 0,
            left,
        })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.left == 0 {
            return None;
        }
        let turn = self.taken % self.workers.len();
        (self.taken, self.left) = (self.taken + 1, self.left - 1);
        let worker = &mut self.workers[turn];
        let received = worker.receiver.as_ref()?.recv().ok();
        if received.is_none() {
            // The thread ended before its last batch, so it panicked; a silently shorter epoch
            // would hide that.
            if let Some(Err(panic)) = worker.thread.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
        }
        received
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Worker {
    fn drop(&mut self) {
        self.receiver = None;
        // A panic in there has printed itself, and dropping must not be a second one.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
