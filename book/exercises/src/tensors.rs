//! Exercises of chapter 4, "The same with tensors". Matrices are row-major slices.

/// Exercise 1. The gradient of an operand of shape `operand` that was broadcast to the matrix whose
/// gradient is `dy`, of shape `[rows, columns]`. Each length in `operand` is that of the matrix, or
/// 1.
pub fn sum_to(dy: &[f64], [rows, columns]: [usize; 2], operand: [usize; 2]) -> Vec<f64> {
    todo!()
}

/// Exercise 2. The gradients of a and b in y = a b, from that of y: shapes `[n, k]`, `[k, m]` and
/// `[n, m]`.
pub fn matmul_backward(dy: &[f64], a: &[f64], b: &[f64], [n, k, m]: [usize; 3]) -> [Vec<f64>; 2] {
    todo!()
}

/// Exercise 3. The gradient of x in y = softmax(x), y_i = exp(x_i) / sum_j exp(x_j), from y and the
/// gradient of y: in time proportional to the number of elements, without the Jacobian.
pub fn softmax_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    todo!()
}
