//! Watching a forward pass: what each op did, and in which layer.
//!
//! Ops report to one hook, a [`Watcher`] that is installed for the length of a call. The model
//! summary, the ledger of saved activations, FLOP counts and the search for the first infinite
//! value are all watchers; when none is installed an op pays one thread-local read.

use std::cell::{Cell, RefCell};

pub use crate::tensor::scope::{Entered, enter, scope};
use crate::{Tensor, Var};

thread_local! {
    static WATCHER: RefCell<Option<Box<dyn Watcher>>> = const { RefCell::new(None) };
    static FLOPS: Cell<u64> = const { Cell::new(0) };
}

/// What one op did.
pub struct Event<'a> {
    /// The op, `conv2d`.
    pub op: &'static str,
    /// The layer it ran in.
    pub scope: String,
    /// Its operands.
    pub inputs: &'a [&'a Var],
    /// Its result.
    pub output: &'a Tensor,
    /// What it keeps for the backward pass; nothing where no gradient is wanted.
    pub saves: &'a [&'a Tensor],
    /// Floating-point operations of its matrix products (a multiplication and an addition count as
    /// two); elementwise work is not counted, as is usual.
    pub flops: u64,
}

/// Something that is told of every op.
pub trait Watcher: std::any::Any {
    /// An op has run forward.
    fn forward(&mut self, event: Event<'_>);

    /// An op has run backward, giving these gradients of its inputs. `sum of gradients` stands for
    /// the addition of the gradients of a value that several ops took.
    fn backward(&mut self, _op: &'static str, _scope: String, _gradients: &[Option<Tensor>]) {}
}

/// Runs `body` on this thread with `watcher` told of every op, and gives both back.
pub fn watch<W: Watcher, R>(watcher: W, body: impl FnOnce() -> R) -> (W, R) {
    // Whatever watched before goes on afterwards, also when `body` panics.
    struct Restore(Option<Box<dyn Watcher>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WATCHER.set(self.0.take());
        }
    }
    let _restore = Restore(WATCHER.replace(Some(Box::new(watcher))));
    let result = body();
    let watcher: Box<dyn std::any::Any> = WATCHER
        .take()
        .expect("installed above, and inner watchers restore it");
    (
        *watcher.downcast().expect("the type that was installed"),
        result,
    )
}

/// Counts floating-point operations towards the op that reports next.
pub(crate) fn count_flops(flops: u64) {
    FLOPS.set(FLOPS.get().saturating_add(flops));
}

pub(crate) fn notify(op: &'static str, inputs: &[&Var], output: &Tensor, saves: &[&Tensor]) {
    let flops = FLOPS.take();
    with_watcher(|watcher| {
        watcher.forward(Event {
            op,
            scope: scope(),
            inputs,
            output,
            saves,
            flops,
        })
    });
}

pub(crate) fn notify_backward(op: &'static str, gradients: &[Option<Tensor>]) {
    FLOPS.set(0);
    with_watcher(|watcher| watcher.backward(op, scope(), gradients));
}

/// The watcher is taken out while it is told, so that it may itself compute.
fn with_watcher(tell: impl FnOnce(&mut dyn Watcher)) {
    if let Some(mut watcher) = WATCHER.take() {
        tell(&mut *watcher);
        WATCHER.set(Some(watcher));
    }
}
