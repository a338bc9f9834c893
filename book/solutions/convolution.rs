//! Solutions of the exercises of chapter 8, "Convolution four ways".

/// The first window begins at the left edge of the padded row; each further one takes a stride.
pub fn output_size(size: usize, taps: usize, stride: usize, padding: usize) -> Option<usize> {
    let free = (size + 2 * padding).checked_sub(taps)?;
    Some(free / stride + 1)
}

/// Every input is laid over the output, times each of the weights, a stride apart from the one
/// before.
pub fn transposed(x: &[f64], weights: &[f64], stride: usize) -> Vec<f64> {
    let mut y = vec![0.0; (x.len() - 1) * stride + weights.len()];
    for (i, x) in x.iter().enumerate() {
        for (k, w) in weights.iter().enumerate() {
            y[i * stride + k] += x * w;
        }
    }
    y
}

/// The maps of the chapter. Those of the weights are the same for every place of an image, and made
/// once.
pub fn winograd_2_3(
    x: [f64; 4],
    w: [f64; 3],
    multiply: &mut dyn FnMut(f64, f64) -> f64,
) -> [f64; 2] {
    let m = [
        multiply(x[0] - x[2], w[0]),
        multiply(x[1] + x[2], (w[0] + w[1] + w[2]) / 2.0),
        multiply(x[2] - x[1], (w[0] - w[1] + w[2]) / 2.0),
        multiply(x[1] - x[3], w[2]),
    ];
    [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
}
