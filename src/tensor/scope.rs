//! Which layer is running: what errors and watchers name.

use std::cell::RefCell;

thread_local! {
    static SCOPE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The dotted name of the layer that is running on this thread, `layers.3.reduction`; empty outside
/// of any.
pub fn scope() -> String {
    SCOPE.with_borrow(|names| names.join("."))
}

/// Names the layer that runs until the returned guard is dropped.
///
/// ```
/// let _layer = wavemix::autograd::trace::enter("layers.3");
/// let _part = wavemix::autograd::trace::enter("reduction");
/// assert_eq!(wavemix::autograd::trace::scope(), "layers.3.reduction");
/// ```
pub fn enter(name: impl Into<String>) -> Entered {
    SCOPE.with_borrow_mut(|names| names.push(name.into()));
    Entered(std::marker::PhantomData)
}

/// Leaves its scope when dropped. Bound to the thread that entered.
#[must_use = "the scope ends when this guard is dropped"]
pub struct Entered(std::marker::PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        SCOPE.with_borrow_mut(|names| names.pop());
    }
}
