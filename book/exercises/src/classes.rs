//! Exercises of chapter 5, "Learning classes".

/// Exercise 1. The softmax of some logits, p_i = exp(z_i) / sum_j exp(z_j): right for logits of any
/// size, such as 1000, whose exp is infinite.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    todo!()
}

/// Exercise 2. The cross-entropy of one row of logits, -log p_label, and its derivatives by the
/// logits. It is finite for all finite logits.
pub fn cross_entropy(logits: &[f64], label: usize) -> (f64, Vec<f64>) {
    todo!()
}

/// Exercise 3. Early stopping. `losses` are the validation losses after each epoch. Training ends
/// with the first epoch after which the loss has not been below its minimum for `patience` epochs
/// in a row, or with the last one. Gives the epoch whose weights are kept, that with the smallest
/// loss so far (the first one of several), and the epoch that training ends with.
pub fn early_stop(losses: &[f64], patience: usize) -> (usize, usize) {
    todo!()
}
