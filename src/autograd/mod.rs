//! `Var`: numbers with a history, and the walk back through it. This file is the whole engine.
//!
//! A forward pass leaves a graph behind: every op that had a differentiable input records a node,
//! which knows its inputs' nodes and its backward rule. [`Var::backward`] starts at the loss with
//! dy = 1, and visits the nodes from the youngest to the oldest: since a node's inputs are older
//! than itself, its whole gradient has arrived before it is visited. Each rule is used up on the
//! way, so memory shrinks while gradients travel.
//!
//! Rules get and give [`Tensor`]s, which have no history: backward cannot record by accident, and
//! second-order gradients do not exist here.

pub mod gradcheck;
pub mod gradients;
pub mod trace;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::autograd::gradients::Gradients;
use crate::params::ParamKey;
use crate::{DType, Error, Result, Shape, Tensor};

/// A value in a computation: a tensor, and how it came about if gradients are wanted for that.
///
/// Constants (`Var::from(tensor)`) have no history, and neither has what is computed from constants
/// alone: evaluation builds no graph. History begins at [`Var::leaf`] and at parameters.
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
    node: Option<Arc<Node>>,
}

/// The backward rule of one op. Its fields are what the op saves for it.
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
    /// From the gradient of the output to one gradient per input, in the order of the inputs.
    ///
    /// `None` is a gradient of zero. Where `wanted[i]` is false nobody asks for input i's: leave it
    /// `None` and save the work. Each returned gradient has its input's shape and dtype.
    ///
    /// # Errors
    /// Whatever computing it may run into; the walk ends there.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>>;

    /// The tensors it keeps alive until then, for those who count memory.
    fn saves(&self) -> Vec<&Tensor>;
}

/// One op's place in the history. Ids rise with time, so inputs always have smaller ones.
pub(crate) struct Node {
    id: u64,
    op: &'static str,
    scope: String,
    shape: Shape,
    dtype: DType,
    inputs: Vec<Option<Arc<Node>>>,
    kind: Kind,
}

enum Kind {
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
            scope: trace::scope(),
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
        Var { value, node: None }
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
        }
    }

    /// A weight, whose gradient is filed under its key.
    pub(crate) fn param(value: Tensor, key: ParamKey) -> Var {
        Var {
            node: Node::new("param", &value, Vec::new(), Kind::Param(key)),
            value,
        }
    }

    /// The output of `op`, with the rule that leads back to its `inputs`. Where none of them has a
    /// history, `rule` is not called and the output is a constant.
    ///
    /// This is how every op of this crate enters the graph, and how yours does.
    pub fn record<R: Backward + 'static>(
        op: &'static str,
        inputs: &[&Var],
        output: Tensor,
        rule: impl FnOnce() -> R,
    ) -> Var {
        if inputs.iter().all(|x| x.node.is_none()) {
            trace::notify(op, inputs, &output, &[]);
            return Var::from(output);
        }
        let rule = rule();
        trace::notify(op, inputs, &output, &rule.saves());
        let nodes = inputs.iter().map(|x| x.node.clone()).collect();
        Var {
            node: Node::new(
                op,
                &output,
                nodes,
                Kind::Op(Mutex::new(Some(Box::new(rule)))),
            ),
            value: output,
        }
    }

    /// Its numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Its numbers, letting go of the history.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// The same numbers as a constant: no gradient flows through.
    pub fn detach(&self) -> Var {
        Var::from(&self.value)
    }

    /// The lengths of its dimensions.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// What one element is.
    pub fn dtype(&self) -> DType {
        self.value.dtype()
    }

    /// Whether it has a history, so that a gradient can flow back through it.
    pub fn has_history(&self) -> bool {
        self.node.is_some()
    }

    /// The gradients of this single number with respect to all leaves and parameters it was
    /// computed from.
    ///
    /// # Errors
    /// Where this is not a single number ([`Var::backward_from`] takes a gradient to begin with),
    /// where it has no history, or where a part of the history was used up by an earlier call.
    pub fn backward(&self) -> Result<Gradients> {
        self.backward_keeping(&[])
    }

    /// As [`Var::backward`], and also keeps the gradients of these intermediate values.
    pub fn backward_keeping(&self, keep: &[&Var]) -> Result<Gradients> {
        if self.value.elements() != 1 {
            let shape = self.shape();
            return Err(Error::Graph(format!(
                "backward starts at a single number, not at shape {shape}; see backward_from"
            )));
        }
        self.backward_from(
            Tensor::full_on(self.value.device(), self.shape(), 1.0, self.dtype())?,
            keep,
        )
    }

    /// Starts with `dy`, the gradient of some loss with respect to this value, of its shape and
    /// dtype.
    pub fn backward_from(&self, dy: Tensor, keep: &[&Var]) -> Result<Gradients> {
        let Some(root) = &self.node else {
            return Err(Error::Graph(
                "backward from a constant: it was computed from no leaf and no parameter".into(),
            ));
        };
        check_gradient(root, "backward_from", &dy)?;
        let mut gradients = Gradients::default();
        // Nodes with a gradient, by age. A map, not a heap: the second gradient for a node must
        // find the first.
        let mut waiting = BTreeMap::from([(root.id, (root.clone(), dy))]);
        while let Some((id, (node, dy))) = waiting.pop_last() {
            if keep.iter().any(|var| var.id() == Some(id)) {
                gradients.file(id, dy.clone());
            }
            match &node.kind {
                Kind::Leaf => gradients.file(id, dy),
                Kind::Param(param) => gradients.file_param(*param, dy)?,
                Kind::Op(rule) => {
                    let rule = rule.lock().unwrap_or_else(|e| e.into_inner()).take();
                    let rule = rule.ok_or_else(|| used_up(&node))?;
                    for (input, dx) in node.inputs.iter().zip(run(&node, rule, dy)?) {
                        if let (Some(input), Some(dx)) = (input, dx) {
                            deliver(&mut waiting, input, dx)?;
                        }
                    }
                }
            }
        }
        Ok(gradients)
    }

    pub(crate) fn id(&self) -> Option<u64> {
        self.node.as_ref().map(|node| node.id)
    }
}

/// Calls one rule, in the scope of the layer that recorded it, and checks what it gives.
fn run(node: &Node, rule: Box<dyn Backward>, dy: Tensor) -> Result<Vec<Option<Tensor>>> {
    let _layer = (!node.scope.is_empty()).then(|| trace::enter(&*node.scope));
    let wanted: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
    let dxs = rule.backward(dy, &wanted)?;
    if dxs.len() != wanted.len() {
        let (op, n) = (node.op, wanted.len());
        return Err(Error::Graph(format!(
            "{op}: the backward rule of {n} inputs gave {} gradients",
            dxs.len()
        )));
    }
    for (input, dx) in node.inputs.iter().zip(&dxs) {
        if let (Some(input), Some(dx)) = (input, dx) {
            check_gradient(input, node.op, dx)?;
        }
    }
    trace::notify_backward(node.op, &dxs);
    Ok(dxs)
}

/// The first gradient of a node is moved in, further ones are added.
fn deliver(
    waiting: &mut BTreeMap<u64, (Arc<Node>, Tensor)>,
    node: &Arc<Node>,
    dx: Tensor,
) -> Result<()> {
    match waiting.get_mut(&node.id) {
        Some((_, sum)) => {
            crate::autograd::gradients::add_into(sum, dx)?;
            let _layer = (!node.scope.is_empty()).then(|| trace::enter(&*node.scope));
            trace::notify_backward("sum of gradients", &[Some(sum.clone())]);
        }
        None => _ = waiting.insert(node.id, (node.clone(), dx)),
    }
    Ok(())
}

/// A gradient has its value's shape and dtype. That of a weight or a leaf may be f32 though its
/// value has 16 bits: it is a sum over all pixels of a batch, which 16 bits would round away.
fn check_gradient(node: &Node, op: &str, dx: &Tensor) -> Result<()> {
    let sixteen =
        matches!(node.dtype, DType::BF16 | DType::F16) && !matches!(node.kind, Kind::Op(_));
    let fits = dx.dtype() == node.dtype || (sixteen && dx.dtype() == DType::F32);
    if dx.shape() != &node.shape || !fits {
        let (shape, dtype, of) = (node.shape, node.dtype, node.op);
        let got = format!("{} of {}", dx.shape(), dx.dtype());
        return Err(Error::Graph(format!(
            "{op}: the gradient of `{of}` must be {shape} of {dtype}, got {got}"
        )));
    }
    Ok(())
}

fn used_up(node: &Node) -> Error {
    let scope = if node.scope.is_empty() {
        String::new()
    } else {
        format!(" in {}", node.scope)
    };
    Error::Graph(format!(
        "`{}`{scope} was used up by an earlier backward pass; run the forward pass again",
        node.op
    ))
}
