//! Where a tensor's elements are: on the CPU, on a GPU, or nowhere.

use std::cell::Cell;

use crate::cuda::Block;
use crate::tensor::pool::Buffer;

/// Where a tensor's elements are.
pub(crate) enum Memory {
    Host(Buffer),
    Device(Block),
    /// Nowhere: a tensor of [`shapes_only`], which would take this many bytes.
    Absent(usize),
}

thread_local! {
    static SHAPES_ONLY: Cell<bool> = const { Cell::new(false) };
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
