//! Solutions of the exercises of chapter 9, "Wavelets", along one axis.

use std::f64::consts::FRAC_1_SQRT_2;

/// (a + b)^2 + (a - b)^2 = 2 a^2 + 2 b^2: so both are divided by the root of 2.
pub fn haar(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pairs = x.chunks_exact(2);
    pairs
        .map(|p| ((p[0] + p[1]) * FRAC_1_SQRT_2, (p[0] - p[1]) * FRAC_1_SQRT_2))
        .unzip()
}

/// The matrix of a pair is symmetric and its own inverse: the same sums and differences again.
pub fn inverse(sums: &[f64], differences: &[f64]) -> Vec<f64> {
    let pairs = sums.iter().zip(differences);
    pairs
        .flat_map(|(s, d)| [(s + d) * FRAC_1_SQRT_2, (s - d) * FRAC_1_SQRT_2])
        .collect()
}

/// n + n/2 + n/4 + .. elements are read in all: fewer than 2 n.
pub fn all_levels(x: &[f64]) -> Vec<f64> {
    let mut sums = x.to_vec();
    let mut levels = Vec::new();
    while sums.len() > 1 {
        let (coarser, differences) = haar(&sums);
        levels.push(differences);
        sums = coarser;
    }
    levels.reverse();
    [vec![sums], levels].concat().concat()
}
