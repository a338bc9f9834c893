//! Exercises of chapter 3, "The chain rule as a program".

/// Exercise 1. The value of a / b, and its derivatives by a and by b.
///
/// These three numbers are all that the engine would need to record a division.
pub fn divide(a: f64, b: f64) -> (f64, [f64; 2]) {
    todo!()
}

/// Exercise 2. The derivative of the last number of a tape by each number on it.
///
/// `tape[i]` has the inputs of number i: which number each one is, and the derivative of number i
/// by it. Inputs are older than what is computed from them.
pub fn backward(tape: &[Vec<(usize, f64)>]) -> Vec<f64> {
    todo!()
}

/// Exercise 3. How many paths lead from number 0 to the last number of a tape.
///
/// `tape[i]` has the inputs of number i; an input that occurs twice is two paths. The tests have a
/// tape with 2^60 paths: find a way that does not follow each of them.
pub fn paths(tape: &[Vec<usize>]) -> u64 {
    todo!()
}
