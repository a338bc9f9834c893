//! Where a tensor's elements are: on the CPU, on a GPU, or nowhere.

use std::cell::Cell;

use crate::cuda::Block;
use crate::tensor::pool::Buffer;

/// Where a tensor's elements are.
pub(crate) enum Memory {
    Host(Buffer),
    Device(Block),
    /// Nowhere: a tensor of [`shapes_only`], which would take this many bytes.
    Absent(Absent),
}

/// The bytes that a tensor without elements would take. They count as taken on this thread while
/// it lives.
pub(crate) struct Absent(usize);

impl Absent {
    pub fn new(bytes: usize) -> Absent {
        let taken = TAKEN.get().saturating_add(bytes);
        TAKEN.set(taken);
        MOST_TAKEN.set(MOST_TAKEN.get().max(taken));
        Absent(bytes)
    }

    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Absent {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get().saturating_sub(self.0));
    }
}

thread_local! {
    static SHAPES_ONLY: Cell<bool> = const { Cell::new(false) };
    /// Bytes of the absent tensors that live, and the most there were since [`most_taken`] began.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static MOST_TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// The most bytes that absent tensors which `body` creates take at once.
pub(crate) fn most_taken<R>(body: impl FnOnce() -> R) -> (R, usize) {
    let before = TAKEN.get();
    let outer = MOST_TAKEN.replace(before);
    let result = body();
    let most = MOST_TAKEN.get();
    MOST_TAKEN.set(outer.max(most));
    (result, most.saturating_sub(before))
}

/// Runs `body` on shapes alone: tensors that it creates on the CPU have shape and dtype, but no
/// elements, and nothing is computed. Ops check their operands and report to a
/// [`Watcher`](crate::autograd::trace::Watcher) as always. So a model's layers can be listed, and a
/// step be tried, for images of any size.
///
/// Elements of tensors that were created inside must not be read; those of other tensors may. The
/// same as PyTorch's `FakeTensorMode`.
pub(crate) fn shapes_only<R>(body: impl FnOnce() -> R) -> R {
    // What was set before is restored also when `body` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SHAPES_ONLY.set(self.0);
        }
    }
    let _restore = Restore(SHAPES_ONLY.replace(true));
    body()
}

/// Whether this thread is within [`shapes_only`].
pub(crate) fn is_shapes_only() -> bool {
    SHAPES_ONLY.get()
}
