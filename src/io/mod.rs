//! Files: weights in the safetensors format and as `torch.save` writes them, and checkpoints. What is
//! written is old or new, never half. Event files, which TensorBoard shows, are only appended to. And
//! protocol buffers, which these and other formats consist of.

pub mod atomic;
pub mod checkpoint;
mod header;
pub(crate) mod pickle;
pub mod protobuf;
pub(crate) mod pth;
pub mod safetensors;
pub mod tensorboard;
pub mod weights;
