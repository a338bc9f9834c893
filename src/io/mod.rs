//! Files: weights in the safetensors format, and checkpoints. What is written is old or new, never
//! half.

pub mod atomic;
pub mod checkpoint;
mod header;
pub mod safetensors;
pub mod weights;
