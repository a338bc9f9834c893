//! Exercises of chapter 6, "Going deeper".

/// Exercise 1. The bound a for which weights that are uniform between -a and a keep the mean square
/// of the activations from layer to layer, where each neuron sums `fan_in` products and relu
/// follows.
pub fn relu_bound(fan_in: usize) -> f64 {
    todo!()
}

/// Exercise 2. The gradient of x through layer normalisation without scale and shift,
/// y = (x - mean) / sqrt(var + eps), over the elements of x; and through *RMS normalisation*,
/// y = x / sqrt(mean square + eps). Both without forming a Jacobian.
pub fn norm_backward(x: &[f64], dy: &[f64], eps: f64, centred: bool) -> Vec<f64> {
    todo!()
}

/// Exercise 3. Dropout: x with some elements set to 0, so that the mean stays what it was.
/// `uniform[i]` is a random number from 0 up to 1; element i is dropped where it is below p. In
/// evaluation nothing is dropped.
pub fn dropout(x: &[f64], uniform: &[f64], p: f64, training: bool) -> Vec<f64> {
    todo!()
}
