//! The points of tests/special on the GPU.

use crate::harness::{STORAGE, gpu};

#[path = "../special/mod.rs"]
mod table;

#[test]
fn points() {
    let Some(gpu) = gpu() else { return };
    STORAGE.iter().for_each(|&dtype| table::check(gpu, dtype));
}
