//! Exercises of chapter 1, "Numbers with shapes".

/// Exercise 1. The strides of a shape, in elements: row-major, where the last axis is contiguous, or
/// column-major, as in Fortran, where the first one is.
pub fn strides(shape: &[usize], row_major: bool) -> Vec<usize> {
    todo!()
}

/// Exercise 2. The shape of the sum of arrays of shapes `a` and `b`, or `None` where they do not
/// broadcast.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    todo!()
}

/// Exercise 3. The images of `data`, which is row-major with shape `[n, c, h, w]`, as row-major with
/// shape `[n, h, w, c]`.
pub fn to_channels_last(data: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    todo!()
}
