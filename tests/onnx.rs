//! Models as ONNX files: that every model of the registry is written, soundly, and that ONNX Runtime
//! computes what this crate computes.

#[path = "files/mod.rs"]
mod files;
mod helpers;

#[path = "onnx/cases.rs"]
mod cases;
#[path = "onnx/every_op.rs"]
mod every_op;
#[path = "onnx/reader.rs"]
mod reader;
#[path = "onnx/refused.rs"]
mod refused;
#[path = "onnx/runtime.rs"]
mod runtime;
#[path = "onnx/structure.rs"]
mod structure;
