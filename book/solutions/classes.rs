//! Solutions of the exercises of chapter 5, "Learning classes".

/// A number that is taken off all logits cancels: with the largest one, no exp exceeds 1, and the
/// sum is at least 1.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// -log p_label = log sum_j exp(z_j) - z_label; the logarithm of p itself would be that of 0 where p
/// is too small for a number. The derivative by z_j is p_j, less 1 for the label.
pub fn cross_entropy(logits: &[f64], label: usize) -> (f64, Vec<f64>) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    let mut slopes = softmax(logits);
    slopes[label] -= 1.0;
    (sum.ln() + largest - logits[label], slopes)
}

/// The best epoch so far, and how long ago that was.
pub fn early_stop(losses: &[f64], patience: usize) -> (usize, usize) {
    let mut best = 0;
    for (epoch, &loss) in losses.iter().enumerate() {
        if loss < losses[best] {
            best = epoch;
        }
        if epoch - best >= patience {
            return (best, epoch);
        }
    }
    (best, losses.len() - 1)
}
