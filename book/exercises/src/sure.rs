//! Exercises of chapter 12, "Sure".

/// Exercise 1. Random number `index` of the stream `seed`, at least 0 and below 1: a function of
/// these two alone, so that any thread can compute any of them. All 2^53 values or so that a
/// number below 1 can have shall be possible.
pub fn uniform(seed: u64, index: u64) -> f64 {
    todo!()
}

/// Exercise 2. The sum of x by `threads` threads: the same bits for any number of them.
pub fn sum(x: &[f32], threads: usize) -> f32 {
    todo!()
}

/// Exercise 3. Whether g, which takes m numbers and gives n, is the adjoint of f, which takes n and
/// gives m: <f(x), y> = <x, g(y)> for all x and y, but for rounding. Both are linear.
pub fn is_adjoint(
    f: &dyn Fn(&[f64]) -> Vec<f64>,
    g: &dyn Fn(&[f64]) -> Vec<f64>,
    [n, m]: [usize; 2],
) -> bool {
    todo!()
}
