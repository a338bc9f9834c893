//! Exercises of chapter 7, "Optimizers".

/// Exercise 1. One step of Nesterov's momentum: v becomes momentum v + g, and w moves by
/// -lr (g + momentum v), with the new v.
pub fn nesterov(w: &mut [f64], v: &mut [f64], g: &[f64], momentum: f64, lr: f64) {
    todo!()
}

/// Exercise 2. Scales the gradients so that the root of the sum of all their squares is at most
/// `max`; smaller ones stay as they are. Gives the root as it was.
pub fn clip_norm(gradients: &mut [f64], max: f64) -> f64 {
    todo!()
}

/// Exercise 3. The factor of the learning rate at `step`, from 0, of `total`: up in a line from
/// 1 / warmup to 1 over the first `warmup` steps, then down to 0 along half a cosine.
pub fn warmup_cosine(step: u64, warmup: u64, total: u64) -> f64 {
    todo!()
}
