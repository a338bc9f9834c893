//! Reverse-mode automatic differentiation.
//!
//! A forward pass leaves a computation graph behind: every op that had a differentiable input
//! records a node, which knows its inputs' nodes and its backward rule ([`Backward`]). The backward
//! pass walks the graph from the loss to the leaves, and returns [`Gradients`](crate::Gradients).
//!
//! Rules get and give [`Tensor`](crate::Tensor)s, which have no graph: a backward pass cannot
//! record by accident, and second-order gradients do not exist here.

mod backward;
pub mod gradcheck;
pub mod gradients;
pub mod graph;
pub mod trace;
mod var;

pub use var::{Backward, Var};
