//! The exercises of the book, a module for each chapter. Write the functions; the tests in tests/
//! say when they are right:
//!
//! ```text
//! cargo test --release -p exercises --test chain_rule
//! ```
//!
//! Solutions are in ../solutions/.

// As long as a function is not written it uses none of its parameters.
#![allow(unused_variables)]

pub mod chain_rule;
pub mod classes;
pub mod convolution;
pub mod deeper;
pub mod fast;
pub mod optimizers;
pub mod shapes;
pub mod slope;
pub mod sure;
pub mod tensors;
pub mod wavelets;
pub mod wavemix_lite;
