//! `Var`: a tensor with a computation graph behind it.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::autograd::trace::{self, Op};
use crate::params::ParamKey;
use crate::tensor::scope::scope;
use crate::{DType, Element, Result, Shape, Tensor};

/// A tensor with a computation graph behind it, if gradients are wanted.
///
/// Constants (`Var::from(tensor)`) have no graph, and neither has what is computed from constants
/// alone: evaluation builds none. A graph begins at leaves ([`Var::leaf`]) and at parameters.
///
/// ```
/// use wavemix::{Tensor, Var};
/// let x = Var::leaf(Tensor::from_vec(vec![1.0, 2.0, 3.0], [3])?);
/// let loss = (&x * &x)?.sum_all()?;
/// let gradients = loss.backward()?;
/// assert_eq!(gradients.of(&x).unwrap().to_vec::<f64>()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Var {
    value: Tensor,
    pub(super) node: Option<Arc<Node>>,
    /// See [`Var::with_tf32`].
    tf32: bool,
}

/// The backward rule of one op: the fields of the type that implements it are what the op saves.
///
/// ```
/// use wavemix::{Result, Tensor, Var};
/// use wavemix::autograd::Backward;
///
/// /// y = x^2.
/// fn square(x: &Var) -> Result<Var> {
///     let y = (&x.detach() * &x.detach())?.into_value();
///     Ok(Var::record("square", &[x], y, || Square { x: x.value().clone() }))
/// }
/// struct Square { x: Tensor }
/// impl Backward for Square {
///     /// dx = 2 x dy.
///     fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
///         let twice = (&Var::from(&self.x) + &Var::from(&self.x))?;
///         Ok(vec![Some((&twice * &Var::from(dy))?.into_value())])
///     }
///     fn saves(&self) -> Vec<&Tensor> { vec![&self.x] }
/// }
/// let x = Var::leaf(Tensor::from_vec(vec![3.0], [])?);
/// let gradients = square(&x)?.backward()?;
/// assert_eq!(gradients.of(&x).unwrap().item()?, 6.0);
/// # Ok::<(), wavemix::Error>(())
/// ```
pub trait Backward: Send {
    /// The vector-Jacobian product: from the gradient dy of the output to one gradient per input,
    /// in the order of the inputs.
    ///
    /// That is dy times the matrix of the partial derivatives of the output by the input: how the
    /// loss moves with each element of the input. dy has the output's shape, and its dtype unless
    /// [`Backward::takes_f32`]. It is yours: hand it on, consume it or drop it. Its memory may be
    /// shared with other tensors; writing to shared memory copies it first.
    ///
    /// `None` is a gradient of zero. Where `wanted[i]` is false the gradient of input i is not
    /// needed: return `None` and save the work. Each returned gradient has its input's shape and
    /// dtype; for an input of 16 bits it may be f32, as that of a weight is, a sum over all pixels
    /// of a batch.
    ///
    /// # Errors
    /// Whatever computing it may run into; the backward pass ends there.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>>;

    /// All tensors that the rule saves, which it keeps alive until the backward pass has visited
    /// it, or its graph is dropped: watchers ([`trace`](crate::autograd::trace)) count their
    /// memory.
    fn saves(&self) -> Vec<&Tensor>;

    /// Whether the rule takes a dy of f32 for an output of 16 bits, as one does that only moves
    /// elements: then the gradient of a weight that was cut or reshaped stays f32. For other rules
    /// the backward pass rounds dy to the output's type first.
    fn takes_f32(&self) -> bool {
        false
    }
}

/// A node of the computation graph. Ids rise with time, so inputs always have smaller ones.
///
/// It is counted: a [`Var`] holds its node, and a node those of its inputs. So it lives as long as
/// anything that was computed from it. A backward pass takes its rule, which holds the memory; the
/// node stays. It does not hold its value, only shape and type, which gradients are checked
/// against: what the backward pass needs of values is in the rules.
pub(crate) struct Node {
    pub id: u64,
    pub op: &'static str,
    pub scope: String,
    pub shape: Shape,
    pub dtype: DType,
    pub inputs: Vec<Option<Arc<Node>>>,
    pub kind: Kind,
}

pub(crate) enum Kind {
    /// An input to take the gradient for.
    Leaf,
    /// A named weight.
    Param(ParamKey),
    /// An op's output; the rule is there until a backward pass has used it.
    Op(Mutex<Option<Box<dyn Backward>>>),
}

impl Node {
    fn new(
        op: &'static str,
        value: &Tensor,
        inputs: Vec<Option<Arc<Node>>>,
        kind: Kind,
    ) -> Option<Arc<Node>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let node = Node {
            id,
            op,
            scope: scope(),
            shape: *value.shape(),
            dtype: value.dtype(),
            inputs,
            kind,
        };
        Some(Arc::new(node))
    }
}

impl Drop for Node {
    /// Frees a long chain link by link. The derived drop would recurse once for each op, along its
    /// inputs, and along the `Var`s that a rule may hold: so what a node holds is not dropped
    /// within its drop, but put on a list, which the outermost drop on this thread works off.
    fn drop(&mut self) {
        let inputs = std::mem::take(&mut self.inputs);
        let rule = match &mut self.kind {
            Kind::Op(rule) => rule.get_mut().unwrap_or_else(|e| e.into_inner()).take(),
            _ => None,
        };
        if inputs.is_empty() && rule.is_none() {
            return;
        }
        let mut held = Some((inputs, rule));
        // Where the thread is ending and its list is gone, what is still held is dropped here, by
        // recursion.
        let first = DROPPED.try_with(|list| {
            let mut list = list.borrow_mut();
            list.waiting.extend(held.take());
            !std::mem::replace(&mut list.busy, true)
        });
        if first == Ok(true) {
            work_off();
        }
    }
}

/// What a node held: its inputs' nodes and its rule.
type Held = (Vec<Option<Arc<Node>>>, Option<Box<dyn Backward>>);

/// What dropped nodes held and is still to be dropped.
#[derive(Default)]
struct Dropped {
    waiting: Vec<Held>,
    /// Whether a drop further up on this thread's stack works it off.
    busy: bool,
}

thread_local! {
    static DROPPED: RefCell<Dropped> = RefCell::default();
}

/// Drops what waits, one after the other, and what is added meanwhile.
fn work_off() {
    /// The list is free for the next drop even where a rule's own drop panicked.
    struct Free;
    impl Drop for Free {
        fn drop(&mut self) {
            _ = DROPPED.try_with(|list| list.borrow_mut().busy = false);
        }
    }
    let _free = Free;
    // Not borrowed while one is dropped: that adds to the list.
    while let Ok(Some(held)) = DROPPED.try_with(|list| list.borrow_mut().waiting.pop()) {
        drop(held);
    }
}

impl From<Tensor> for Var {
    fn from(value: Tensor) -> Var {
        Var {
            value,
            node: None,
            tf32: false,
        }
    }
}

impl From<&Tensor> for Var {
    fn from(value: &Tensor) -> Var {
        Var::from(value.clone())
    }
}

impl fmt::Display for Var {
    /// Its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.value(), f)
    }
}

impl fmt::Debug for Var {
    /// Its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.value(), f)
    }
}

impl Var {
    /// A value whose gradient [`Var::backward`] shall give.
    pub fn leaf(value: Tensor) -> Var {
        Var {
            node: Node::new("leaf", &value, Vec::new(), Kind::Leaf),
            value,
            tf32: false,
        }
    }

    /// A weight, whose gradient is filed under its key.
    pub(crate) fn param(value: Tensor, key: ParamKey) -> Var {
        Var {
            node: Node::new("param", &value, Vec::new(), Kind::Param(key)),
            value,
            tf32: false,
        }
    }

    /// The output of `op`, with the rule for the gradients of its `inputs`. Where none of them has
    /// a computation graph, `rule` is not called and the output is a constant.
    ///
    /// This is how every op of this crate enters the graph, and how yours does. An op's name is
    /// enough; with [`Op::with_flops`] and [`Op::with_attributes`] watchers also learn what it
    /// computed.
    pub fn record<'a, R: Backward + 'static>(
        op: impl Into<Op<'a>>,
        inputs: &[&Var],
        output: Tensor,
        rule: impl FnOnce() -> R,
    ) -> Var {
        // All that is compiled for each rule.
        let rule = || Box::new(rule()) as Box<dyn Backward>;
        let rule = Var::any_requires_grad(inputs).then(rule);
        Var::record_boxed(op.into(), inputs, output, rule)
    }

    fn any_requires_grad(inputs: &[&Var]) -> bool {
        inputs.iter().any(|x| x.requires_grad())
    }

    /// [`Var::record`], with the rule if any input has a computation graph.
    fn record_boxed(
        op: Op<'_>,
        inputs: &[&Var],
        output: Tensor,
        rule: Option<Box<dyn Backward>>,
    ) -> Var {
        let values = || inputs.iter().map(|x| x.value()).collect();
        let saves = rule.as_ref().map(|rule| rule.saves());
        trace::notify(op, values, &output, saves.as_deref());
        let node = rule.and_then(|rule| {
            let nodes = inputs.iter().map(|x| x.node.clone()).collect();
            Node::new(op.name, &output, nodes, Kind::Op(Mutex::new(Some(rule))))
        });
        Var {
            node,
            value: output,
            tf32: inputs.iter().any(|x| x.tf32),
        }
    }

    /// Its tensor.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Its tensor, dropping the computation graph.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// The same tensor as a constant: no gradient flows through. Copies nothing.
    pub fn detach(&self) -> Var {
        Var::from(&self.value).with_tf32(self.tf32)
    }

    /// The same value, and whether a GPU may round f32 operands to TF32 (11 significant bits) in
    /// matrix products and convolutions of it: faster, on tensor cores, with three decimal digits.
    ///
    /// A product rounds both operands if one of them allows it, and so does its backward pass.
    /// What is computed from a value that allows it allows it too. Tensors carry no such mark:
    /// `Var::from` a tensor does not allow it. A [`Pass`](crate::Pass) marks the weights of a
    /// model. The CPU never rounds to TF32.
    ///
    /// ```
    /// use wavemix::{DType, Tensor, Var};
    /// let x = Var::from(Tensor::ones([2, 2], DType::F32));
    /// let w = x.clone().with_tf32(true);
    /// assert!(x.matmul(&w)?.tf32() && !x.tf32());
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[doc(alias = "allow_tf32")]
    pub fn with_tf32(self, tf32: bool) -> Var {
        Var { tf32, ..self }
    }

    /// Whether products of this value may round to TF32: see [`Var::with_tf32`].
    pub fn tf32(&self) -> bool {
        self.tf32
    }

    /// Its only element, as f64: [`Tensor::item`].
    ///
    /// # Errors
    /// Another number of elements; those of a GPU.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        self.value.item()
    }

    /// A copy of its elements, row-major: [`Tensor::to_vec`].
    ///
    /// # Errors
    /// Another type than its elements have; those of a GPU.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.value.to_vec()
    }

    /// The lengths of its dimensions.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.value.dtype()
    }

    /// Whether it has a computation graph, so that a gradient can flow back through it.
    pub fn requires_grad(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn id(&self) -> Option<u64> {
        self.node.as_ref().map(|node| node.id)
    }
}
