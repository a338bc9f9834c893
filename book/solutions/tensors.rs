//! Solutions of the exercises of chapter 4, "The same with tensors". Matrices are row-major slices.

/// Every element of dy goes to the element of the operand that was copied to its place: index 0
/// along an axis of length 1.
pub fn sum_to(dy: &[f64], [rows, columns]: [usize; 2], operand: [usize; 2]) -> Vec<f64> {
    let mut sum = vec![0.0; operand[0] * operand[1]];
    for i in 0..rows {
        for j in 0..columns {
            let (row, column) = (i.min(operand[0] - 1), j.min(operand[1] - 1));
            sum[row * operand[1] + column] += dy[i * columns + j];
        }
    }
    sum
}

/// y_ij = sum_l a_il b_lj: a_il meets y_ij with slope b_lj, for all j, and b_lj with slope a_il, for
/// all i.
pub fn matmul_backward(dy: &[f64], a: &[f64], b: &[f64], [n, k, m]: [usize; 3]) -> [Vec<f64>; 2] {
    let (mut da, mut db) = (vec![0.0; n * k], vec![0.0; k * m]);
    for i in 0..n {
        for l in 0..k {
            for j in 0..m {
                da[i * k + l] += dy[i * m + j] * b[l * m + j];
                db[l * m + j] += dy[i * m + j] * a[i * k + l];
            }
        }
    }
    [da, db]
}

/// dy_i/dx_j = y_i (1 if i = j, else 0) - y_i y_j. So dx_j = y_j dy_j - y_j sum_i dy_i y_i.
pub fn softmax_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    let mean: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
    y.iter().zip(dy).map(|(y, dy)| y * (dy - mean)).collect()
}
