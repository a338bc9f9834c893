//! Exercises of chapter 2, "Slope".

/// Exercise 1. The derivatives by a and by b of the mean *absolute* error of the line y = a x + b:
/// the mean of |a x + b - y| over the points. An error of exactly 0 counts as slope 0.
pub fn absolute_slopes(points: &[(f64, f64)], a: f64, b: f64) -> (f64, f64) {
    todo!()
}

/// Exercise 2. The learning rate beyond which gradient descent on
/// L = c_1 w_1^2 / 2 + c_2 w_2^2 / 2 + .. diverges. The curvatures c are positive.
pub fn largest_rate(curvatures: &[f64]) -> f64 {
    todo!()
}

/// Exercise 3. A line was fitted to (u, y) with u = (x - mean) / spread, and came out as
/// y = a u + b. The same line as y = A x + B: A and B.
pub fn unscale((a, b): (f64, f64), mean: f64, spread: f64) -> (f64, f64) {
    todo!()
}
