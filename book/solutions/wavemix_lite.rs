//! Solutions of the exercises of chapter 10, "WaveMix-Lite in 60 lines".

/// Inputs times outputs times taps, and a bias for each output.
pub fn block_parameters(dim: usize, mult: usize, ff: usize) -> usize {
    let convolution = |c_in: usize, c_out: usize, taps: usize| c_in * c_out * taps + c_out;
    convolution(dim, dim / 4, 1)
        + convolution(dim, mult * dim, 1)
        + convolution(mult * dim, ff, 1)
        + convolution(ff, dim, 16)
        + 2 * dim
}

/// Each sample is one count.
pub fn confusion(labels: &[usize], answers: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; classes]; classes];
    for (&label, &answer) in labels.iter().zip(answers) {
        counts[label][answer] += 1;
    }
    counts
}

/// Among the answers given with 90 %, nine in ten should be right.
pub fn calibration(answers: &[(f64, bool)], bins: usize) -> Vec<Option<(f64, f64)>> {
    let bin = |p: f64| ((p * bins as f64) as usize).min(bins - 1);
    let mean = |k: usize| {
        let own: Vec<_> = answers.iter().filter(|(p, _)| bin(*p) == k).collect();
        let n = own.len() as f64;
        let p = own.iter().map(|(p, _)| p).sum::<f64>() / n;
        let right = own.iter().filter(|(_, right)| *right).count() as f64 / n;
        (!own.is_empty()).then_some((p, right))
    };
    (0..bins).map(mean).collect()
}
