//! Every op: its value, its gradient by differences, its adjoint where it is linear, its errors. One file an op.

#[path = "ops/batch_norm.rs"]
mod batch_norm;
#[path = "ops/binary.rs"]
mod binary;
#[path = "ops/conv2d.rs"]
mod conv2d;
#[path = "ops/conv_transpose2d.rs"]
mod conv_transpose2d;
#[path = "ops/dwt.rs"]
mod dwt;
#[path = "ops/linear.rs"]
mod linear;
#[path = "ops/matmul.rs"]
mod matmul;
#[path = "ops/reduce.rs"]
mod reduce;
#[path = "ops/shape.rs"]
mod shape;
#[path = "ops/unary.rs"]
mod unary;
