//! What all launches need: devices and their streams, memory, the kernel compiler, captured steps.
//! This folder knows no op.

pub(super) mod ahead;
pub(super) mod compile;
pub(super) mod context;
pub(super) mod graph;
pub(super) mod kernel;
pub(super) mod launch;
mod library;
mod lists;
pub(super) mod memory;
pub(super) mod profile;
pub(super) mod slice;
pub(super) mod staging;
