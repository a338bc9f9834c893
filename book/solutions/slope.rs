//! Solutions of the exercises of chapter 2, "Slope".

/// |e| grows by 1 for each 1 of e where e is positive, and falls where it is negative: its
/// derivative is the sign of e. Then the chain rule: e grows by x with a, and by 1 with b.
pub fn absolute_slopes(points: &[(f64, f64)], a: f64, b: f64) -> (f64, f64) {
    let mut slopes = (0.0, 0.0);
    for &(x, y) in points {
        let e = a * x + b - y;
        let sign = if e == 0.0 { 0.0 } else { e.signum() };
        slopes.0 += sign * x / points.len() as f64;
        slopes.1 += sign / points.len() as f64;
    }
    slopes
}

/// Each w_i is multiplied by 1 - rate c_i in every step: the largest curvature is the first for
/// which that is below -1.
pub fn largest_rate(curvatures: &[f64]) -> f64 {
    2.0 / curvatures.iter().copied().fold(0.0, f64::max)
}

/// a (x - mean) / spread + b = (a / spread) x + (b - a mean / spread).
pub fn unscale((a, b): (f64, f64), mean: f64, spread: f64) -> (f64, f64) {
    (a / spread, b - a * mean / spread)
}
