//! Exercises of chapter 9, "Wavelets", along one axis.

/// Exercise 1. One level of Haar's transform of a row of even length: the sums of neighbours, and
/// the first less the second of each pair, both scaled so that the sum of squares stays.
pub fn haar(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    todo!()
}

/// Exercise 2. The row that `haar` gives these sums and differences for.
pub fn inverse(sums: &[f64], differences: &[f64]) -> Vec<f64> {
    todo!()
}

/// Exercise 3. All levels: the transform of x, whose length is a power of two; then that of its
/// sums, and so on until one sum is left. The result has this sum, then the differences of the last
/// level, those of the level before, and so on; it is as long as x.
pub fn all_levels(x: &[f64]) -> Vec<f64> {
    todo!()
}
