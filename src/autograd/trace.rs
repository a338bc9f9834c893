//! Watching ops: what each did, forward and backward, and in which layer.
//!
//! Ops report to one hook, a [`Watcher`] that is installed for the length of a call. The model
//! summary, the ledger of saved activations, FLOP counts and the search for the first infinite
//! value are all watchers; when none is installed an op pays one thread-local read.

use std::cell::RefCell;

pub use crate::tensor::scope::{Entered, enter, scope};
use crate::{Tensor, Window};

thread_local! {
    static WATCHER: RefCell<Option<Box<dyn Watcher>>> = const { RefCell::new(None) };
}

/// An op as it is recorded: its name, and what it computed.
#[derive(Clone, Copy)]
pub struct Op<'a> {
    pub(crate) name: &'static str,
    flops: u64,
    attributes: Attributes<'a>,
}

impl<'a> Op<'a> {
    /// An op that made matrix products of so many floating-point operations, a multiplication and
    /// an addition counting as two. Those that its parts reported themselves are not to be counted
    /// again.
    pub fn with_flops(name: &'static str, flops: u64) -> Op<'a> {
        Op {
            flops,
            ..Op::from(name)
        }
    }

    /// The same op, which was given these attributes.
    pub fn with_attributes(self, attributes: Attributes<'a>) -> Op<'a> {
        Op { attributes, ..self }
    }
}

impl From<&'static str> for Op<'_> {
    /// An op without matrix products and without attributes.
    fn from(name: &'static str) -> Self {
        Op {
            name,
            flops: 0,
            attributes: Attributes::None,
        }
    }
}

/// What an op was given besides its operands, where the shapes of these and of its result do not
/// tell it. With it an op can be written down, and computed elsewhere.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub enum Attributes<'a> {
    /// Nothing.
    #[default]
    None,
    /// The parameters of a function of elements: `mul_scalar`, `clamp`.
    Numbers([f32; 2]),
    /// Rows and columns of a kernel, and how it moves: convolutions and pooling.
    Window([usize; 2], Window),
    /// The order of the axes of `permute`; the axes that are reduced, joined or transformed.
    Axes(&'a [usize]),
    /// The axis of `slice`, and the first element that is taken.
    Start(usize, usize),
    /// How many zeros before and behind each axis: `pad`.
    Around(&'a [(usize, usize)]),
    /// Which operands of a matrix product are transposed.
    Transposed([bool; 2]),
    /// What scores of `attention` are multiplied by, and whether later keys are left out.
    Scores(f64, bool),
    /// What is added to a variance, and the mean and variance that do not depend on x, if these
    /// are given.
    Normalisation(f64, Option<[&'a Tensor; 2]>),
    /// One of several kinds, `bilinear`.
    Kind(&'static str),
}

/// What one op did.
pub struct Event<'a> {
    /// The op, `conv2d`.
    pub op: &'static str,
    /// The layer it ran in.
    pub scope: String,
    /// Its operands.
    pub inputs: &'a [&'a Tensor],
    /// Its result.
    pub output: &'a Tensor,
    /// Whether it is recorded in a computation graph: whether any operand requires a gradient.
    pub recorded: bool,
    /// What it keeps for the backward pass; nothing where it is not recorded.
    pub saves: &'a [&'a Tensor],
    /// Floating-point operations of its matrix products (a multiplication and an addition count as
    /// two); elementwise work is not counted, as is usual.
    pub flops: u64,
    /// What it was given besides its operands.
    pub attributes: Attributes<'a>,
}

/// Something that is told of every op.
pub trait Watcher: std::any::Any {
    /// An op has computed its value. Ops that a backward rule is made of are told here too, with
    /// `recorded` false: matmul's backward pass is two matmuls, linear's is none.
    fn forward(&mut self, event: Event<'_>);

    /// An op has run backward, giving these gradients of its inputs. `sum of gradients` stands for
    /// the addition of the gradients of a value that several ops took.
    fn backward(&mut self, _op: &'static str, _scope: String, _gradients: &[Option<Tensor>]) {}

    /// A training step comes to its next part, which has this name.
    fn phase(&mut self, _name: &'static str) {}
}

/// Runs `body` on this thread with `watcher` told of every op, and gives both back.
///
/// ```
/// use wavemix::autograd::trace::{Event, Watcher, watch};
/// use wavemix::{DType, Tensor, Var};
///
/// #[derive(Default)]
/// struct Totals {
///     flops: u64,
///     saved_bytes: usize,
/// }
/// impl Watcher for Totals {
///     fn forward(&mut self, event: Event<'_>) {
///         self.flops += event.flops;
///         self.saved_bytes += event.saves.iter().map(|x| x.bytes()).sum::<usize>();
///     }
/// }
/// let x = Var::leaf(Tensor::ones([2, 3], DType::F32));
/// let w = Var::from(Tensor::ones([3, 4], DType::F32));
/// let (totals, y) = watch(Totals::default(), || x.matmul(&w)?.square());
/// assert_eq!(y?.shape()[..], [2, 4]);
/// assert_eq!(totals.flops, 2 * (2 * 3 * 4));
/// // matmul saves w for the gradient of x, and square its operand, of 2 x 4.
/// assert_eq!(totals.saved_bytes, 4 * (3 * 4 + 2 * 4));
/// # Ok::<(), wavemix::Error>(())
/// ```
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

pub(crate) fn notify<'a>(
    op: Op<'a>,
    inputs: impl FnOnce() -> Vec<&'a Tensor>,
    output: &Tensor,
    saves: Option<&[&Tensor]>,
) {
    with_watcher(|watcher| {
        watcher.forward(Event {
            op: op.name,
            scope: scope(),
            inputs: &inputs(),
            output,
            recorded: saves.is_some(),
            saves: saves.unwrap_or_default(),
            flops: op.flops,
            attributes: op.attributes,
        })
    });
}

/// Tells the watcher of this thread that a training step comes to its next part: what
/// [`Optimizer::train_step`](crate::optim::Optimizer::train_step) and the trainer call `forward`,
/// `backward`, `gather gradients` and `optimizer`.
pub fn phase(name: &'static str) {
    with_watcher(|watcher| watcher.phase(name));
}

pub(crate) fn notify_backward(op: &'static str, gradients: &[Option<Tensor>]) {
    with_watcher(|watcher| watcher.backward(op, scope(), gradients));
}

/// The watcher is taken out while it is told, so that it may itself compute.
fn with_watcher(tell: impl FnOnce(&mut dyn Watcher)) {
    if let Some(mut watcher) = WATCHER.take() {
        tell(&mut *watcher);
        WATCHER.set(Some(watcher));
    }
}
