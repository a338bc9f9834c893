//! Solutions of the exercises of chapter 7, "Optimizers".

/// Along the gradient, and along the running sum as it will be in the next step.
pub fn nesterov(w: &mut [f64], v: &mut [f64], g: &[f64], momentum: f64, lr: f64) {
    for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
        *v = momentum * *v + g;
        *w -= lr * (g + momentum * *v);
    }
}

/// All by one factor: the direction stays.
pub fn clip_norm(gradients: &mut [f64], max: f64) -> f64 {
    let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
    if norm > max {
        gradients.iter_mut().for_each(|g| *g *= max / norm);
    }
    norm
}

/// The first step has 1 / warmup, not 0: it would be wasted.
pub fn warmup_cosine(step: u64, warmup: u64, total: u64) -> f64 {
    if step < warmup {
        return (step + 1) as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / (total - warmup) as f64;
    (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
}
