//! The backward pass: reverse-mode differentiation by the chain rule.
//!
//! [`Var::backward`] starts at the loss with dy = 1 and visits the nodes from the youngest to the
//! oldest. Whatever was computed from a value is younger than it, and a rule delivers gradients to
//! older nodes only. So no gradient can still come for the youngest node that waits: its own is
//! complete. Gradients of a value that was used several times are added as they arrive, that of the
//! youngest use first; so sums have the same order in each run, if one thread records the graph. (A
//! parameter has a node for each time that a pass gave it to a layer; [`Gradients`] adds those up,
//! the youngest first.)
//!
//! A rule computes one vector-Jacobian product for each input that wants one: dy times the matrix
//! of the partial derivatives of the op's output by that input. The matrix is never formed.
//!
//! Ownership decides when memory is freed. A rule owns what its op saved, and the backward pass
//! takes it out of its node and consumes it (`self: Box<Self>`), so that is freed when the rule
//! returns. dy is given to the rule too: it is freed there, or handed on where it is itself the
//! gradient of an input, as in a sum. An intermediate value that no op saved was freed in the
//! forward pass, with its `Var`. What is left at the end are the gradients of leaves and
//! parameters, and those that [`Var::backward_keeping`] was asked for, until `Gradients` is
//! dropped. So memory shrinks while the backward pass goes on; freed buffers return to the pool
//! (`tensor::pool`). Two things stay until the last `Var` that was computed from them is dropped:
//! nodes, which are small, and what a rule saved that no gradient reached.
//!
//! Rules save views of the arena, not copies of weights. After this pass none is left, and an
//! optimizer writes to the arena in place; where one is left the arena is copied first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::autograd::Backward;
use crate::autograd::gradients::{Gradients, add_into};
use crate::autograd::trace;
use crate::autograd::var::{Kind, Node};
use crate::tensor::scope::enter;
use crate::{DType, Error, Result, Tensor, Var};

impl Var {
    /// The gradients of this single number with respect to all leaves and parameters it was
    /// computed from.
    ///
    /// # Errors
    /// Where this is not a single number ([`Var::backward_from`] takes a gradient to begin with),
    /// where it has no computation graph, or where a part of it was used up by an earlier call.
    pub fn backward(&self) -> Result<Gradients> {
        self.backward_keeping(&[])
    }

    /// As [`Var::backward`], and also keeps the gradients of these intermediate values. Constants,
    /// and values that this does not depend on, have none.
    pub fn backward_keeping(&self, keep: &[&Var]) -> Result<Gradients> {
        if self.value().elements() != 1 {
            let shape = self.shape();
            return Err(Error::Graph(format!(
                "backward starts at a single number, not at shape {shape}; see backward_from"
            )));
        }
        self.backward_from(
            Tensor::full_on(self.value().device(), self.shape(), 1.0, self.dtype())?,
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
        let mut waiting = BTreeMap::new();
        waiting.insert(root.id, (root.clone(), dy));
        while let Some((id, (node, dy))) = waiting.pop_last() {
            if keep.iter().any(|var| var.id() == Some(id)) {
                gradients.insert(id, dy.clone());
            }
            match &node.kind {
                Kind::Leaf => gradients.insert(id, dy),
                Kind::Param(param) => gradients.insert_param(*param, dy)?,
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
}

/// Calls one rule, in the scope of the layer that recorded it, and checks what it gives.
fn run(node: &Node, rule: Box<dyn Backward>, dy: Tensor) -> Result<Vec<Option<Tensor>>> {
    let _layer = (!node.scope.is_empty()).then(|| enter(&*node.scope));
    let wanted: Vec<bool> = node.inputs.iter().map(Option::is_some).collect();
    let dy = if rule.takes_f32() {
        dy
    } else {
        dy.cast(node.dtype)?
    };
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
            add_into(sum, dx)?;
            let _layer = (!node.scope.is_empty()).then(|| enter(&*node.scope));
            trace::notify_backward("sum of gradients", &[Some(sum.clone())]);
        }
        None => _ = waiting.insert(node.id, (node.clone(), dx)),
    }
    Ok(())
}

/// A gradient has its value's shape and dtype. It may be f32 though the value has 16 bits: that of a
/// weight, or of what was made from one, is a sum over all pixels of a batch, which 16 bits would
/// round away.
fn check_gradient(node: &Node, op: &str, dx: &Tensor) -> Result<()> {
    let sixteen = matches!(node.dtype, DType::BF16 | DType::F16);
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
