//! Exercises of chapter 10, "WaveMix-Lite in 60 lines".

/// Exercise 1. How many numbers a block learns, whose 1x1 convolutions lead from `dim` to
/// `dim / 4`, after the transform from `dim` to `mult * dim` and from there to `ff`, whose 4x4
/// transposed convolution leads from `ff` to `dim`, and whose BatchNorm has a scale and a shift for
/// each channel. All convolutions have biases.
pub fn block_parameters(dim: usize, mult: usize, ff: usize) -> usize {
    todo!()
}

/// Exercise 2. The confusion matrix: how often the label was `row` and the answer `column`.
pub fn confusion(labels: &[usize], answers: &[usize], classes: usize) -> Vec<Vec<usize>> {
    todo!()
}

/// Exercise 3. Whether probabilities can be believed. `answers` has the probability that each
/// answer was given with, and whether it was right. For each of `bins` equal intervals of
/// probability, of which the last one includes 1: the mean probability of its answers and the share
/// of them that was right, or `None` where it has none.
pub fn calibration(answers: &[(f64, bool)], bins: usize) -> Vec<Option<(f64, f64)>> {
    todo!()
}
