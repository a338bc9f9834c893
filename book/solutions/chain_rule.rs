//! Solutions of the exercises of chapter 3, "The chain rule as a program".

/// d(a / b)/da = 1 / b; d(a / b)/db = -a / b^2.
pub fn divide(a: f64, b: f64) -> (f64, [f64; 2]) {
    (a / b, [1.0 / b, -a / (b * b)])
}

/// From the youngest number to the oldest: when number i is visited, all that was computed from it
/// has been, and `slopes[i]` is complete.
pub fn backward(tape: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let mut slopes = vec![0.0; tape.len()];
    let Some(last) = slopes.last_mut() else {
        return slopes;
    };
    *last = 1.0;
    for (i, inputs) in tape.iter().enumerate().rev() {
        for &(input, local) in inputs {
            slopes[input] += slopes[i] * local;
        }
    }
    slopes
}

/// Every path to number i goes through one of its inputs, so the paths to it are the sum of the
/// paths to these. That is the forward form of the same sum over paths, with all local derivatives
/// equal to 1.
pub fn paths(tape: &[Vec<usize>]) -> u64 {
    let mut paths: Vec<u64> = Vec::new();
    for (i, inputs) in tape.iter().enumerate() {
        let own = u64::from(i == 0);
        paths.push(own + inputs.iter().map(|&input| paths[input]).sum::<u64>());
    }
    paths.last().copied().unwrap_or(0)
}
