//! Every op: its value, its gradient by differences, its adjoint where it is linear, its errors.
//! One file an op.

#[path = "ops/attention.rs"]
mod attention;
#[path = "ops/batch_norm.rs"]
mod batch_norm;
#[path = "ops/bf16.rs"]
mod bf16;
#[path = "ops/binary.rs"]
mod binary;
#[path = "ops/cast.rs"]
mod cast;
#[path = "ops/compare.rs"]
mod compare;
#[path = "ops/conv2d.rs"]
mod conv2d;
#[path = "ops/conv_transpose2d.rs"]
mod conv_transpose2d;
#[path = "ops/cross_entropy.rs"]
mod cross_entropy;
#[path = "ops/cumsum.rs"]
mod cumsum;
#[path = "ops/dft.rs"]
mod dft;
#[path = "ops/dropout.rs"]
mod dropout;
#[path = "ops/dwt.rs"]
mod dwt;
#[path = "ops/einsum.rs"]
mod einsum;
#[path = "ops/empty.rs"]
mod empty;
#[path = "empty/mod.rs"]
mod empty_cases;
#[path = "ops/focal_loss.rs"]
mod focal_loss;
#[path = "ops/gelu_dropout.rs"]
mod gelu_dropout;
mod helpers;
#[path = "ops/index.rs"]
mod index;
#[path = "ops/layer_norm.rs"]
mod layer_norm;
#[path = "ops/linear.rs"]
mod linear;
#[path = "ops/matmul.rs"]
mod matmul;
#[path = "ops/nll_loss.rs"]
mod nll_loss;
#[path = "ops/pointwise_loss.rs"]
mod pointwise_loss;
#[path = "ops/pool.rs"]
mod pool;
#[path = "ops/reduce.rs"]
mod reduce;
#[path = "ops/saves.rs"]
mod saves;
#[path = "ops/shape.rs"]
mod shape;
#[path = "ops/softmax.rs"]
mod softmax;
#[path = "ops/sort.rs"]
mod sort;
#[path = "ops/special.rs"]
mod special;
#[path = "ops/unary.rs"]
mod unary;
#[path = "ops/upsample.rs"]
mod upsample;
