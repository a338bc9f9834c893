//! Solutions of the exercises of chapter 6, "Going deeper".

/// The variance must be 2 / fan_in, and that of a uniform number between -a and a is a^2 / 3.
pub fn relu_bound(fan_in: usize) -> f64 {
    (6.0 / fan_in as f64).sqrt()
}

/// Without centring the mean of x is no path, and its term is gone.
pub fn norm_backward(x: &[f64], dy: &[f64], eps: f64, centred: bool) -> Vec<f64> {
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / x.len() as f64;
    let middle = if centred {
        mean(&mut x.iter().copied())
    } else {
        0.0
    };
    let inv = 1.0 / (mean(&mut x.iter().map(|x| (x - middle).powi(2))) + eps).sqrt();
    let y: Vec<f64> = x.iter().map(|x| (x - middle) * inv).collect();
    let shift = if centred {
        mean(&mut dy.iter().copied())
    } else {
        0.0
    };
    let along = mean(&mut dy.iter().zip(&y).map(|(dy, y)| dy * y));
    dy.iter()
        .zip(&y)
        .map(|(dy, y)| inv * (dy - shift - y * along))
        .collect()
}

/// What stays is enlarged by 1 / (1 - p): the mean is (1 - p) x / (1 - p) = x.
pub fn dropout(x: &[f64], uniform: &[f64], p: f64, training: bool) -> Vec<f64> {
    if !training {
        return x.to_vec();
    }
    let kept = |(x, u): (&f64, &f64)| if *u < p { 0.0 } else { x / (1.0 - p) };
    x.iter().zip(uniform).map(kept).collect()
}
