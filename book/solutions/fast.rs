//! Solutions of the exercises of chapter 11, "Fast".

/// Computing takes flops / peak, moving bytes / bandwidth; at best both at once, so the longer of
/// the two counts.
pub fn roofline(peak: f64, bandwidth: f64, flops: f64, bytes: f64) -> f64 {
    peak.min(flops / bytes * bandwidth)
}

/// In the order in which the micro-kernel reads.
pub fn pack(b: &[f32], [k, n]: [usize; 2], nr: usize) -> Vec<f32> {
    let mut packed = Vec::with_capacity(n.div_ceil(nr) * nr * k);
    for from in (0..n).step_by(nr) {
        for row in 0..k {
            let width = nr.min(n - from);
            packed.extend_from_slice(&b[row * n + from..][..width]);
            packed.extend(std::iter::repeat_n(0.0, nr - width));
        }
    }
    packed
}

/// Halves are added up on their own: each element passes through log2 n additions, of numbers of
/// like size.
pub fn sum(x: &[f32]) -> f32 {
    match x {
        [] => 0.0,
        [x] => *x,
        _ => {
            let (left, right) = x.split_at(x.len() / 2);
            sum(left) + sum(right)
        }
    }
}
