//! Reverse-mode automatic differentiation.
//!
//! A forward pass leaves a computation graph behind: every op with an input that has a graph
//! ([`Var::requires_grad`]) records a node, which knows its inputs' nodes and its backward rule
//! ([`Backward`]). The backward pass walks the graph from the loss to the leaves, and returns
//! [`Gradients`](crate::Gradients). Elsewhere such an input is called differentiated, and its
//! gradient wanted.
//!
//! Rules get and give [`Tensor`](crate::Tensor)s, which have no graph. They may compute with ops,
//! as a `Var` made from a tensor is a constant and records nothing. Second-order gradients do not
//! exist here.

mod backward;
pub mod gradcheck;
pub mod gradients;
pub mod graph;
pub mod trace;
mod var;

pub use var::{Backward, Var};
