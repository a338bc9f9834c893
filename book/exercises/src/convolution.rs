//! Exercises of chapter 8, "Convolution four ways".

/// Exercise 1. How many outputs a convolution has along an axis of `size` inputs, with so many taps,
/// this stride, and so many zeros on either side; `None` where the kernel does not fit in.
pub fn output_size(size: usize, taps: usize, stride: usize, padding: usize) -> Option<usize> {
    todo!()
}

/// Exercise 2. A transposed convolution along one axis, one channel, without padding: y is as long
/// as the input of the convolution with these weights and this stride whose output is as long as x
/// and that leaves no input over.
pub fn transposed(x: &[f64], weights: &[f64], stride: usize) -> Vec<f64> {
    todo!()
}

/// Exercise 3. Winograd's F(2, 3): the two outputs of three weights w along four inputs x,
/// y_0 = x_0 w_0 + x_1 w_1 + x_2 w_2 and y_1 = x_1 w_0 + x_2 w_1 + x_3 w_2, by *four* calls of
/// `multiply`, each of something that is made of inputs alone and something made of weights alone.
pub fn winograd_2_3(
    x: [f64; 4],
    w: [f64; 3],
    multiply: &mut dyn FnMut(f64, f64) -> f64,
) -> [f64; 2] {
    todo!()
}
