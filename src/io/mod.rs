//! Files: weights in the safetensors format, and checkpoints. What is written is old or new, never
//! half. And protocol buffers, which other formats consist of.

pub mod atomic;
pub mod checkpoint;
mod header;
pub mod protobuf;
pub mod safetensors;
pub mod weights;
