//! Exercises of chapter 11, "Fast".

/// Exercise 1. The GFLOP/s that a program can reach at most on a machine of `peak` GFLOP/s whose
/// memory gives `bandwidth` GB/s, if it makes `flops` operations and moves `bytes` bytes.
pub fn roofline(peak: f64, bandwidth: f64, flops: f64, bytes: f64) -> f64 {
    todo!()
}

/// Exercise 2. A matrix of shape `[k, n]` in panels of `nr` columns: panel after panel, each with
/// its k rows of nr elements. Columns that the last panel lacks are 0.
pub fn pack(b: &[f32], [k, n]: [usize; 2], nr: usize) -> Vec<f32> {
    todo!()
}

/// Exercise 3. The sum of many numbers in f32 alone, with an error that grows with the logarithm of
/// their count rather than with the count.
pub fn sum(x: &[f32]) -> f32 {
    todo!()
}
