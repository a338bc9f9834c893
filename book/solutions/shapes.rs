//! Solutions of the exercises of chapter 1, "Numbers with shapes".

/// Each axis steps over all those that move faster.
pub fn strides(shape: &[usize], row_major: bool) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for k in 0..shape.len() {
        let axis = if row_major { shape.len() - 1 - k } else { k };
        strides[axis] = step;
        step *= shape[axis];
    }
    strides
}

/// Right-aligned; what is missing in front counts as 1.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length = |shape: &[usize], axis: usize| {
        let missing = rank - shape.len();
        if axis < missing {
            1
        } else {
            shape[axis - missing]
        }
    };
    let merged = |axis| match (length(a, axis), length(b, axis)) {
        (x, y) if x == y => Some(x),
        (1, y) => Some(y),
        (x, 1) => Some(x),
        _ => None,
    };
    (0..rank).map(merged).collect()
}

/// In the order of the result, each element is looked up at its place in `data`.
pub fn to_channels_last(data: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for image in 0..n {
        for pixel in 0..h * w {
            for channel in 0..c {
                out.push(data[(image * c + channel) * h * w + pixel]);
            }
        }
    }
    out
}
