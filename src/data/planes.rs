//! Images that a file keeps as one plane for each channel.

/// The order of the values of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row, as C has it.
    Rows,
    /// Column by column, as Fortran and MATLAB have it.
    Columns,
}

/// Appends an image `[side, side, 3]` to `pixels`, made of its red, green and blue planes.
pub(super) fn interleave(planes: &[u8], side: usize, order: Order, pixels: &mut Vec<u8>) {
    let plane = side * side;
    for y in 0..side {
        for x in 0..side {
            let at = match order {
                Order::Rows => y * side + x,
                Order::Columns => x * side + y,
            };
            pixels.extend([0, 1, 2].map(|channel| planes[channel * plane + at]));
        }
    }
}
