//! Every op at the points where its formula meets 0 times infinity, and at numbers too large to add
//! to.

use wavemix::{DType, Device};

#[path = "../special/mod.rs"]
mod table;

#[test]
fn f32() {
    table::check(Device::Cpu, DType::F32);
}

#[test]
fn f64() {
    table::check(Device::Cpu, DType::F64);
}

#[test]
fn bf16() {
    table::check(Device::Cpu, DType::BF16);
}
